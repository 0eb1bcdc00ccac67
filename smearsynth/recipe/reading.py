"""A recipe file to a Recipe, or to all of its faults at once; and back to text with every default written out.

The recipe's JSON Schema, for completion in editors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smearsynth.base.documents import DocumentError, DocumentKind, Fault, dump_yaml, read_document
from smearsynth.base.validation import validate
from smearsynth.recipe.model import Recipe

RECIPE = DocumentKind(noun="recipe", start="`version: 1`", option="--set", example="scene.overlap=0.2")

KEPT_LOCK = "sources.lock"
"""Name of the lock in a dataset."""


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, roots: bool = True) -> Recipe:
    """The recipe in a YAML file, valid in every key.

    overrides: "path=value" each, laid over the file in their order. roots: whether it is already known that the
    sources will be read, so that a folder which is not there is told with the other faults; else see `check_roots`.
    Raises DocumentError with every fault of the file and the overrides.
    """
    path = Path(path)
    document = read_document(path, RECIPE)
    recipe = validate(Recipe, document, overrides, context={"folder": path.absolute().parent, "roots": roots})
    recipe._places, recipe._folder = document.places, path.parent
    return recipe


def check_roots(recipe: Recipe) -> None:
    """Raises DocumentError that names every source whose folder, or whose table of labels, is not there."""
    faults = [
        recipe.fault(("sources", number, key), sentence)
        for number, source in enumerate(recipe.sources)
        for key, sentence in source.missing()
    ]
    if faults:
        raise DocumentError(faults)


def read_resolved(path: Path) -> dict[str, Any]:
    """A recipe as `resolved_yaml` has written it, by any version: plain data, not held against this one's model.

    Raises DocumentError.
    """
    if path.exists() and not path.is_file():
        raise DocumentError([Fault(str(path), (), "is no file: put back the one that the build wrote")])
    document = read_document(path, RECIPE)
    if document.faults:
        raise DocumentError(document.faults)
    return document.data


def resolved_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, every default written out. Roots stand as their author wrote them, `${NAME}` included:
    no path of this machine is in it. A lock stands under the name that a set keeps it by."""
    kept = recipe.model_copy(update={"lock": KEPT_LOCK}) if recipe.lock else recipe
    return dump_yaml(kept.model_dump(mode="json"))


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, with the description, default and range of every key."""
    return {"$schema": DIALECT, **Recipe.model_json_schema()}
