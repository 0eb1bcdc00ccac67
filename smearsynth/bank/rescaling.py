"""Cells at 40x: the scale of a source, and a cell brought to 0.20 um/px.

The scale is stated in micrometres per pixel, or found from the sizes of a source's cells: one factor for the whole
source, so the natural spread of sizes within it survives.

A microscope blends cell and glass over a few pixels. Pasting such pixels on other glass leaves a bright or dark seam,
so the blended rim is replaced by the colour just inside it, and all softness of the edge is in the mask: the blend is
made anew at placement.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import MARGIN
from smearsynth.bank.cutting import CutCell
from smearsynth.bank.glass import Image, Mask
from smearsynth.bank.outlines import SoftMask, fill_outside, grow
from smearsynth.base.errors import UserError
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.entry import Facts, Listing
from smearsynth.taxonomy import BY_KEY, UM_PER_PX

_LEAST_CELLS = 5
"""Cells of a class below which its median area says little."""
_BLEND_UM = 0.25
"""Least width of the rim that is blended with glass, micrometres inside the half-way contour: the optical resolution
of a 100x 1.25 NA objective (Abbe limit 0.22 um)."""


def source_scale(spec: SourceSpec, facts: Facts, cells: Sequence[CutCell]) -> float:
    """Micrometres per pixel of a source, the median where images state their own. cells: its good ones. Raises
    UserError as `scale_of`."""
    own = [cell.um_per_px for cell in cells if cell.um_per_px is not None]
    if own and len(own) == len(cells):
        return float(np.median(own))
    areas: dict[int, list[int]] = defaultdict(list)
    for cell in (cell for cell in cells if cell.um_per_px is None):
        areas[cell.class_id].append(cell.measures.area)
    classes, stated = calibration(spec, facts)
    return scale_of(spec.name, stated, classes, areas)


def scale_of(source: str, stated: float | None, classes: Sequence[str], areas: Mapping[int, Sequence[int]]) -> float:
    """Micrometres per pixel of a source.

    stated: the scale where it is known. classes: keys of the classes that calibrate otherwise: the geometric mean over
    them of the scale that brings their median area to the taxonomy's. areas: class id -> areas in px of good cells.
    Raises UserError where none of the classes has enough cells.
    """
    if stated is not None:
        return stated
    scales = [
        UM_PER_PX * float(np.sqrt(BY_KEY[key].area / np.median(found)))
        for key in classes
        if len(found := areas.get(BY_KEY[key].id, ())) >= _LEAST_CELLS
    ]
    if not scales:
        raise UserError(
            f"source `{source}`: none of the classes that set its scale ({', '.join(classes)}) has {_LEAST_CELLS} good "
            "cells; set `um_per_px`, or name other classes in `calibrate: {area: [...]}`"
        )
    # Six digits are far finer than any calibration, and leave the last bit of a logarithm out of the bank.
    return round(float(np.exp(np.mean(np.log(scales)))), 6)


def scale_text(spec: SourceSpec, listing: Listing, um_per_px: float) -> str:
    """A source's scale for a person: what it is, what it rests on, and by what its cells are brought to 40x."""
    classes, stated = calibration(spec, listing.facts)
    how = "as stated" if stated is not None else f"by the area of its {', '.join(classes)}"
    if any(entry.um_per_px for entry in listing.entries):
        how = "the median of what its images state"
    return f"{um_per_px:.4g} um/px, {how}; its cells come to 40x by a factor of {um_per_px / UM_PER_PX:.3g}"


def calibration(spec: SourceSpec, facts: Facts) -> tuple[Sequence[str], float | None]:
    """Keys of the classes whose areas find the scale of a source, and the scale where it is stated; what the recipe
    says goes before what the source says."""
    classes = spec.calibrate.area if spec.calibrate else facts.calibrate
    return classes, spec.um_per_px or (None if spec.calibrate else facts.um_per_px)


def to_40x(image: Image, mask: SoftMask, um_per_px: float) -> npt.NDArray[np.uint8]:
    """uint8 (h, w, 4), RGB and soft mask at 0.20 um/px, cropped to mask > 0 and a margin of mask 0 around it.

    image: uint8 (h, w, 3); um_per_px: its scale. Area filter down, cubic up.
    """
    factor = um_per_px / UM_PER_PX
    colour = _without_blend(image, mask >= 128, depth=max(_BLEND_UM / um_per_px, 2 * blur_of(mask)))
    # The cubic filter spreads the mask by two pixels.
    rim = int(np.ceil(MARGIN / factor)) + 2
    framed = np.dstack([np.pad(colour, ((rim, rim), (rim, rim), (0, 0)), "edge"), np.pad(mask, rim)])
    # A scale that is given, not found from the rounded size, is the same for every cell.
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    rgba = cv2.resize(framed, None, fx=factor, fy=factor, interpolation=how)
    x, y, w, h = cv2.boundingRect((rgba[..., 3] > 0).astype(np.uint8))
    return rgba[y - MARGIN : y + h + MARGIN, x - MARGIN : x + w + MARGIN].copy()


def blur_of(mask: SoftMask) -> float:
    """Sigma, px, of the Gaussian that blurs the edge: per pixel of contour it takes sigma / sqrt(2 pi) off the mask."""
    cell = mask >= 128
    missing = float((255 - mask[cell].astype(np.int64)).sum()) / 255
    return float(np.sqrt(2 * np.pi)) * missing / max(int((cell & ~grow(cell, -1)).sum()), 1)


def _without_blend(image: Image, cell: Mask, depth: float) -> Image:
    """The image with every pixel outside the cell, or less than `depth` px inside its edge, coloured like the nearest
    pixel further in; the replaced part is smoothed lightly so that it shows no streaks."""
    inside = cv2.distanceTransform(np.pad(cell, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    # A pixel's centre lies up to one less inside the contour than it lies from the nearest pixel outside.
    core = inside > min(depth + 1, 0.5 * float(inside.max()))
    if not core.any():
        return image
    smooth = cv2.GaussianBlur(fill_outside(image, core), (0, 0), max(1.0, depth))
    return np.where(core[..., None], image, smooth)
