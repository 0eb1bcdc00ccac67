"""Networks ready for use: pixels in, probabilities out, whoever computes them and however many there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segtrain.data.samples import Classes
from segtrain.inference.operating_point import FILE, OperatingPoint
from segtrain.networks.registry import show_parasite
from segtrain.training.device import Compute, choose
from segtrain.training.run_folder import Trained, load_trained
from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels

Probabilities = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) RGB to float32 (B, classes, H, W) of sum 1, the parasite's after them, on any device."""
VIEWS = 8
"""Symmetries of a square: four quarter turns, each mirrored or not."""
_BATCH = {"cpu": 1, "cuda": 8}
"""Tiles that are computed at once, by device; on a CPU more of them take memory and no less time."""
_CROPS = 16
"""Crops of single cells that are computed at once; what twice as many take no longer fits a CPU's cache."""


@dataclass(frozen=True)
class Networks:
    """One network, or several of one taxonomy and scale, whose probabilities are averaged.

    um_per_px: the scale that they were trained at. tta: test-time augmentation, the average over the eight views of a
    tile, turned and mirrored. batch: tiles at a time. device: where and how they are computed, in words. parasite:
    whether the probability that a pixel is of a parasite comes after those of the classes: where all learnt to mark it.
    names_cells: whether all of them learnt to name whole cells (`loss.cells`), so that what they see may be averaged
    over a cell. operating_point: that of the run which names the cells, where it has one. crop: of networks that name
    single cells the side in px of the crops that they see. namer: such networks, of the same classes and scale, that
    name the cells which these find. grey: whether all of them are shown grey images. digests: sha256 of the file of
    each one's weights.
    """

    members: tuple[Probabilities, ...]
    classes: Classes
    um_per_px: float
    tta: bool = False
    batch: int = 1
    device: str = "CPU"
    parasite: bool = False
    names_cells: bool = False
    operating_point: OperatingPoint | None = None
    crop: int | None = None
    namer: "Networks | None" = None
    grey: bool = False
    digests: tuple[str, ...] = ()

    @property
    def names_whole_cells(self) -> bool:
        """Whether a cell that is found gets its name as a whole, and may be unsure."""
        return self.namer is not None or self.names_cells

    @property
    def odds_of(self) -> tuple[str, ...]:
        """What the odds are made of by which a red cell is infected: see `counting.cell_names`."""
        made = {"crop": self.namer is not None, "pixels": self.names_cells, "parasite": self.parasite}
        return tuple(name for name, there in made.items() if there)

    def __call__(self, tiles: Pixels, views: Sequence[int] | None = None) -> npt.NDArray[np.float32]:
        """float32 (B, classes, H, W) of sum 1, with `parasite` one channel more, beside that sum; of networks that name
        single cells (B, classes, 1, 1). tiles: uint8 (B, H, W, 3) RGB of `um_per_px`, any size. views: those of the
        eight, from 0, that are averaged; None is all with `tta`, else the first, which is the tile as it is."""
        # Left channels-last in memory: another layout rounds otherwise.
        image = torch.from_numpy(tiles).permute(0, 3, 1, 2)
        if views is None:
            views = range(VIEWS) if self.tta else range(1)
        with torch.inference_mode():
            found = (_back(member(_turned(image, view)), view) for member in self.members for view in views)
            total = reduce(torch.add, found)
            return (total / (len(self.members) * len(views))).cpu().numpy()


def load_networks(
    runs: Sequence[str | Path],
    *,
    which: Literal["best", "last"] = "best",
    tta: bool = False,
    batch: int | None = None,
    device: str = "auto",
    cells: str | Path | None = None,
    with_point: bool = True,
    prevalence: float | None = None,
) -> Networks:
    """The networks of one or more runs, on the device. batch: None is what suits the device. cells: the run of a
    network that names the cells which these find. with_point: read the operating point, which is that of `cells`, else
    of a single run; to choose one none is needed. prevalence: share of the red cells that are thought to be infected,
    above 0 and below 1, for which it is moved.

    Raises UserError: a run that cannot be read, runs of different classes or scales, no such device, a share that is
    none or without an operating point.
    """
    if prevalence is not None and not 0 < prevalence < 1:
        raise UserError(f"{prevalence:g} is no share of infected red cells: give one above 0 and below 1", "prevalence")
    trained = [load_trained(Path(run), which) for run in runs]
    first, *rest = trained
    for run, other in zip(runs, trained, strict=True):
        check_alike((first.classes, first.um_per_px), (other.classes, other.um_per_px), names=(runs[0], run))
        if other.config.model.crop:
            raise UserError(f"{run} names single cells and finds none: give it beside a run that finds them", "cells")
    networks = _placed(trained, tta=tta, batch=batch, device=device)
    decides = first
    if cells is not None:
        decides = load_trained(Path(cells), which)
        if not decides.config.model.crop:
            raise UserError(
                f"{cells} finds cells in fields: name a run of `model: lite_cells`, or leave it out", "cells"
            )
        check_alike((first.classes, first.um_per_px), (decides.classes, decides.um_per_px), names=(runs[0], cells))
        networks = replace(networks, namer=_placed([decides], batch=_CROPS, device=device))
    point, one_decides = None, cells is not None or not rest
    if with_point and one_decides:
        point = _operating_point(Path(cells or runs[0]), decides, networks.odds_of)
    if prevalence is not None:
        if not one_decides:
            raise UserError("several runs have no operating point together: leave it out", "prevalence", "others")
        if point is None:
            raise UserError(
                f"{cells or runs[0]} has no operating point that could be moved: choose one with `segtrain operate`",
                "prevalence",
            )
        point = point.at_prevalence(prevalence)
    return replace(networks, operating_point=point)


