"""Each cell of a field measured: what it is, where, how large, how round, and whether a laboratory counts it.

What a laboratory reports of the cells that were counted, and whether they were enough to say it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.instances import families, find_cells
from segtrain.counting.watershed_split import Labels
from segtrain.inference.field_prediction import FieldPrediction
from smearsynth.taxonomy import (
    CLASSES,
    HEALTHY_RBC,
    INFECTED_RBC,
    PLATELET_CLUMP,
    RED_CELLS,
    THROMBOCYTE,
    WHITE_CELLS,
    display_name,
)

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


ENOUGH_RED = 2000
"""Red cells for a parasitaemia. Counts on thin films are against 1,000 or 2,000; of 2,000 they lie nearer to the truth
(simulation in Malaria Journal 19, 2020, s12936-020-03352-z, table 3)."""
ENOUGH_WHITE = 200
"""White cells for a differential: what each of two examiners counts for the 400 of the reference method (CLSI
H20-A2)."""
UNSURE = 0.5
"""Confidence under which less than half of what the network saw of a cell speaks for its class."""
_Z = 1.959963984540054
"""Of the normal distribution, for an interval of 95 %."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share, 0 to 1, with its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Of all counted cells. cells: how many by class, of every class that the network knows. parasitaemia: infected of
    all red cells. differential: share of each white cell among them, by class. platelets_per_red_cell: of single
    platelets. Of what was not seen, or what the network does not tell apart, there is None or nothing. warnings:
    sentences."""

    cells: dict[str, int]
    red_cells: int
    white_cells: int
    not_counted: int
    parasitaemia: Share | None
    differential: dict[str, Share]
    platelets_per_red_cell: float | None
    warnings: tuple[str, ...]


def summarise(found: Sequence[Cell], *, keys: Sequence[str]) -> Summary:
    """found: all cells, of which those are left out that the border cuts so that they do not count. keys: of the
    network's classes, background first."""
    counted = [cell for cell in found if cell.counted]
    seen = Counter(cell.kind for cell in counted)
    cells = {key: seen[key] for key in keys[1:]}
    red = sum(cells.get(CLASSES[i].key, 0) for i in RED_CELLS)
    white = {CLASSES[i].key: cells[CLASSES[i].key] for i in WHITE_CELLS if CLASSES[i].key in cells}
    whites = sum(white.values())
    malaria = {CLASSES[i].key for i in (INFECTED_RBC, HEALTHY_RBC)} <= cells.keys()
    platelets = cells.get(CLASSES[THROMBOCYTE].key)
    return Summary(
        cells=cells,
        red_cells=red,
        white_cells=whites,
        not_counted=len(found) - len(counted),
        parasitaemia=wilson(cells[CLASSES[INFECTED_RBC].key], red) if malaria and red else None,
        differential={key: wilson(count, whites) for key, count in white.items()} if whites else {},
        platelets_per_red_cell=platelets / red if platelets is not None and red else None,
        warnings=(
            *_too_few(cells, red, whites, malaria=malaria, differential=len(white) > 1),
            *_unsure(cells, Counter(cell.kind for cell in counted if cell.confidence < UNSURE)),
        ),
    )


def wilson(hits: int, total: int) -> Share:
    """hits of total, with the 95 % score interval of E. B. Wilson, J. Am. Stat. Assoc. 22 (1927). total: 1 or more."""
    share, weight = hits / total, _Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    # At the ends of the scale the interval ends there too, but for rounding.
    low, high = (0.0 if hits == 0 else middle - half), (1.0 if hits == total else middle + half)
    return Share(value=share, low=low, high=high)


def _too_few(cells: dict[str, int], red: int, whites: int, *, malaria: bool, differential: bool) -> list[str]:
    said = []
    if not any(cells.values()):
        return ["no cell was counted"]
    if malaria and red < ENOUGH_RED:
        said.append(f"red cells counted: {red}; a parasitaemia takes {ENOUGH_RED}: mind its interval")
    if differential and whites < ENOUGH_WHITE:
        said.append(f"white cells counted: {whites}; a differential takes {ENOUGH_WHITE}: mind its intervals")
    clumps = cells.get(CLASSES[PLATELET_CLUMP].key, 0)
    if clumps:
        are = "clump of platelets is" if clumps == 1 else "clumps of platelets are"
        said.append(f"{clumps} {are} not in the platelets per red cell, which is too low by theirs")
    return said


def _unsure(cells: dict[str, int], unsure: Counter[str]) -> list[str]:
    return [
        f"{display_name(key)}: of {count} counted, {unsure[key]} have a confidence under {UNSURE}; look at them"
        for key, count in cells.items()
        if 2 * unsure[key] > count
    ]
