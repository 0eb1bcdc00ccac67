"""The recipe's JSON Schema, for completion in editors."""

from typing import Any

from smearsynth.recipe.model import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """JSON Schema of a recipe, with the description, default and range of every key."""
    return {"$schema": DIALECT, **Recipe.model_json_schema()}
