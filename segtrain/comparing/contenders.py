"""Who takes part in a comparison: configs, and what is varied of each."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from segtrain.config import KIND, Config, load_config
from smearsynth.errors import UserError
from smearsynth.strict_yaml import DocumentError
from smearsynth.strict_yaml.document import parse_value


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One training. name: the config's file name, and what is varied. overrides: "key=value" each, in their order."""

    name: str
    file: Path
    overrides: tuple[str, ...]
    data: str | None
    """The dataset, where the config names none."""

    @property
    def folder(self) -> str:
        """The name, fit for a folder."""
        return re.sub(r"[^\w.=+-]+", "-", self.name)

    def config(self, *further: str) -> Config:
        """With `further` overrides, its `data` an absolute path. Raises UserError with every fault."""
        config = load_config(self.file, (*self.overrides, *further))
        root = config.data or self.data
        if root is None:
            raise UserError(f"{self.file}: names no `data:`, and there is no --data: give one of them.")
        return config.model_copy(update={"data": str(Path(root).absolute())})


def read_contenders(
    files: Sequence[Path], *, varied: Sequence[str], overrides: Sequence[str], data: str | Path | None
) -> list[Contender]:
    """Every config with every combination of what is varied. varied: "key=value,value,..." each. Raises UserError."""
    if not files:
        raise UserError("There is nothing to compare: name configs, each by -c.")
    choices = [_choices(text) for text in varied]
    found = [
        Contender(
            name=" ".join((file.stem, *(name for name, _ in chosen))),
            file=file,
            overrides=(*overrides, *(override for _, override in chosen)),
            data=str(data) if data else None,
        )
        for file in files
        for chosen in product(*choices)
    ]
    of_folder: dict[str, Contender] = {}
    for contender in found:
        other = of_folder.setdefault(contender.folder, contender)
        if other is not contender:
            raise UserError(
                f"{contender.file} and {other.file} would both be called {contender.name!r}: rename a file, or name "
                "each but once."
            )
    return found


def _choices(text: str) -> list[tuple[str, str]]:
    """Name and override of every value that "key=value,value,..." gives a key."""
    key, equals, values = text.partition("=")
    try:
        listed, faults = parse_value(f"[{values}]", f"--vary {text}", KIND)
    except DocumentError as error:
        listed, faults = [], list(error.faults)
    if faults or not listed or not equals:
        raise UserError(f"--vary {text}: must read key=value,value,..., as in `--vary optimiser.lr=1e-3,1e-4`.")
    # JSON is YAML, so a value comes back from an override as it went in.
    return [(f"{key.rpartition('.')[2]}={_shown(value)}", f"{key}={json.dumps(value)}") for value in listed]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