def _placed(
    trained: Sequence[Trained], *, tta: bool = False, batch: int | None = None, device: str = "auto"
) -> Networks:
    """Networks that were read, on the device; the rest as of `load_networks`."""
    compute = [choose(amp=t.config.amp, channels_last=t.config.channels_last, device=device) for t in trained]
    parasite = all(t.config.loss.parasite is not None for t in trained)
    return Networks(
        members=tuple(_probabilities(t, c, parasite=parasite) for t, c in zip(trained, compute, strict=True)),
        classes=trained[0].classes,
        um_per_px=trained[0].um_per_px,
        tta=tta,
        batch=batch or _BATCH[compute[0].device.type],
        device=str(compute[0]),
        parasite=parasite,
        names_cells=all(t.config.loss.cells is not None for t in trained),
        crop=trained[0].config.model.crop,
        grey=all(t.config.model.grey for t in trained),
        digests=tuple(t.digest for t in trained),
    )


def _operating_point(run: Path, trained: Trained, odds_of: tuple[str, ...]) -> OperatingPoint | None:
    """That of the run. UserError where it was chosen for another network of it, or for odds of something else."""
    point = OperatingPoint.load(run)
    if point is None:
        return None
    for chosen, here in (
        (f"the network of epoch {point.epoch}", f"the network of epoch {trained.epoch}"),
        (f"odds of {' + '.join(point.odds_of)}", f"odds of {' + '.join(odds_of)}"),
    ):
        if chosen != here:
            raise UserError(
                f"{run / FILE} was chosen for {chosen}, and not for {here}; choose it again with `segtrain operate`, "
                "or remove the file"
            )
    return point


def _probabilities(trained: Trained, compute: Compute, *, parasite: bool) -> Probabilities:
    if parasite:
        show_parasite(trained.model)
    logits = compute.placed(trained.model)
    if trained.config.model.crop:
        return lambda image: logits(image)[..., :1, :1].softmax(dim=1)
    if not parasite:
        return lambda image: logits(image).softmax(dim=1)

    def probabilities(image: Tensor) -> Tensor:
        found = logits(image)
        return torch.cat((found[:, :-1].softmax(dim=1), found[:, -1:].sigmoid()), dim=1)

    return probabilities


def check_alike(
    one: tuple[Classes, float], other: tuple[Classes, float], *, names: tuple[str | Path, str | Path]
) -> None:
    """UserError where probabilities of two networks cannot be averaged: other classes, or another scale in um/px."""
    classes, um_per_px = one
    if other[0].keys != classes.keys:
        raise UserError(
            f"{names[1]} tells {', '.join(other[0].keys)} apart, and {names[0]} {', '.join(classes.keys)}: "
            "networks that predict together must have the same classes; leave one out."
        )
    if other[1] != um_per_px:
        raise UserError(
            f"{names[1]} was trained at {other[1]:g} um/px, and {names[0]} at {um_per_px:g}: networks that predict "
            "together must have the same scale; leave one out."
        )


def _turned(image: Tensor, view: int) -> Tensor:
    """One of the eight symmetries of (..., H, W): `view` % 4 quarter turns, mirrored before from 4 on."""
    image = image.flip(-1) if view >= 4 else image
    return torch.rot90(image, view % 4, (-2, -1)) if view % 4 else image


def _back(turned: Tensor, view: int) -> Tensor:
    """Undoes `_turned`."""
    image = torch.rot90(turned, -(view % 4), (-2, -1)) if view % 4 else turned
    return image.flip(-1) if view >= 4 else image
