"""The recipe's `scene.distractors`: what lies on a smear and is no cell."""

from typing import Annotated

from pydantic import Field

from smearsynth.recipe.base import Spec
from smearsynth.recipe.ranges import IntRange, Range, Within


class DistractorsSpec(Spec):
    """Distractors are background: they have no label and no row. Counts are per 224x224 px of field (45x45 um)."""

    precipitate: float = Field(
        default=0.12, ge=0, le=1, description="share of such fields that hold stain precipitate; 0: none"
    )
    precipitate_clusters_range: Annotated[IntRange, Within(1, 16, int)] = Field(
        default=(1, 2), description="clusters of precipitate in a field that holds any; 1-16"
    )
    granules_range: Annotated[IntRange, Within(1, 200, int)] = Field(
        default=(3, 30), description="granules of one cluster; 1-200"
    )
    granule_size_range: Annotated[Range, Within(0.5, 50)] = Field(
        default=(1.0, 5.0), description="diameter of a granule, px; 0.5-50"
    )
    granule_density_range: Annotated[Range, Within(0, 16)] = Field(
        default=(0.6, 3.0), description="how often a granule halves the light; 0-16"
    )
    debris_range: Annotated[IntRange, Within(0, 64, int)] = Field(
        default=(0, 2), description="pieces of debris: dirt, fibres, smudges; 0-64, [0, 0]: none"
    )
    debris_size_range: Annotated[Range, Within(0.5, 500)] = Field(
        default=(5.0, 40.0), description="length of a piece of debris, px; 0.5-500"
    )
    debris_density_range: Annotated[Range, Within(0, 16)] = Field(
        default=(0.08, 0.9), description="how often debris halves the light; 0-16"
    )
    scale_bar: float = Field(
        default=0.03, ge=0, le=1, description="share of smears, of any size, with a scale bar burned in; 0: none"
    )
    scale_bar_range: Annotated[Range, Within(4, 1000)] = Field(
        default=(25.0, 125.0),
        description="length of a scale bar, px, as far as the field allows; 4-1000 (25 px are 5 um)",
    )
