"""A range: a pair [low, high] within fixed bounds, from which a value is drawn uniformly."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

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
