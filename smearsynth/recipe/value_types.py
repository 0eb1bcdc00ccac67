"""What every part of a recipe has in common: unknown keys and wrong types are errors, values never change.

A range: a pair [low, high] within fixed bounds, from which a value is drawn uniformly.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema

from smearsynth.taxonomy import CLASSES

CELL_CLASSES = tuple(c.key for c in CLASSES[1:])
"""Keys of the nine classes that a cell can have."""


class Spec(BaseModel):
    """Base of all recipe models: strict about keys, frozen, defaults validated like the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _known_class(key: str) -> str:
    if key not in CELL_CLASSES:
        near = get_close_matches(key, CELL_CLASSES, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"the classes are {', '.join(CELL_CLASSES)}"
        raise ValueError(f'there is no class "{key}": {hint}')
    return key


ClassKey = Annotated[str, AfterValidator(_known_class), WithJsonSchema({"type": "string", "enum": list(CELL_CLASSES)})]
"""Key of one of the nine cell classes of the taxonomy."""


Range = tuple[float, float]
IntRange = tuple[int, int]


@dataclass(frozen=True)
class Within:
    """Bounds of both ends, for use as `Annotated[Range, Within(0, 1)]`; the ends must be in order.

    kind: type of both ends, float or int.
    """

    low: float
    high: float
    kind: type = float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        end = Annotated[self.kind, Field(ge=self.low, le=self.high)]  # type: ignore[name-defined]
        return handler.generate_schema(Annotated[tuple[end, end], AfterValidator(_ordered)])


def _ordered(pair: Range) -> Range:
    if pair[0] > pair[1]:
        raise ValueError(f"the low end {pair[0]} is above the high end {pair[1]}: write [low, high]")
    return pair
