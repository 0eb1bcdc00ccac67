"""The recipe: one YAML file that decides a dataset. Read, validated with all faults told at once, resolved, hashed."""

from smearsynth.recipe.load import load, read_resolved, resolved_yaml
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.schema import schema
from smearsynth.recipe.source import SourceSpec

__all__ = ["Recipe", "SourceSpec", "load", "read_resolved", "resolved_yaml", "schema"]
