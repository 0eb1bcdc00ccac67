"""What every part of a recipe has in common: unknown keys and wrong types are errors, values never change."""

from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

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
