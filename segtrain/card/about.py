"""What a run is: told by its own files, and by the index of the set that it was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.config import Config, load_config
from segtrain.data.samples import INDEX, read_index
from segtrain.run import CONFIG, Run
from segtrain.trained import Trained, load_trained
from smearsynth.taxonomy import display_name


@dataclass(frozen=True, kw_only=True)
class About:
    """name: of the run's folder. config: with `data` and `fold`, which a checkpoint leaves out. summary: empty before
    the run has ended. index: of the set, empty where that is not at hand."""

    name: str
    trained: Trained
    config: Config
    summary: Mapping[str, Any]
    index: Mapping[str, Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        """As the taxonomy has them, else the keys."""
        return tuple(map(display_name, self.trained.classes.keys))

    @property
    def dataset(self) -> str:
        """Name of the set: its recipe's, else that of its folder."""
        return str(self.index.get("name") or Path(self.config.data or "").name)

    @property
    def network(self) -> str:
        """Its name and the options that are in use, as "unet_half, width 16, norm batch"."""
        options = self.trained.config.model.model_dump(mode="json", exclude={"pretrained"})
        named = (f"{key} {value}" for key, value in options.items() if key != "name" and value is not None)
        return ", ".join([str(options["name"]), *(text for text in named if not text.endswith(" False"))])

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        return sum(p.numel() for p in self.trained.model.parameters())


def read_about(run: Path, dataset: Path | None = None) -> About:
    """dataset: where the set lies now; None: where the run was trained on it. UserError for what is no run."""
    trained = load_trained(run)
    config = load_config(run / CONFIG)
    if dataset is not None:
        config = config.model_copy(update={"data": str(dataset)})
    root = Path(config.data or "")
    index: Mapping[str, Any] = {}
    if (root / INDEX).is_file():
        found = read_index(root)
        index = found if found["digest"] == trained.data_digest else {}
    return About(
        name=run.resolve().name,
        trained=trained,
        config=config,
        summary=Run(run).read_summary(),
        index=index,
    )
