"""The quality gate: a few figures per cell at its source's scale, and why it is not good enough, if it is not.

Every refusal has one reason, and it is counted.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from smearsynth.bank.glass import Density, Image, Mask
from smearsynth.bank.outlines import Region, convex_hull, grow, largest_component
from smearsynth.base.command_line import columns
from smearsynth.base.tables import canonical
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.taxonomy import CLASSES, PLATELET_CLUMP, RED_CELLS, UM_PER_PX

REASONS = {
    "no_cell": "no cell found at the named place",
    "cut": "cut by the border of the image",
    "painted": "painted over with one flat colour",
    "no_contrast": "rim hardly darker than glass",
    "blurred": "out of focus",
    "several": "more than one cell",
    "other_size": "not of the size of its box",
    "covered": "something dark lies on it",
    "touching": "a neighbour touches and can't be parted",
    "solidity": "outline too ragged for one whole cell",
    "area": "too small or too large for its class",
    "two_classes": "saved twice under different classes, one of which must be wrong",
}
"""Reason of refusal -> the same in words."""
_FORMS: dict[str, tuple[float, float, float]] = {
    name: limits
    for names, limits in {
        "burr echinocyte crenated acanthocyte": (0.86, 1.0, 1.5),
        "schistocyte fragment helmet bite keratocyte": (0.82, 0.2, 1.0),
        "sickle drepanocyte": (0.6, 0.4, 1.5),
        "teardrop dacrocyte": (0.86, 0.4, 1.5),
        "ovalocyte elliptocyte": (0.9, 0.45, 1.5),
        "macroovalocyte": (0.9, 1.0, 2.0),
        "spherocyte microcyte": (1.0, 0.35, 1.0),
        "macrocyte": (1.0, 1.0, 2.0),
        "target codocyte stomatocyte leptocyte": (1.0, 1.0, 1.7),
        "hypochromia hypochromic": (0.91, 1.0, 1.7),
    }.items()
    for name in names.split()
}
"""Forms of red cells by name: least solidity, least and greatest area over the class mean, where that is wider than the
gate. So ragged or small are whole cells of that name in Chula; where it has none, what the name says."""
Refusals = Counter[tuple[str, int, str]]
"""(source, class id, reason) -> cells."""
RefusalTree = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Source -> class key -> reason -> cells."""
_NO_FORM = (1.0, 1.0, 1.0)
_LEAST_PATCH = 256
"""Pixels under which one flat colour is no paint: JPEG makes such patches where an image is smooth (four flat blocks
of 8x8)."""


@dataclass(frozen=True, kw_only=True)
class CellMeasures:
    """area: px. solidity: area over that of the convex hull, 0-1. cores: separate thick parts, 1 for one cell.
    painted: share of the cell in one connected patch of exactly one colour. edge_width: px, sigma of the blur of the
    edge, 0 where no glass shows. glass_shows: False where the glass is not of this image. rim, contact, straight: see
    `outlines.Region`."""

    area: int
    solidity: float
    cores: int
    painted: float
    edge_width: float
    glass_shows: bool
    rim: float
    contact: float
    straight: float


def measure(image: Image, region: Region, density: Density, *, glass_shows: bool) -> CellMeasures:
    """image, density: uint8 (h, w, 3) and float32 (h, w) of the region's window. glass_shows: the edge can be judged
    for blur."""
    cell = region.mask >= 128
    return CellMeasures(
        area=int(cell.sum()),
        solidity=float(cell.sum() / max(int(convex_hull(cell).sum()), 1)),
        cores=count_cores(cell),
        painted=painted_share(image, cell),
        edge_width=_edge_width(density, cell, region.rim) if glass_shows else 0.0,
        glass_shows=glass_shows,
        rim=region.rim,
        contact=region.contact,
        straight=region.straight,
    )


