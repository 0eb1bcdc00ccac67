"""What the quality gate looks at: a few figures per cell, all at the source's native scale.

The quality gate: why a cell is not good enough, if it is not. Every refusal has one reason, and it is counted.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.outlines import Mask, Region, convex_hull, grow, largest
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.taxonomy import CLASSES, PLATELET_CLUMP, UM_PER_PX

Image = npt.NDArray[np.uint8]

_LEAST_PATCH = 256


@dataclass(frozen=True, kw_only=True)
class Measures:
    """area: px. solidity: area over that of the convex hull, 0-1. cores: separate thick parts, 1 for one cell.
    painted: share of the cell in one connected patch of exactly one colour. edge_width: px, sigma of the blur of the
    edge, 0 where no glass shows. glass_shows: False where the glass is not of this image. rim, contact, straight: as
    found by masking."""

    area: int
    solidity: float
    cores: int
    painted: float
    edge_width: float
    glass_shows: bool
    rim: float
    contact: float
    straight: float


def measure(image: Image, region: Region, density: npt.NDArray[np.float32], *, glass_shows: bool) -> Measures:
    """image, density: of the region's window. glass_shows: the edge can be judged for blur."""
    cell = region.mask >= 128
    return Measures(
        area=int(cell.sum()),
        solidity=solidity(cell),
        cores=cores(cell),
        painted=painted(image, cell),
        edge_width=edge_width(density, cell, region.rim) if glass_shows else 0.0,
        glass_shows=glass_shows,
        rim=region.rim,
        contact=region.contact,
        straight=region.straight,
    )


def solidity(cell: Mask) -> float:
    return float(cell.sum() / max(int(convex_hull(cell).sum()), 1))


def cores(cell: Mask) -> int:
    """Parts of at least a tenth of the cell that remain when everything thinner than 60 % of it is worn away."""
    depth = cv2.distanceTransform(np.pad(cell, 1).astype(np.uint8), cv2.DIST_L2, 5)
    count, _, stats, _ = cv2.connectedComponentsWithStats((depth > 0.6 * depth.max()).astype(np.uint8))
    sizes = stats[1:, cv2.CC_STAT_AREA]
    return int((sizes * 10 >= sizes.max(initial=1)).sum()) if count > 1 else 0


def painted(image: Image, cell: Mask) -> float:
    """Largest connected patch of one exact colour over the cell's area, among the three commonest colours.

    Patches under 256 px count as 0: JPEG makes such where an image is smooth (four flat blocks of 8x8).
    """
    codes = image.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    values, counts = np.unique(codes[cell], return_counts=True)
    common = [k for k in np.argsort(-counts, kind="stable")[:3] if counts[k] >= _LEAST_PATCH]
    patch = max((int(largest((codes == values[k]) & cell).sum()) for k in common), default=0)
    return patch / int(cell.sum()) if patch >= _LEAST_PATCH else 0.0


def edge_width(density: npt.NDArray[np.float32], cell: Mask, rim: float) -> float:
    """Sigma, px, of the Gaussian that would blur a step from glass to the rim's density as the edge is blurred.

    Such a step rises by rim / (sigma * sqrt(2 pi)) per px where it is steepest; the median over the contour counts.
    """
    contour = grow(cell, 1) & ~grow(cell, -1)
    dx, dy = cv2.Sobel(density, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(density, cv2.CV_32F, 0, 1, scale=0.125)
    slope = float(np.median(np.hypot(dx, dy)[contour])) if contour.any() else 0.0
    return rim / (slope * float(np.sqrt(2 * np.pi))) if slope > 0 else 0.0


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
