"""The quality gate: why a cell is not good enough, if it is not. Every refusal has one reason, and it is counted."""

from smearsynth.cells.measure import Measures
from smearsynth.recipe.cells import GateSpec
from smearsynth.taxonomy import CLASSES, PLATELET_CLUMP, UM_PER_PX

REASONS = {
    "no_cell": "no cell found at the named place",
    "cut": "cut by the border of the image",
    "painted": "painted over with one flat colour",
    "no_contrast": "rim hardly darker than glass",
    "blurred": "out of focus",
    "several": "more than one cell",
    "touching": "a neighbour touches and can't be parted",
    "solidity": "outline too ragged for one whole cell",
    "area": "too small or too large for its class",
    "two_classes": "saved twice under different classes, one of which must be wrong",
}


def refuse(found: Measures, class_id: int, gate: GateSpec, *, tight: bool) -> str:
    """The reason of refusal that needs no scale, "" for none. tight: the image was cropped to the cell."""
    faults = {
        "no_cell": found.area == 0,
        "painted": found.painted > gate.most_painted,
        "cut": found.straight > (gate.most_straight if tight else 0.0),
        "no_contrast": found.glass_shows and found.rim < gate.least_contrast,
        "several": found.cores > 1 and class_id != PLATELET_CLUMP,
        "touching": found.contact > gate.most_contact,
        "solidity": found.solidity < getattr(gate.least_solidity, CLASSES[class_id].key),
    }
    return next((reason for reason, fault in faults.items() if fault), "")


def refuse_size(found: Measures, class_id: int, gate: GateSpec, um_per_px: float) -> str:
    """The reason of refusal once the scale is known, "" for none. um_per_px: the source's scale."""
    low, high = getattr(gate.area_range, CLASSES[class_id].key)
    if found.edge_width * um_per_px > gate.most_blur:
        return "blurred"
    area = found.area * (um_per_px / UM_PER_PX) ** 2
    return "" if low <= area / CLASSES[class_id].area <= high else "area"
