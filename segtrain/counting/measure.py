"""Each cell of a field measured: what it is, where, how large, how round, and whether a laboratory counts it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.cells import find_cells
from segtrain.counting.contacts import Labels
from segtrain.counting.families import families
from segtrain.inference.field import FieldPrediction

EDGES = ("top", "left", "bottom", "right")
NOT_COUNTED = ("bottom", "right")
"""A cell that is cut by one of these is not counted, one that is cut by the others alone is: of two fields side by
side, just one counts it. The rule of counting chambers, which take two adjacent lines in and the other two out."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell, in pixels of the native image, whose first pixel's middle is (0, 0).

    number: from 1 in its image, as in the map. kind: key of its class. x, y: centre. left, top, right, bottom: box, the
    last two exclusive. area_um2: of what is visible. confidence: 0 to 1, the mean over the cell of the probability of
    its class where the network saw that, and 0 where it saw another. eccentricity: of the ellipse of the same second
    moments, 0 for a disc. edges: those of the image that cut it, of `EDGES`. counted: by the rule of `NOT_COUNTED`.
    """

    number: int
    kind: str
    x: float
    y: float
    left: int
    top: int
    right: int
    bottom: int
    area_um2: float
    confidence: float
    eccentricity: float
    edges: tuple[str, ...]
    counted: bool


@dataclass(frozen=True, kw_only=True)
class FieldCells:
    """map: i4 (h, w) at the scale of the label map, 0 = no cell, else the number of one of `cells`."""

    map: Labels
    cells: tuple[Cell, ...]


def cells_of(field: FieldPrediction) -> FieldCells:
    """`count_field` of a field as it was predicted, in pixels of the native image."""
    # At the networks' scale its sides are whole pixels, so one of them is not just what the scale says.
    exact = math.sqrt(math.prod(field.native_shape) / field.label.size)
    return count_field(
        field.label,
        field.confidence,
        keys=field.classes.keys,
        um_per_px=field.native_um_per_px * exact,
        native_shape=field.native_shape,
    )


def count_field(
    label: npt.NDArray[np.uint8],
    confidence: npt.NDArray[np.uint8],
    *,
    keys: Sequence[str],
    um_per_px: float,
    native_shape: tuple[int, int] | None = None,
) -> FieldCells:
    """The cells of one field.

    label: u1 (h, w), class ids, of 0.20 um/px best. confidence: u1 (h, w), probability of that label in 1/255. keys: of
    the classes, background first. um_per_px: of the label map. native_shape: (h, w) of the image that centres and boxes
    are of, by default the map's own.
    """
    kinds = families(keys, um_per_px)
    cells, family = find_cells(label, kinds)
    evidence = _evidence(cells, label, confidence, len(family))
    area = np.bincount(cells.ravel(), minlength=len(family) + 1)[1:]
    centre, eccentricity = _moments(cells, area)
    height, width = label.shape
    scale = np.array(native_shape or label.shape) / label.shape
    native = (centre + 0.5) * scale - 0.5
    found = []
    for row, box in enumerate(ndimage.find_objects(cells)):
        ids = list(kinds[family[row]].ids)
        if not evidence[row, ids].any():
            # Parted from its family's cell, and all of it was a patch.
            ids = list(range(1, len(keys)))
        votes = evidence[row, ids]
        rows, columns = box
        cut = (rows.start == 0, columns.start == 0, rows.stop == height, columns.stop == width)
        edges = tuple(edge for edge, is_cut in zip(EDGES, cut, strict=True) if is_cut)
        top, bottom = (round(y * scale[0]) for y in (rows.start, rows.stop))
        left, right = (round(x * scale[1]) for x in (columns.start, columns.stop))
        found.append(
            Cell(
                number=row + 1,
                kind=keys[ids[int(votes.argmax())]],
                x=float(native[row, 1]),
                y=float(native[row, 0]),
                left=left,
                top=top,
                right=right,
                bottom=bottom,
                area_um2=float(area[row]) * um_per_px**2,
                confidence=float(votes.max()) / (255 * float(area[row])),
                eccentricity=float(eccentricity[row]),
                edges=edges,
                counted=not set(edges) & set(NOT_COUNTED),
            )
        )
    return FieldCells(map=cells, cells=tuple(found))


def _evidence(
    cells: Labels, label: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8], count: int
) -> npt.NDArray[np.float64]:
    """f8 (n, 256): sum of the confidence by cell and class."""
    inside = cells > 0
    total = np.zeros((count, 256))
    np.add.at(total, (cells[inside] - 1, label[inside]), confidence[inside])
    return total


def _moments(cells: Labels, area: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """f8 (n, 2): centre y, x in px; and f8 (n,): eccentricity, as of pixels that are squares."""
    place = np.nonzero(cells)
    row = cells[place] - 1

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(row, values, minlength=len(area)) / area

    centre = np.stack([mean(axis.astype(float)) for axis in place], axis=1)
    y, x = (axis - centre[row, i] for i, axis in enumerate(place))
    yy, xx, xy = mean(y * y) + 1 / 12, mean(x * x) + 1 / 12, mean(x * y)
    half, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    return centre, np.sqrt(1 - (half - spread) / (half + spread))
