"""TIFF files larger than the memory: only the strips or tiles that hold the rows asked for are decoded."""

from pathlib import Path

from smearsynth.images import MAX_PIXELS, Pixels, read_header
from smearsynth.errors import UserError


def is_large_tiff(path: Path) -> bool:
    return False


class LargeTiff:
    def __init__(self, path: Path) -> None:
        raise UserError(f"{path}")

    name = ""
    shape = (0, 0)

    def rows(self, top: int, bottom: int) -> Pixels:
        raise NotImplementedError
