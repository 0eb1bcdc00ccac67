"""A cell found in an image, and where exactly it ends: what every method of finding cells hands its rough region to."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.cells.edges import (
    Density,
    Mask,
    Soft,
    Window,
    box_window,
    grow,
    halfway,
    radius_of,
    reached,
    straight_run,
    window_of,
    within,
)

Image = npt.NDArray[np.uint8]

_LEAST_REACH = 6
"""Pixels that any contour may be moved by: experts' masks are often 2 px off, and the image's threshold runs 3 to 4 px
inside pale or blurred red cells."""
LEAST_AREA = 30
"""Pixels below which a component is noise."""
_MOST_AREA = 500_000
"""Pixels above which a region is no cell: a white cell of 20 um has fewer down to 0.03 um/px. The time that an edge
takes grows with the region's area and its radius."""
_MOST_COMPONENTS = 20_000
"""Regions that one image can have: 16 megapixels at 40x have room for 16,000 red cells side by side."""
_MARGIN = 8
"""Pixels kept around a mask: more than the reach of any edge filter."""


class TooManyError(ValueError):
    """An image shows more regions than any field has cells."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One cell found in an image.

    window: the part of the image that holds the cell and 8 px around it. mask: u1, of the window, soft, 128 half-way
    between glass and rim. rim: optical density of the cell's rim, 0 where no glass shows. contact: share of the cell's
    surroundings that a neighbour fills which threshold could not part from it. straight: longest run of the rough
    region along one side of the image, over that side.
    """

    class_id: int
    window: Window
    mask: Soft
    rim: float
    contact: float
    straight: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """image: u1 (h, w, 3), repaired where the source painted on it. density: f4 (h, w), optical, mean over channels.
    glass: RGB, measured here or the source's."""

    image: Image
    density: Density
    regions: tuple[Region, ...]
    glass: tuple[int, int, int]
    glass_measured: bool


def components(mask: Mask) -> Iterator[tuple[Window, Mask]]:
    """Connected regions, the largest first (ties in reading order), each in a window with room to move its edge."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] >= LEAST_AREA) > _MOST_COMPONENTS:
        raise TooManyError(f"over {_MOST_COMPONENTS:,} regions in one image are no cells; cut it into fields")
    for label in sorted(range(1, len(stats)), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA])):
        x, y, w, h, area = stats[label].tolist()
        if area >= LEAST_AREA:
            window = box_window(x, y, w, h, _room(w, h), mask.shape)
            yield window, labels[window] == label


def _room(w: int, h: int) -> int:
    """Pixels around a box of w x h px that decide where the cell in it ends."""
    return 2 * max(_LEAST_REACH, max(w, h) // 8) + 6


def finish(
    density: Density, window: Window, region: Mask, others: Mask, class_id: int, *, by_threshold: bool = False
) -> Region:
    """The exact edge of one cell; densities are smoothed in proportion to its size, so noise does not fray it.

    density: of the image. region, others: of the window. A region larger than any cell gives an empty mask.
    """
    if np.count_nonzero(region) > _MOST_AREA:
        region = np.zeros_like(region)
    radius = radius_of(region)
    reach = max(_LEAST_REACH, round(0.08 * radius))
    near = window_of(region, 2 * reach + 6)
    window, region, others = within(window, near), region[near], others[near]
    smooth = cv2.GaussianBlur(density[window], (0, 0), max(0.7, 0.015 * radius))
    mask = halfway(smooth, region, others, reach)
    cell = mask >= 128
    contour = cell & ~grow(cell, -1)
    rim = 2 * float(np.median(smooth[contour])) if contour.any() else 0.0
    kept = window_of(mask > 0, _MARGIN)
    return Region(
        class_id=class_id,
        window=within(window, kept),
        mask=mask[kept],
        rim=rim,
        contact=_contact(cell, smooth > rim / 2, reach + 1) if by_threshold else 0.0,
        straight=straight_run(region, density.shape),
    )


def _contact(cell: Mask, dense: Mask, distance: int) -> float:
    """Share of the ring at `distance` px around a cell that something joined to the cell fills."""
    near = grow(cell, distance)
    joined = reached((dense & near) | cell, cell)
    ring = near & ~grow(cell, distance - 1)
    return float((joined & ring).sum() / max(int(ring.sum()), 1))
