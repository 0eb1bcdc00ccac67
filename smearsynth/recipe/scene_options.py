"""The recipe's `scene`: which of the 108 combinations are built, how many cells a smear holds and how they are placed,
and its distractors.

A combination is one of 36 foregrounds and one of 3 backgrounds of red cells. A foreground is none, one or two of the
seven white-cell and platelet classes, with repetition. The name of a combination is its class keys in the order of
their ids, joined by "+", then "/" and the background: "none/healthy", "lymphocyte+monocyte/mixed".
"""

from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations_with_replacement
from typing import Annotated, Literal

from pydantic import Field, model_validator

from smearsynth.base.errors import UserError
from smearsynth.base.validation import IntRange, Range, Spec, Within, WrongValueError
from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES, HEALTHY_RBC, INFECTED_RBC, RED_CELLS

_RED_CELLS_OF = {"infected": (INFECTED_RBC,), "healthy": (HEALTHY_RBC,), "mixed": RED_CELLS}
BACKGROUNDS = tuple(_RED_CELLS_OF)


@dataclass(frozen=True)
class Combination:
    """foreground: up to two class ids, ascending. background: one of BACKGROUNDS."""

    foreground: tuple[int, ...]
    background: str

    @property
    def name(self) -> str:
        keys = "+".join(CLASSES[c].key for c in self.foreground)
        return f"{keys or 'none'}/{self.background}"

    @property
    def classes(self) -> frozenset[int]:
        """Ids of all classes that a smear of this combination holds."""
        return frozenset((*self.foreground, *_RED_CELLS_OF[self.background]))


_FOREGROUNDS = tuple(f for n in range(3) for f in combinations_with_replacement(FOREGROUND_CLASSES, n))

COMBINATIONS = {c.name: c for f in _FOREGROUNDS for b in BACKGROUNDS for c in [Combination(f, b)]}
"""All 108 by name, in a fixed order: the background changes fastest."""