def judge(found: CellMeasures, class_id: int, gate: GateSpec, name: str = "", *, tight: bool) -> str:
    """The reason of refusal that needs no scale, "" for none.

    name: as the source names the cell; one of a red cell's forms widens what is said of outline and size. tight: the
    image was cropped to the cell.
    """
    refused = {
        "no_cell": found.area == 0,
        "painted": found.painted > gate.most_painted,
        "cut": found.straight > (gate.most_straight if tight else 0.0),
        "no_contrast": found.glass_shows and found.rim < gate.least_contrast,
        "several": found.cores > 1 and class_id != PLATELET_CLUMP,
        "touching": found.contact > gate.most_contact,
        "solidity": found.solidity < min(getattr(gate.least_solidity, CLASSES[class_id].key), _form(class_id, name)[0]),
    }
    return next((reason for reason, applies in refused.items() if applies), "")


def judge_size(found: CellMeasures, class_id: int, gate: GateSpec, um_per_px: float, name: str = "") -> str:
    """The reason of refusal once the scale is known, "" for none. um_per_px: of its image. name: as for `judge`."""
    if found.edge_width * um_per_px > gate.most_blur:
        return "blurred"
    low, high = getattr(gate.area_range, CLASSES[class_id].key)
    _, least, most = _form(class_id, name)
    area = found.area * (um_per_px / UM_PER_PX) ** 2
    return "" if min(low, least) <= area / CLASSES[class_id].area <= max(high, most) else "area"


def _form(class_id: int, name: str) -> tuple[float, float, float]:
    """What `_FORMS` says of a name in any spelling, such as `Burr cell`; (1, 1, 1) for any other."""
    bare = re.sub("cell|rbc|erythrocyte", "", canonical(name))
    return _FORMS.get(bare, _NO_FORM) if class_id in RED_CELLS else _NO_FORM


def count_cores(cell: Mask) -> int:
    """Parts of at least a tenth of the cell that remain when everything thinner than 60 % of it is worn away."""
    depth = cv2.distanceTransform(np.pad(cell, 1).astype(np.uint8), cv2.DIST_L2, 5)
    count, _, stats, _ = cv2.connectedComponentsWithStats((depth > 0.6 * depth.max()).astype(np.uint8))
    sizes = stats[1:, cv2.CC_STAT_AREA]
    return int((sizes * 10 >= sizes.max(initial=1)).sum()) if count > 1 else 0


def painted_share(image: Image, cell: Mask) -> float:
    """Largest connected patch of one exact colour over the cell's area, among the three commonest colours."""
    codes = image.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    values, counts = np.unique(codes[cell], return_counts=True)
    common = [k for k in np.argsort(-counts, kind="stable")[:3] if counts[k] >= _LEAST_PATCH]
    patch = max((int(largest_component((codes == values[k]) & cell).sum()) for k in common), default=0)
    return patch / int(cell.sum()) if patch >= _LEAST_PATCH else 0.0


def _edge_width(density: Density, cell: Mask, rim: float) -> float:
    """Sigma, px, of the Gaussian that would blur a step from glass to the rim's density as the edge is blurred.

    Such a step rises by rim / (sigma * sqrt(2 pi)) per px where it is steepest; the median over the contour counts.
    """
    contour = grow(cell, 1) & ~grow(cell, -1)
    dx, dy = cv2.Sobel(density, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(density, cv2.CV_32F, 0, 1, scale=0.125)
    slope = float(np.median(np.hypot(dx, dy)[contour])) if contour.any() else 0.0
    return rim / (slope * float(np.sqrt(2 * np.pi))) if slope > 0 else 0.0


def refusal_tree(refusals: Refusals) -> dict[str, dict[str, dict[str, int]]]:
    """The counts as `RefusalTree`, in plain dicts for --json."""
    tree: dict[str, dict[str, dict[str, int]]] = {}
    for (name, class_id, reason), count in sorted(refusals.items()):
        tree.setdefault(name, {}).setdefault(CLASSES[class_id].key, {})[reason] = count
    return tree


def refusal_table(refused: RefusalTree) -> str:
    """The refusals as a table for a person, "" where there is none."""
    head = ("source", "class", "refused", "cells", "because")
    return columns(head, refusal_rows(refused), text=("source", "class", "refused", "because"))


def refusal_rows(refused: RefusalTree) -> list[tuple[str, str, str, int, str]]:
    """Source, class key, reason, cells, and the reason in words; the most frequent of a source and class first."""
    return [
        (source, key, reason, count, REASONS.get(reason, "the file can't be used"))
        for source, classes in refused.items()
        for key, reasons in classes.items()
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]
