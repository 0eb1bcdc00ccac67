"""The recipe's `cells`: which single cells are good enough, in which shares sources mix, how clumps and
grafts are assembled."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from smearsynth.base.validation import IntRange, Range, Spec, Within, did_you_mean
from smearsynth.taxonomy import CLASSES

_CELL_CLASSES = [c.key for c in CLASSES[1:]]


def _known_class(key: str) -> str:
    if key not in _CELL_CLASSES:
        hint = did_you_mean(key, _CELL_CLASSES) or f": the classes are {', '.join(_CELL_CLASSES)}"
        raise ValueError(f'there is no class "{key}"{hint}')
    return key


ClassKey = Annotated[str, AfterValidator(_known_class), WithJsonSchema({"type": "string", "enum": _CELL_CLASSES})]
"""Key of one of the nine classes that a cell can have."""

Share = Annotated[float, Field(ge=0, le=1)]
Area = Annotated[Range, Within(0.05, 20)]


class AreaSpec(Spec):
    """Range of the area of a cell of each class, relative to the taxonomy's mean of the class.

    Two red cells that lie on one another are mostly larger than 1.35 times one; infected cells come cut out singly.
    """

    eosinophil: Area = Field((0.35, 2.2), description="1 = the mean of the class; 0.05-20")
    basophil: Area = Field((0.35, 2.2), description="1 = the mean of the class; 0.05-20")
    neutrophil: Area = Field((0.35, 2.2), description="1 = the mean of the class; 0.05-20")
    lymphocyte: Area = Field((0.35, 2.2), description="1 = the mean of the class; 0.05-20")
    monocyte: Area = Field((0.35, 2.2), description="1 = the mean of the class; 0.05-20")
    thrombocyte: Area = Field((0.3, 4.0), description="1 = the mean of the class; 0.05-20")
    platelet_clump: Area = Field((0.3, 8.0), description="1 = the mean of the class; 0.05-20")
    infected_rbc: Area = Field((0.5, 1.6), description="1 = the mean of the class; 0.05-20")
    healthy_rbc: Area = Field((0.5, 1.35), description="1 = the mean of the class; 0.05-20")


class SoliditySpec(Spec):
    """Least area of a cell of each class over the area of its convex hull."""

    eosinophil: Share = Field(0.93, description="0-1")
    basophil: Share = Field(0.88, description="granules roughen its edge; 0-1")
    neutrophil: Share = Field(0.93, description="0-1")
    lymphocyte: Share = Field(0.93, description="0-1")
    monocyte: Share = Field(0.87, description="it may have blunt pseudopods; 0-1")
    thrombocyte: Share = Field(0.86, description="0-1")
    platelet_clump: Share = Field(0.6, description="0-1")
    infected_rbc: Share = Field(0.93, description="0-1")
    healthy_rbc: Share = Field(0.94, description="0-1")


class GateSpec(Spec):
    """Limits beyond which a cell is refused; every refusal is counted under its reason."""

    area_range: AreaSpec = Field(AreaSpec(), description="area over the class mean; outside: `area`")
    least_solidity: SoliditySpec = Field(SoliditySpec(), description="area over that of the hull; below: `solidity`")
    most_contact: Share = Field(
        0.12, description="share of a cell's surroundings that a neighbour which touches fills; above: `touching`; 0-1"
    )
    least_contrast: float = Field(
        0.06, ge=0, le=2, description="optical density of the rim against measured glass; below: `no_contrast`; 0-2"
    )
    most_painted: Share = Field(
        0.1, description="share of the cell in one patch of exactly one colour; above: `painted`; 0-1"
    )
    most_blur: float = Field(
        0.6, gt=0, le=5, description="width of the edge, Gaussian sigma in micrometres; above: `blurred`; 0-5"
    )
    most_straight: Share = Field(
        0.4,
        description="in tight crops, straight run along one side over that side; above: `cut`; in other images any "
        "contact with the border is; 0-1",
    )


class ClumpsSpec(Spec):
    """Platelet clumps assembled from thrombocytes where no source gives any."""

    size_range: Annotated[IntRange, Within(3, 30)] = Field(
        (3, 7), description="platelets per assembled clump, both ends included; 3-30"
    )
    per_thrombocyte: float = Field(
        2.0, gt=0, le=20, description="clumps assembled per thrombocyte of a split, at least 8 per split; 0-20"
    )


class GraftsSpec(Spec):
    """Red cells assembled with and without parasites in the bodies of every source; the set then has parasite masks.

    A host is a healthy cell without a dark spot of its own; figures are per host of a source and split.
    """

    infected_per_host: float = Field(1.0, ge=0, le=10, description="infected cells assembled per host; 0-10")
    stages: Share = Field(0.5, description="share of them with a later stage than a ring; 0-1")
    look_alikes: Share = Field(0.5, description="share of them that also show what is no parasite; 0-1")
    look_alikes_per_host: float = Field(
        1.0, ge=0, le=10, description="healthy cells assembled per host with what is no parasite; 0-10"
    )
    healed: bool = Field(True, description="infected cells are added as healthy ones, their parasites filled")


class CellsSpec(Spec):
    """Quality gate, mix of sources within a class, assembled clumps and grafts."""

    gate: GateSpec = Field(GateSpec(), description="when a cell is refused")
    mix: dict[ClassKey, dict[str, Share]] = Field(
        {}, description="class key -> {source name: share}; a class left out draws evenly from all its cells"
    )
    clumps: ClumpsSpec = Field(ClumpsSpec(), description="how platelet clumps are assembled where no source has any")
    grafts: GraftsSpec | None = Field(
        None, description="how parasites are laid into healthy cells; {} for the defaults, null for no such cells"
    )
