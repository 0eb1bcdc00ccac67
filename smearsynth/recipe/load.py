"""A recipe file to a Recipe, or to all of its faults at once; and back to text with every default written out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smearsynth.recipe.document import dump, read
from smearsynth.recipe.faults import RecipeError
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.overrides import apply
from smearsynth.recipe.sentences import faults_of


def load(path: str | Path, overrides: Sequence[str] = (), *, roots: bool = True) -> Recipe:
    """The recipe in a YAML file, valid in every key.

    overrides: "path=value" each, laid over the file in their order. roots: False where the sources will not be read
    (a bank is at hand), so that their folders and the variables in them need not exist.
    Raises RecipeError with every fault of the file and the overrides.
    """
    path = Path(path)
    document = read(path)
    for override in overrides:
        apply(document, override)
    recipe, faults = None, document.faults
    try:
        context = {"folder": path.absolute().parent, "roots": roots}
        recipe = Recipe.model_validate(_with_tuples(document.data), strict=True, context=context)
    except ValidationError as error:
        faults = faults + faults_of(error, document)
    if recipe is None or faults:
        raise RecipeError(faults)
    recipe._places, recipe._folder = document.places, path.parent
    return recipe


def resolved_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, every default written out. Roots stand as their author wrote them, `${NAME}` included:
    no path of this machine is in it."""
    return dump(recipe.model_dump(mode="json"))


def _with_tuples(value: Any) -> Any:
    """Strict validation takes tuples for tuples only, and YAML has lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value
