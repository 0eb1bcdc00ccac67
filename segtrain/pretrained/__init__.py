"""The networks that come with the package: one that finds cells, and one that names each on a crop of its own.

Each is a folder as `segtrain export --format safetensors --half` writes it, and is used wherever no run is named.
MODEL_CARD.md says what they were trained on, what they reach on blood of other laboratories, and what they are not for.
"""

from pathlib import Path

FINDER, CELLS = (Path(__file__).parent / name for name in ("finder", "cells"))
CARD = Path(__file__).parent / "MODEL_CARD.md"


def or_shipped(run: str | Path | None, cells: str | Path | None = None) -> tuple[Path, Path | None]:
    """The run that finds cells and, where there is one, that which names them: where no `run` is named, those of the
    package."""
    if run is None:
        return FINDER, Path(cells or CELLS)
    return Path(run), None if cells is None else Path(cells)
