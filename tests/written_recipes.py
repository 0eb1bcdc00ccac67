"""Recipes as a user writes them, read, and what is said of their errors."""

from pathlib import Path

import pytest

from smearsynth.base.config_file import ConfigError
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import load_recipe

SOURCE = "sources: [{kind: lisc, root: cells}]\n"


def read(folder: Path, text: str | bytes, *overrides: str) -> Recipe:
    file = folder / "r.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_recipe(file, overrides)


def faults(folder: Path, text: str | bytes, *overrides: str) -> list[str]:
    """The lines of the error, with the recipe's folder taken out."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, *overrides)
    assert len(str(caught.value).splitlines()) == len(caught.value.errors)
    return str(caught.value).replace(f"{folder}/", "").splitlines()
