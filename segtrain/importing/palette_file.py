"""A palette as a user writes it, in YAML. The place of a class is its id, and the first one is the background:

    classes:
      - {key: background, colours: ["#000000"]}
      - {key: nucleus, colours: ["#ff0000", "#fa0000"]}
      - {key: cytoplasm, colours: ["#0000ff"]}
    ignore_colours: ["#808080"]

Masks that hold numbers have `values: [1, 2]` in every class, and `ignore_values`; then colours are how classes are
drawn, and what the palette inside a mask's file is held against.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from segtrain.spec import Spec
from smearsynth import strict_yaml
from smearsynth.errors import UserError
from smearsynth.taxonomy import BY_KEY, IGNORE

KIND = strict_yaml.Kind(noun="palette", start="`classes:`", option="--palette", example="classes")
_BACKGROUND = ("background", "glass")


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


def read_palette_file(path: Path) -> PaletteSpec:
    """Raises UserError with every fault."""
    told = strict_yaml.validate(PaletteSpec, strict_yaml.read(path, KIND))
    if faults := [*_order_faults(told), *_meaning_faults(told)]:
        raise UserError("\n".join(f"{path}: {fault}" for fault in faults))
    return told


def _order_faults(told: PaletteSpec) -> Iterator[str]:
    keys = [c.key for c in told.classes]
    if keys[0].lower() not in _BACKGROUND:
        yield f"classes: the first is {keys[0]}, and label 0 is what is no cell; put `background` first."
    if set(keys) == set(BY_KEY) and keys != list(BY_KEY):
        yield f"classes: the ten classes stand in another order than their ids; write {', '.join(BY_KEY)}."
    for place, c in enumerate(told.classes):
        if c.id not in (None, place):
            yield f"classes: {c.key} has the id {c.id} and stands at place {place}, counted from 0; put it in order."
    yield from (f"classes: {key} stands there twice; name each class once." for key in _twice(keys))


def _meaning_faults(told: PaletteSpec) -> Iterator[str]:
    by_value = any(c.values for c in told.classes) or bool(told.ignore_values)
    what = "values" if by_value else "colours"
    for c in told.classes:
        if not (c.values if by_value else c.colours):
            yield f"classes: {c.key} has no {what}; say by which {what} its pixels are known."
    for name in ("colours", "values"):
        owners = [(meaning, c.key) for c in told.classes for meaning in getattr(c, name)]
        owners += [(meaning, f"ignore_{name}") for meaning in getattr(told, f"ignore_{name}")]
        for meaning in _twice([meaning for meaning, _ in owners]):
            places = " and of ".join(key for found, key in owners if found == meaning)
            yield f"{meaning} is one of the {name} of {places}; give it to one class, once."


def _twice(found: Sequence[str | int]) -> list[str | int]:
    return sorted({one for one in found if found.count(one) > 1}, key=found.index)
