"""What the pixels of masks mean: colours, values or two levels, and the classes that they stand for.

A user's palette is a YAML file. The place of a class is its id, and the first one is the background:

    classes:
      - {key: background, colours: ["#000000"]}
      - {key: nucleus, colours: ["#ff0000", "#fa0000"]}
      - {key: cytoplasm, colours: ["#0000ff"]}
    ignore_colours: ["#808080"]

Masks that hold numbers have `values: [1, 2]` in every class, and `ignore_values`; then colours are how classes are
drawn, and what the palette inside a mask's file is compared with.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from segtrain.data.samples import Classes
from smearsynth.base.config_file import ConfigKind, read_config
from smearsynth.base.errors import UserError
from smearsynth.base.json_values import read_json
from smearsynth.base.tables import canonical
from smearsynth.base.validation import Spec, did_you_mean, validate
from smearsynth.taxonomy import BY_KEY, CLASSES, IGNORE, TAXONOMY_VERSION, UNSURE, display_name, rgb_of

AUTO, REFERENCE, IDS, BINARY, INSTANCES = "auto", "reference", "ids", "binary", "instances"
KIND = ConfigKind(noun="palette", start="`classes:`", example="classes")
RGB = tuple[int, int, int]

_MOST_BYTES = 16_000_000
"""Of a file of JSON."""
_BACKGROUND = ("background", "glass")
_SPELLINGS: dict[str, RGB] = {"thrombocyte": (255, 225, 0), "neutrophil": (250, 190, 190)}
"""Colours of the reference study's masks that differ from those of its own table."""
_SHOWN = ("#000000", "#ffffff", "#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff", "#ff00ff", "#ff8000", "#8000ff")
"""In what colours classes are drawn that were given none."""


@dataclass(frozen=True, kw_only=True)
class Palette:
    """name: as it was asked for. form: what masks hold. colours, values: from RGB, or from a value 0-65535, to a class
    id or 255; with the form `values` the colours are those that a palette in a file may have. cell: the label of every
    cell, in masks that tell them apart."""

    name: str
    form: Literal["colours", "values", "levels", "instances"]
    classes: Classes
    colours: Mapping[RGB, int]
    values: Mapping[int, int]
    cell: int = 1

    @property
    def taxonomy_version(self) -> int:
        """0 where the classes are not the ten."""
        return TAXONOMY_VERSION if self.classes.keys == tuple(BY_KEY) else 0


def read_palette(asked: str) -> Palette:
    """The palette of that name, or in that file; "instances:KEY" of masks whose cells are all of that one of the ten
    classes. Raises UserError with every error of the file."""
    name, _, key = asked.partition(":")
    if name == INSTANCES:
        if (key and key not in BY_KEY) or key == "background":
            hint = did_you_mean(key, list(BY_KEY)[1:]) or f": the classes are {', '.join(list(BY_KEY)[1:])}"
            raise UserError(f"{asked}: there is no class {key!r}{hint}", "palette")
        known = read_palette(IDS if key else BINARY)
        return replace(known, name=asked, form="instances", values={}, colours={}, cell=BY_KEY[key].id if key else 1)
    if asked == BINARY:
        classes = Classes((0, 1), ("background", "cell"), ("#000000", "#ffffff"))
        return Palette(name=asked, form="levels", classes=classes, colours={}, values={})
    if asked in (REFERENCE, IDS):
        return _of_the_ten(asked)
    path = Path(asked)
    if not path.is_file():
        raise UserError(
            f"{asked}: there is no such file; give {BINARY}, {IDS}, {REFERENCE}, {INSTANCES} or a YAML file",
            "palette",
        )
    return _read_file(path)


def _of_the_ten(name: str) -> Palette:
    classes = Classes(tuple(c.id for c in CLASSES), tuple(BY_KEY), tuple(c.colour for c in CLASSES))
    colours = {c.rgb: c.id for c in CLASSES} | {other: BY_KEY[key].id for key, other in _SPELLINGS.items()}
    if name == REFERENCE:
        colours |= {rgb_of(classes.colour_of(UNSURE)): IGNORE}
        return Palette(name=name, form="colours", classes=classes, colours=colours, values={})
    values = {c.id: c.id for c in CLASSES} | {IGNORE: IGNORE}
    return Palette(name=name, form="values", classes=classes, colours=colours, values=values)


def _read_file(path: Path) -> Palette:
    spec = validate(PaletteSpec, read_config(path, KIND))
    if errors := [*_order_errors(spec), *_meaning_errors(spec)]:
        raise UserError("\n".join(f"{path}: {error}" for error in errors))
    shown = [c.colours[0] if c.colours else _SHOWN[i % len(_SHOWN)] for i, c in enumerate(spec.classes)]
    colours = {rgb_of(colour): i for i, c in enumerate(spec.classes) for colour in c.colours}
    values = {value: i for i, c in enumerate(spec.classes) for value in c.values}
    return Palette(
        name=path.name,
        form="values" if values else "colours",
        classes=Classes(tuple(range(len(shown))), tuple(c.key for c in spec.classes), tuple(shown)),
        colours=colours | {rgb_of(colour): IGNORE for colour in spec.ignore_colours},
        values=values | dict.fromkeys(spec.ignore_values, IGNORE) if values else {},
    )


