"""What every part of a recipe has in common: unknown keys and wrong types are errors, values never change."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Base of all recipe models: strict about keys, frozen, defaults validated like the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
