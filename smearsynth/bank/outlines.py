"""Where a cell ends: the contour half-way between glass and rim, with a soft edge at sub-pixel precision.

One rule for all sources, because a mask that is one pixel wider in one database than in another would teach a network
to tell databases apart. A rough region (threshold, drawn outline, expert mask) only says which cell is meant;
`find_edge` says where it ends. The functions on boolean masks that this and the methods of finding cells stand on come
last.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.bank.glass import Density, Glass, Image, Mask
from smearsynth.fields.otsu import fill_holes

SoftMask = npt.NDArray[np.uint8]
"""(h, w): 0 outside, 255 inside, 128 half-way between glass and rim."""
Window = tuple[slice, slice]
"""Rows and columns of an image."""

LEAST_AREA = 30
"""Pixels below which a component is noise."""
_MOST_AREA = 500_000
"""Pixels above which a region is no cell: a white cell of 20 um has fewer down to 0.03 um/px. The time that an edge
takes grows with the region's area and its radius."""
_MOST_COMPONENTS = 20_000
"""Regions that one image can have: 16 megapixels at 40x hold 16,000 red cells side by side."""
_LEAST_REACH = 6
"""Pixels that any contour may be moved by: experts' masks are often 2 px off, and the image's threshold runs 3 to 4 px
inside pale or blurred red cells."""
_LEAST_RIM = 0.1
"""A rim paler than this can't be told from glass by density (camera noise is about 0.02): the region's edge stands."""
_MARGIN = 8
"""Pixels kept around a mask: more than the reach of any edge filter."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One cell found in an image.

    window: the part of the image that holds the cell and 8 px around it. mask: of the window. rim: optical density of
    the cell's rim, 0 where no glass shows. contact: share of the cell's surroundings that a neighbour fills which
    threshold could not separate from it. straight: longest run of the rough region along one side of the image, over
    that side.
    """

    class_id: int
    window: Window
    mask: SoftMask
    rim: float
    contact: float
    straight: float
    reject: str = ""


@dataclass(frozen=True, kw_only=True)
class FoundCells:
    """image: uint8 (h, w, 3), repaired where the source painted on it. density: float32 (h, w), mean over channels.
    glass: measured here (glass_measured), else the source's."""

    image: Image
    density: Density
    regions: tuple[Region, ...]
    glass: Glass
    glass_measured: bool


class TooManyError(ValueError):
    """An image shows more regions than any field has cells."""


def components(mask: Mask) -> Iterator[tuple[Window, Mask]]:
    """Connected regions, the largest first (ties in reading order), each in a window wide enough to move its edge.

    Raises TooManyError.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] >= LEAST_AREA) > _MOST_COMPONENTS:
        raise TooManyError(f"over {_MOST_COMPONENTS:,} regions in one image are no cells; cut it into fields")
    for label in sorted(range(1, len(stats)), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA])):
        x, y, w, h, area = stats[label].tolist()
        if area >= LEAST_AREA:
            window = box_window(x, y, w, h, 2 * max(_LEAST_REACH, max(w, h) // 8) + 6, mask.shape)
            yield window, labels[window] == label


def find_edge(
    density: Density,
    window: Window,
    region: Mask,
    others: Mask,
    class_id: int,
    *,
    by_threshold: bool = False,
    parted: bool = False,
) -> Region:
    """The exact edge of one cell; densities are smoothed in proportion to its size, so noise does not fray it.

    density: of the image. region, others: of the window; rough cell, and pixels of other cells. by_threshold: the
    region came from a threshold, which may have joined a neighbour to it. parted: the others were split from the
    region, and touching them is no contact. A region larger than any cell gives an empty mask.
    """
    if np.count_nonzero(region) > _MOST_AREA:
        region = np.zeros_like(region)
    radius = radius_of(region)
    reach = max(_LEAST_REACH, round(0.08 * radius))
    near = mask_window(region, 2 * reach + 6)
    window, region, others = _inner_window(window, near), region[near], others[near]
    smooth = cv2.GaussianBlur(density[window], (0, 0), max(0.7, 0.015 * radius))
    mask = _halfway(smooth, region, others, reach)
    cell = mask >= 128
    contour = cell & ~grow(cell, -1)
    rim = 2 * float(np.median(smooth[contour])) if contour.any() else 0.0
    if parted:
        mask = _softened(mask, others)
    dense = (smooth > rim / 2) & ~(others if parted else np.zeros_like(others))
    kept = mask_window(mask > 0, _MARGIN)
    return Region(
        class_id=class_id,
        window=_inner_window(window, kept),
        mask=mask[kept],
        rim=rim,
        contact=_contact(cell, dense, reach + 1) if by_threshold else 0.0,
        straight=straight_run(region, density.shape),
    )


def cut_region(window: Window, region: Mask, class_id: int, straight: float) -> Region:
    """A cell that the image's border cuts, as it roughly is: it is refused, whatever its edge."""
    mask = np.where(region, np.uint8(255), np.uint8(0))
    return Region(class_id=class_id, window=window, mask=mask, rim=0.0, contact=0.0, straight=straight)


def no_region(class_id: int, window: Window) -> Region:
    """What is found in a window where there is no cell."""
    empty = np.zeros([side.stop - side.start for side in window], np.uint8)
    return Region(class_id=class_id, window=window, mask=empty, rim=0.0, contact=0.0, straight=0.0)