def nnunet_palette(masks: Path) -> Palette | None:
    """What `dataset.json` beside a folder of masks says of their values, as nnU-Net has it; None where there is none.

    Where all of its names are of the ten classes these are the set's, else its own are. Raises UserError.
    """
    path = masks.parent / "dataset.json"
    try:
        stated = read_json(path, _MOST_BYTES)[0] if path.is_file() else None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error}); mend it, or name the palette", "palette") from None
    labels = stated.get("labels") if isinstance(stated, dict) else None
    if not isinstance(labels, dict):
        return None
    if all(str(name).isdecimal() for name in labels):  # of its first version
        labels = {str(name): int(value) for value, name in labels.items()}
    if not all(type(value) is int and 0 <= value < IGNORE for value in labels.values()):
        raise UserError(
            f"{path}: `labels` gives classes that are regions of several values, or none of 0 to 254; name a palette "
            "file that gives each value one class",
            "palette",
        )
    ignored = {value for name, value in labels.items() if name.lower() == "ignore"}
    names = {value: name for name, value in sorted(labels.items(), key=lambda item: item[1]) if value not in ignored}
    if names.get(0, "").lower() not in _BACKGROUND:
        raise UserError(f"{path}: `labels` has no background of 0; name a palette file", "palette")
    ten = {canonical(name): c.id for c in CLASSES for name in (c.key, display_name(c.key))}
    found = {value: ten[canonical(name)] for value, name in names.items() if value and canonical(name) in ten}
    if len(found) == len(names) - 1:
        known = _of_the_ten(IDS)
        values = {0: 0} | found
    else:
        keys = tuple(re.sub(r"[^A-Za-z0-9_-]+", "_", name.strip()) for name in names.values())
        shown = tuple(_SHOWN[i % len(_SHOWN)] for i in range(len(keys)))
        classes = Classes(tuple(range(len(keys))), ("background", *keys[1:]), shown)
        known = Palette(name="", form="values", classes=classes, colours={}, values={})
        values = {value: i for i, value in enumerate(names)}
    return replace(known, name=path.name, colours={}, values=values | dict.fromkeys(ignored, IGNORE))


def _checked(colour: str) -> str:
    if len(colour) != 7 or colour[0] != "#" or not all(c in "0123456789abcdef" for c in colour[1:].lower()):
        raise ValueError(f'"{colour}" is no colour: write it in quotes, as "#rrggbb"')
    return colour.lower()


Colour = Annotated[str, AfterValidator(_checked)]
Value = Annotated[int, Field(ge=0, le=65_535)]


class ClassSpec(Spec):
    """One class."""

    key: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$", description="its name, in letters, digits, _ and -")
    id: int | None = Field(default=None, description="its label: its place in the list, counted from 0")
    colours: tuple[Colour, ...] = Field(default=(), description='its colours in masks, each "#rrggbb"')
    values: tuple[Value, ...] = Field(default=(), description="its values in masks that hold numbers; 0-65535")


class PaletteSpec(Spec):
    """The whole file."""

    classes: tuple[ClassSpec, ...] = Field(min_length=2, max_length=IGNORE, description="2 to 255, background first")
    ignore_colours: tuple[Colour, ...] = Field(default=(), description="colours of pixels that don't count")
    ignore_values: tuple[Value, ...] = Field(default=(), description="values of pixels that don't count; 0-65535")


def _order_errors(spec: PaletteSpec) -> Iterator[str]:
    keys = [c.key for c in spec.classes]
    if keys[0].lower() not in _BACKGROUND:
        yield f"classes: the first is {keys[0]}, and label 0 is what is no cell; put `background` first."
    if set(keys) == set(BY_KEY) and keys != list(BY_KEY):
        yield f"classes: the ten classes stand in another order than their ids; write {', '.join(BY_KEY)}."
    for place, c in enumerate(spec.classes):
        if c.id not in (None, place):
            yield f"classes: {c.key} has the id {c.id} and stands at place {place}, counted from 0; put it in order."
    yield from (f"classes: {key} stands there twice; name each class once." for key in _twice(keys))
    if UNSURE in keys:
        yield f"classes: {UNSURE} is what a cell without a name is called; give its colours or values to `ignore_...`."


def _meaning_errors(spec: PaletteSpec) -> Iterator[str]:
    by_value = any(c.values for c in spec.classes) or bool(spec.ignore_values)
    what = "values" if by_value else "colours"
    for c in spec.classes:
        if not (c.values if by_value else c.colours):
            yield f"classes: {c.key} has no {what}; say by which {what} its pixels are known."
    for name in ("colours", "values"):
        owners = [(meaning, c.key) for c in spec.classes for meaning in getattr(c, name)]
        owners += [(meaning, f"ignore_{name}") for meaning in getattr(spec, f"ignore_{name}")]
        for meaning in _twice([meaning for meaning, _ in owners]):
            places = " and of ".join(key for found, key in owners if found == meaning)
            yield f"{meaning} is one of the {name} of {places}; give it to one class, once."


def _twice(found: Sequence[str | int]) -> list[str | int]:
    return sorted({one for one in found if found.count(one) > 1}, key=found.index)
