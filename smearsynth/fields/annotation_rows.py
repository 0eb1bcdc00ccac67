"""What a file of annotations says, in the file's own terms: the rows that every reader of a form gives."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from smearsynth.base.errors import UserError
from smearsynth.fields.cell_outlines import Outline

NO_CLASS = "cell"
"""Name of cells in forms that can tell cells apart without naming them."""


@dataclass(frozen=True)
class AnnotationRow:
    """What a file says of one cell, or of an image without cells (`name` None). image: as written; "" where the file
    names none. values: x, y, width, height; of an image's size where `shares`. outline: where the cell's own is known,
    in the same unit. crowd: many cells that nobody told apart. size: (h, w) that the file states of the image. group:
    what stands in the column that was asked for."""

    where: str
    image: str
    name: str | None = None
    values: tuple[float, ...] = ()
    shares: bool = False
    um_per_px: float | None = None
    outline: Outline | None = None
    crowd: bool = False
    size: tuple[int, int] | None = None
    group: str | None = None


@dataclass(frozen=True)
class AnnotationFile:
    """One file of `files`, to be read: its errors are appended, and it and what names its classes are added to `used`
    where it holds annotations. files: all paths, by what they are in lower case. names_of: the classes by number in a
    names file. left_out: reason -> number, of what is no cell. group_column: of tables."""

    root: Path
    path: str
    files: Mapping[str, str]
    names_of: Callable[[str], dict[int, str]]
    errors: list[str]
    used: set[str]
    left_out: Counter[str]
    group_column: str | None = None

    @property
    def where(self) -> str:
        return str(self.root / self.path)

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem


def number(text: Any, name: str) -> float:
    """Raises UserError where it is none."""
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{name} is {text!r:.60}; give a number")
    return value


def box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Of forms that have no points. Raises UserError where it holds nothing."""
    if width <= 0 or height <= 0:
        raise UserError(f"a box of {width:g}x{height:g} px holds nothing; width and height start at 1")
    return x, y, width, height


def stated_size(height: Any, width: Any) -> tuple[int, int] | None:
    """(h, w) as a file states it; None where it states none, as 0 does."""
    if not height or not width:
        return None
    stated = round(number(height, "an image's height")), round(number(width, "an image's width"))
    return stated if min(stated) > 0 else None