def _halfway(density: Density, region: Mask, others: Mask, reach: int) -> SoftMask:
    """The soft mask of the cell that `region` roughly outlines.

    others: pixels of other cells, never entered. reach: px that the contour may move from the region's edge. Near the
    edge the mask is density / rim, so 128 lies half-way from glass to rim; further in it is 255. Where density stays
    high right to the limit of the reach, a neighbour touches: there the region's own edge stands.
    """
    cell = region
    for _ in range(2):
        rim = _rim_density(density, cell)
        share = np.where(rim < _LEAST_RIM, region, density / np.maximum(rim, _LEAST_RIM))
        dense = share > 0.5
        outer = grow(region, reach) & ~others
        gained = outer & dense & ~region
        gained &= ~grow(gained & ~grow(outer, -1), reach)
        cell = largest_component(fill_holes(grow(region, -reach) | (region & dense) | gained))
    depth = cv2.distanceTransform(cell.astype(np.uint8), cv2.DIST_L2, 5)
    fringe = grow(cell, 2) & ~cell & ~others & (share < 0.5)
    soft = np.where(depth > 0.5 * reach + 1, 1.0, np.clip(share, 0.51, 1.0))
    soft = np.where(cell, soft, np.where(fringe, np.clip(share, 0.0, 0.49), 0.0))
    return np.rint(soft * 255).astype(np.uint8)


def _softened(mask: SoftMask, others: Mask) -> SoftMask:
    """The mask with the edge that others were split from as soft as a sharp camera shows it; 128 stays in place."""
    cell = mask >= 128
    blurred = np.rint(cv2.GaussianBlur(cell.astype(np.float32), (0, 0), 0.8) * 255).astype(np.uint8)
    blurred = np.where(cell, np.maximum(blurred, 128), np.minimum(blurred, 127))
    return np.where(grow(cell, 2) & grow(others, 2), blurred, mask)


def _rim_density(density: Density, region: Mask) -> Density:
    """float32 (h, w): density of the rim nearest to each pixel, 0 for an empty region.

    The rim is the band 4 to 12 % of the radius inside the region's edge, averaged with a Gaussian of a quarter of the
    radius along it: a cell may end in dark nucleus on one side and in pale cytoplasm on the other.
    """
    depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    radius = radius_of(region)
    band = (region & (depth > 0.04 * radius) & (depth <= 0.12 * radius + 1.5)).astype(np.float32)
    weight = cv2.GaussianBlur(band, (0, 0), 0.25 * radius + 1)
    total = cv2.GaussianBlur(band * density, (0, 0), 0.25 * radius + 1)
    return np.where(weight > 1e-4, total / np.maximum(weight, 1e-4), np.float32(0))


def _contact(cell: Mask, dense: Mask, distance: int) -> float:
    """Share of the ring at `distance` px around a cell that something joined to the cell fills."""
    near = grow(cell, distance)
    joined = components_with((dense & near) | cell, cell)
    ring = near & ~grow(cell, distance - 1)
    return float((joined & ring).sum() / max(int(ring.sum()), 1))


def straight_run(cell: Mask, shape: tuple[int, ...]) -> float:
    """Longest unbroken run of the cell along one side of its window, over that side of the image of that shape."""
    h, w = shape
    sides = ((cell[0], w), (cell[-1], w), (cell[:, 0], h), (cell[:, -1], h))
    return max(_longest_run(side) / length for side, length in sides)


def _longest_run(line: Mask) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))


def grow(mask: Mask, radius: int) -> Mask:
    """Dilation (radius > 0) or erosion (< 0) by a disc, px; outside the image counts as the nearest edge pixel."""
    if radius == 0:
        return mask
    size = 2 * abs(radius) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    operate = cv2.dilate if radius > 0 else cv2.erode
    return operate(mask.astype(np.uint8), disc, borderType=cv2.BORDER_REPLICATE).astype(bool)


def largest_component(mask: Mask) -> Mask:
    """The largest 8-connected component; all False stays all False."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))


def components_with(mask: Mask, seed: Mask) -> Mask:
    """The 4-connected components of `mask` that hold a pixel of `seed`."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    held = np.zeros(count, bool)
    held[labels[seed]] = True
    held[0] = False
    return held[labels]


def fill_outside(image: Image, mask: Mask) -> Image:
    """The image with everything outside the mask, which is not empty, in the colour of the mask's nearest pixel."""
    rows, columns = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return image[rows, columns]


def convex_hull(mask: Mask) -> Mask:
    """The convex hull of all True pixels; all False stays all False."""
    hull = np.zeros(mask.shape, np.uint8)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if contours:
        cv2.fillConvexPoly(hull, cv2.convexHull(np.concatenate(contours)), 1)
    return hull.astype(bool)


def radius_of(mask: Mask) -> float:
    """Radius, px, of the disc with the mask's area."""
    return float(np.sqrt(max(int(mask.sum()), 1) / np.pi))


def box_window(x: int, y: int, w: int, h: int, margin: int, shape: tuple[int, ...]) -> Window:
    """A box grown by `margin` px, as far as an image of that shape reaches; at least one pixel at its border."""

    def side(start: int, stop: int, length: int) -> slice:
        start = min(max(0, start), length - 1)
        return slice(start, max(start + 1, min(stop, length)))

    return side(y - margin, y + h + margin, shape[0]), side(x - margin, x + w + margin, shape[1])


def mask_window(mask: Mask, margin: int) -> Window:
    """The box of all True pixels, grown like `box_window`; the whole image for all False."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return box_window(x, y, w, h, margin, mask.shape) if w else whole_window(mask)


def whole_window(mask: Mask) -> Window:
    return slice(0, mask.shape[0]), slice(0, mask.shape[1])


def _inner_window(outer: Window, inner: Window) -> Window:
    """The window of the image that is `inner` in the image's window `outer`."""
    rows, columns = (slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))
    return rows, columns
