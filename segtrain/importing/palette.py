"""What the pixels of masks mean: colours, values or two levels, and the classes they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segtrain.data.samples import Classes
from segtrain.importing.palette_file import read_palette_file
from smearsynth.errors import UserError
from smearsynth.taxonomy import BY_KEY, CLASSES, IGNORE, TAXONOMY_VERSION

REFERENCE, IDS, BINARY = "reference", "ids", "binary"
RGB = tuple[int, int, int]

_SPELLINGS: dict[str, RGB] = {"thrombocyte": (255, 225, 0), "neutrophil": (250, 190, 190)}
"""Colours of the reference study's masks that differ from those of its own table."""
_SHOWN = ("#000000", "#ffffff", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff", "#ff00ff", "#ff8000", "#8000ff")
"""In what colours classes are drawn that were given none."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """name: as it was asked for. form: what masks hold. colours, values: from RGB, or from a value 0-65535, to a class
    id or 255; with the form `values` the colours are those that a palette in a file may have."""

    name: str
    form: Literal["colours", "values", "levels"]
    classes: Classes
    colours: Mapping[RGB, int]
    values: Mapping[int, int]

    @property
    def taxonomy_version(self) -> int:
        """0 where the classes are not the ten."""
        return TAXONOMY_VERSION if self.classes.keys == tuple(BY_KEY) else 0


def read_palette(asked: str) -> Palette:
    """The palette of that name, or in that file. Raises UserError with every fault of the file."""
    if asked == BINARY:
        classes = Classes((0, 1), ("background", "cell"), ("#000000", "#ffffff"))
        return Palette(name=asked, form="levels", classes=classes, colours={}, values={})
    if asked in (REFERENCE, IDS):
        return _of_the_ten(asked)
    path = Path(asked)
    if not path.is_file():
        raise UserError(
            f"--palette {asked}: there is no such file; give {BINARY}, {IDS}, {REFERENCE}, or a YAML file of classes."
        )
    return _own(path)


def rgb(colour: str) -> RGB:
    """Of "#rrggbb"."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _of_the_ten(name: str) -> Palette:
    classes = Classes(tuple(c.id for c in CLASSES), tuple(BY_KEY), tuple(c.colour for c in CLASSES))
    colours = {c.rgb: c.id for c in CLASSES} | {other: BY_KEY[key].id for key, other in _SPELLINGS.items()}
    if name == REFERENCE:
        return Palette(name=name, form="colours", classes=classes, colours=colours, values={})
    values = {c.id: c.id for c in CLASSES} | {IGNORE: IGNORE}
    return Palette(name=name, form="values", classes=classes, colours=colours, values=values)


def _own(path: Path) -> Palette:
    told = read_palette_file(path)
    shown = [c.colours[0] if c.colours else _SHOWN[i % len(_SHOWN)] for i, c in enumerate(told.classes)]
    colours = {rgb(colour): i for i, c in enumerate(told.classes) for colour in c.colours}
    values = {value: i for i, c in enumerate(told.classes) for value in c.values}
    return Palette(
        name=path.name,
        form="values" if values else "colours",
        classes=Classes(tuple(range(len(shown))), tuple(c.key for c in told.classes), tuple(shown)),
        colours=colours | {rgb(colour): IGNORE for colour in told.ignore_colours},
        values=values | dict.fromkeys(told.ignore_values, IGNORE) if values else {},
    )
