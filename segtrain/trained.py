"""A trained network out of a run's folder, ready to be used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import nn

from segtrain import checkpoint
from segtrain.config import Config
from segtrain.data.samples import Classes
from segtrain.identity import classes_of
from segtrain.run import Run
from smearsynth.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Trained:
    """model: on the CPU, in evaluation mode; takes what `Compute.logits` gives it. um_per_px: the scale it was trained
    at. fold: whether it learnt from some of the training and validation samples. epoch: after which it was saved, from
    1."""

    model: nn.Module
    config: Config
    classes: Classes
    um_per_px: float
    data_digest: str
    fold: bool
    epoch: int


def load_trained(run: Path, which: Literal["best", "last"] = "best") -> Trained:
    """The network of a run: the averaged weights where it has them. UserError where there is none.

    Only the checkpoint is read, and it runs no code.
    """
    folder = Run(Path(run))
    if which == "best" and folder.last.is_file() and not folder.best.is_file():
        raise UserError(
            f"{folder.best} is missing: the run has not finished an epoch; take the network so far by --last."
        )
    state = checkpoint.load(folder.best if which == "best" else folder.last)
    try:
        known = state["identity"]
        config, classes = Config.model_validate(known["config"]), classes_of(known)
        model = config.model.build(classes=len(classes))
        model.load_state_dict(state["ema"]["model"] if state["ema"] else state["model"])
        return Trained(
            model=model.eval(),
            config=config,
            classes=classes,
            um_per_px=known["um_per_px"],
            data_digest=known["data_digest"],
            fold=bool(known.get("fold_digest")),
            epoch=state["epoch"],
        )
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = checkpoint.in_short(error)
        raise UserError(
            f"{run}: its checkpoint is not one of this segtrain ({reason}): train the run again."
        ) from error