class DistractorsSpec(Spec):
    """Distractors are background: they have no label and no row. Counts are per 224x224 px of field (45x45 um)."""

    precipitate: float = Field(
        default=0.12, ge=0, le=1, description="share of such fields that hold stain precipitate; 0: none"
    )
    precipitate_clusters_range: Annotated[IntRange, Within(1, 16)] = Field(
        default=(1, 2), description="clusters of precipitate in a field that holds any; 1-16"
    )
    granules_range: Annotated[IntRange, Within(1, 200)] = Field(
        default=(3, 30), description="granules of one cluster; 1-200"
    )
    granule_size_range: Annotated[Range, Within(0.5, 50)] = Field(
        default=(1.0, 5.0), description="diameter of a granule, px; 0.5-50"
    )
    granule_density_range: Annotated[Range, Within(0, 16)] = Field(
        default=(0.6, 3.0), description="how often a granule halves the light; 0-16"
    )
    debris_range: Annotated[IntRange, Within(0, 64)] = Field(
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


UNIT_FIELD = 224 * 224
"""Area in px of the field that one foreground and `OBJECTS_PER_UNIT` are meant for."""
OBJECTS_PER_UNIT = 64
MOST_OBJECTS = 65_534
"""Instance maps are u2: 0 is background and 65,535 stays free."""


class SceneSpec(Spec):
    """How smears are planned. A range is [low, high], drawn uniformly per smear or per cell."""

    backgrounds: Literal["equal", "clinical"] = Field(
        default="equal",
        description="equal: only infected, only healthy and mixed red cells equally often; clinical: every "
        "smear is mixed and its infected share is drawn from parasitaemia_range, by default 0.001-0.10",
    )
    density_range: Annotated[Range, Within(0, 0.8)] = Field(
        default=(0.12, 0.6),
        description="per smear: share of the field, outside its white cells and platelets, that red cells "
        "cover, as far as room allows: with overlaps up to 0.75, without any up to 0.52; 0-0.8 (measured: 0.15-0.55 in "
        "windows of 45x45 um of the BBBC041 fields, 0.18-0.59 around the white cells of PBC)",
    )
    parasitaemia_range: Annotated[Range, Within(0, 1)] | None = Field(
        default=None,
        description="per smear: infected share of the red cells of a mixed smear; 0-1; "
        "null: 0.05-0.5, in clinical smears 0.001-0.10",
    )
    touching_range: Annotated[Range, Within(0, 1)] = Field(
        default=(0.2, 0.7),
        description="per smear: share of the red cells that are laid against another cell; 0-1 (with these defaults "
        "0.3-0.8 of the red cells have a neighbour within 0.4 um; in the BBBC041 fields 0.38-0.75)",
    )
    gap_range: Annotated[IntRange, Within(0, 8)] = Field(
        default=(0, 2),
        description="per cell: px between a red cell and the cell that it is laid against; 0-8 (1 px is 0.2 um; "
        "the masks of BBBC041 leave 0.2-0.4 um)",
    )
    overlapping_range: Annotated[Range, Within(0, 1)] = Field(
        default=(0.0, 0.25),
        description="per smear: share of the red cells that are laid over another one; in too crowded a field it is "
        "more; 0-1 (with 0.1, a fifth of the red cells take part in an overlap; in the BBBC041 fields 0.15-0.5)",
    )
    overlap: float = Field(
        default=0.4,
        ge=0,
        le=0.5,
        description="largest share of either cell's area that two red cells may share; 0-0.5, 0: none overlap "
        "(BBBC041: median 0.07-0.2, nine of ten overlaps under 0.17-0.45)",
    )
    white_cell_overlap: float = Field(
        default=0.01,
        ge=0,
        le=0.5,
        description="the same for a white cell or platelet and any other cell, as far as room allows: white cells push "
        "red cells aside; 0-0.5 (around those of PBC red cells cover 0.08 of the first 0.2 um and 0.43 of the field)",
    )
    platelet_overlap: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="the same for a platelet and a red cell, where it is more than white_cell_overlap; 1: platelets "
        "lie over red cells as chance has it; 0-1",
    )
    border: bool = Field(default=True, description="cells may be cut by the border of the field")
    rotate: bool = Field(default=True, description="cells are turned through 360 degrees")
    flip: bool = Field(default=True, description="cells are mirrored")
    scale_range: Annotated[Range, Within(0.5, 2)] = Field(
        default=(0.95, 1.05), description="per cell: factor on its size at 40x; 0.5-2"
    )
    platelet_scale_range: Annotated[Range, Within(0.5, 2)] | None = Field(
        default=None,
        description="the same for platelets and their clumps, whose size differs between laboratories; 0.5-2; "
        "null: scale_range (median area measured, px at 40x: pbc 560, fields of other laboratories 100-250)",
    )
    min_visible: float = Field(
        default=0.15,
        ge=0,
        le=0.5,
        description="a cell of which a smaller share of its area is visible is left out; 0-0.5",
    )
    white_cells_from: Literal["one_source", "any"] = Field(
        default="one_source",
        description="one_source: the white cells of one smear come from one source wherever a source has all "
        "their classes in that split; any: from all",
    )
    combinations: tuple[str, ...] = Field(
        default=(),
        description="names of the combinations to build, each equally often, such as "
        '"neutrophil+lymphocyte/mixed", "monocyte/infected" or "none/healthy"; '
        "empty: all 108 (clinical: all 36 mixed ones)",
    )
    max_objects: Annotated[int, Field(ge=1, le=MOST_OBJECTS)] | None = Field(
        default=None,
        description="most cells in a smear and rows of the shards' object table; 1-65534; "
        "null: 64 per 224x224 px of field",
    )
    distractors: DistractorsSpec = Field(
        default=DistractorsSpec(), description="precipitate, debris and scale bars, which are background"
    )

    @model_validator(mode="after")
    def _combinations_exist(self) -> "SceneSpec":
        known = [c.name for c in self._offered()]
        for position, name in enumerate(self.combinations):
            if name not in known:
                raise WrongValueError(_unknown(name, known), "combinations", position)
            if name in self.combinations[:position]:
                raise WrongValueError(f'"{name}" is named twice: name it once', "combinations", position)
        return self

    def _offered(self) -> list[Combination]:
        return [c for c in COMBINATIONS.values() if self.backgrounds == "equal" or c.background == "mixed"]

    def chosen(self) -> tuple[Combination, ...]:
        """The combinations to build, in the fixed order of all 108 whatever the order in the recipe."""
        return tuple(c for c in self._offered() if not self.combinations or c.name in self.combinations)

    def classes(self) -> frozenset[int]:
        """Ids of the classes that the chosen combinations hold: those that the sources must have cells of."""
        return frozenset().union(*(c.classes for c in self.chosen()))

    def infected_share(self) -> tuple[float, float]:
        """The range that the infected share of a mixed smear is drawn from."""
        if self.parasitaemia_range is not None:
            return self.parasitaemia_range
        return (0.001, 0.10) if self.backgrounds == "clinical" else (0.05, 0.5)

    def rows(self, size: tuple[int, int]) -> int:
        """Rows of the object table for fields of `size` (height, width) px; UserError if ids run out."""
        if self.max_objects is not None:
            return self.max_objects
        rows = max(OBJECTS_PER_UNIT, -(-OBJECTS_PER_UNIT * size[0] * size[1] // UNIT_FIELD))
        if rows > MOST_OBJECTS:
            raise UserError(
                f"size: a field of {size[0]}x{size[1]} px may hold {rows} cells and an instance map has ids "
                f"for {MOST_OBJECTS}: choose a smaller size or set scene.max_objects"
            )
        return rows


def _unknown(name: str, known: list[str]) -> str:
    if name in COMBINATIONS:
        return f'"{name}" is no clinical smear: these are all mixed, name "{name.rpartition("/")[0]}/mixed"'
    foreground, _, background = name.rpartition("/")
    turned = f"{'+'.join(reversed(foreground.split('+')))}/{background}"
    near = [turned] if turned in known else get_close_matches(name, known, n=1) or [known[-1]]
    return f'there is no combination "{name}": the nearest is "{near[0]}"'
