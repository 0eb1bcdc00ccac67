"""A recipe's file to a Recipe, or to all of its errors at once; and back to text with every default written out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smearsynth.base.config_file import ConfigError, ConfigKind, ErrorLine, Place, dump_yaml, override, read_config
from smearsynth.base.validation import validate, validate_part
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.source_options import SourceSpec

RECIPE = ConfigKind(noun="recipe", start="`version: 1`", example="scene.overlap=0.2")

KEPT_LOCK = "sources.lock"
"""Name of the lock in a dataset."""


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, roots: bool = True) -> Recipe:
    """The recipe in a YAML file, valid in every key. A command reads it once, and passes the Recipe on.

    overrides: "path=value" each, laid over the file in their order. roots: whether it is known already that the sources
    will be read, so that a folder which is not there is one of the errors; else see `check_roots`. Raises ConfigError
    with every error of the file and the overrides.
    """
    path = Path(path)
    file = read_config(path, RECIPE)
    recipe = validate(Recipe, file, overrides, context={"folder": path.absolute().parent, "roots": roots})
    recipe._places, recipe._folder = file.places, path.parent
    return recipe


def load_valid_sources(path: str | Path, overrides: Sequence[str] = ()) -> list[SourceSpec]:
    """Those sources of a recipe that are valid by themselves, whatever else is wrong in it; none where it cannot be
    read at all."""
    path = Path(path)
    try:
        file = read_config(path, RECIPE)
    except ConfigError:
        return []
    for text in overrides:
        override(file, text)
    written = file.data.get("sources")
    context = {"folder": path.absolute().parent}
    specs = (validate_part(SourceSpec, one, context=context) for one in (written if isinstance(written, list) else []))
    return [spec for spec in specs if spec is not None]


def check_roots(recipe: Recipe) -> None:
    """Raises ConfigError that names every source whose folder, or whose table of labels, is not there."""
    errors = [
        recipe.error_at(("sources", number, key), sentence)
        for number, source in enumerate(recipe.sources)
        for key, sentence in source.missing()
    ]
    if errors:
        raise ConfigError(errors)


def read_resolved(path: Path) -> dict[str, Any]:
    """A recipe as `resolved_yaml` has written it, by any version: plain data, not held against this one's model.

    Raises ConfigError.
    """
    if path.exists() and not path.is_file():
        raise ConfigError([ErrorLine(Place(str(path)), (), "is no file: put back the one that the build wrote")])
    file = read_config(path, RECIPE)
    if file.errors:
        raise ConfigError(file.errors)
    return file.data


def resolved_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, every default written out. Roots stand as their author wrote them, `${NAME}` included:
    no path of this machine is in it. A lock stands under the name that a dataset keeps it by."""
    kept = recipe.model_copy(update={"lock": KEPT_LOCK}) if recipe.lock else recipe
    return dump_yaml(kept.model_dump(mode="json"))


def schema() -> dict[str, Any]:
    """JSON Schema of a recipe, with the description, default and range of every key.

    Editors complete keys and show their meaning with it, as in `json.dump(smearsynth.schema(), file)`.

    >>> smearsynth.schema()["properties"]["seed"]["default"]
    0
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}
