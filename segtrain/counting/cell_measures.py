"""Each cell of a field measured: what it is, where, how large, how round, and whether a laboratory counts it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.cell_names import (
    CellNames,
    Logarithms,
    Names,
    by_both,
    decided,
    mean_evidence,
    name_crops,
    red_ids,
)
from segtrain.counting.instances import class_groups, label_cells
from segtrain.counting.watershed_split import Labels
from segtrain.data.samples import id_of
from segtrain.inference.field_prediction import FieldPrediction, predict_field
from segtrain.inference.image_reader import ImageReader
from segtrain.inference.operating_point import OperatingPoint
from segtrain.inference.ready_networks import Networks
from segtrain.inference.tiles import Band, RescaledImage
from smearsynth.fields.scale import to_native
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, IGNORE, INFECTED_RBC, UNSURE

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
BORDERS = ("top", "left", "bottom", "right")
NOT_COUNTED = ("bottom", "right")
"""A cell that is cut by one of these is not counted, one that is cut by the others alone is: of two fields side by
side, just one counts it. The rule of counting chambers, which take two adjacent lines in and the other two out."""


@dataclass(frozen=True, kw_only=True)
class MeasuredCell:
    """One cell, in pixels of the native image, whose first pixel's centre is (0, 0).

    number: from 1 in its image, as in the map. kind: key of its class, or `UNSURE`. x, y: centre. left, top, right,
    bottom: box, the last two exclusive. area_um2: of what is visible. confidence: 0 to 1, of a network that names whole
    cells the probability of its class beside all other cells', else the mean over the cell of the probability of its
    class where the network saw that class, and 0 elsewhere; where it is unsure, that of the likeliest. eccentricity: of
    the ellipse of the same second moments, 0 for a disc. parasite_um2: area of the parasite in it, the sum over the
    cell of its probability; None of networks that do not mark it. infected_odds: log-odds as `cell_names.infected_odds`
    gives them, of a red cell by a network that names whole cells, else None. borders: those of the image that cut it,
    of `BORDERS`. counted: by the rule of `NOT_COUNTED`.
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
    parasite_um2: float | None = None
    infected_odds: float | None = None
    borders: tuple[str, ...]
    counted: bool

    def moved(self, corner: tuple[int, int]) -> "MeasuredCell":
        """In pixels of a full image, of which its own is the region from `corner` (x, y) on."""
        x, y = corner
        return replace(
            self,
            x=self.x + x,
            y=self.y + y,
            left=self.left + x,
            right=self.right + x,
            top=self.top + y,
            bottom=self.bottom + y,
        )


@dataclass(frozen=True, kw_only=True)
class FieldCells:
    """map: int32 (H, W) at the scale of the label map, 0 = no cell, else the number of one of `cells`. native_shape:
    height, width of the image that the cells are measured in, px."""

    map: Labels
    cells: tuple[MeasuredCell, ...]
    native_shape: tuple[int, int]

    def class_ids(self, keys: Sequence[str]) -> npt.NDArray[np.uint8]:
        """uint8 (n + 1,): by number in `map`, the id of the cell's class, 0 for none, 255 for one that is unsure. keys:
        of the classes."""
        return np.array([0, *(id_of(cell.kind, keys) for cell in self.cells)], np.uint8)

    def native_map(self) -> Labels:
        """int32 (H, W): `map` at the size of the native image. Where cell and glass meet is linear between pixels of
        the map, as in a label that `segtrain predict` writes; which of two cells has a pixel is said by the nearest
        one of the map. Each cell keeps a pixel at least."""
        height, width = self.native_shape
        inside = to_native((self.map > 0).astype(np.float32), (height, width)) >= 0.5
        near = cv2.resize(self.map, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        native, rim = np.where(inside, near, 0), inside & (near == 0)
        # The rim that linear adds is of the cell that it shares a side with.
        while rim.any():
            around = cv2.dilate(native.astype(np.float32), _CROSS).astype(np.int32)
            new = rim & (around > 0)
            if not new.any():
                break
            native[new] = around[new]
            rim &= ~new
        there = np.bincount(native.ravel(), minlength=len(self.cells) + 1)
        for cell in self.cells:
            if not there[cell.number]:
                native[min(max(round(cell.y), 0), height - 1), min(max(round(cell.x), 0), width - 1)] = cell.number
        return native

    def at(self, threshold: float) -> "FieldCells":
        """With the red cells named infected whose log-odds are above the threshold, and the others healthy."""
        names = CLASSES[HEALTHY_RBC].key, CLASSES[INFECTED_RBC].key
        named = (
            cell if cell.infected_odds is None else replace(cell, kind=names[cell.infected_odds > threshold])
            for cell in self.cells
        )
        return replace(self, cells=tuple(named))


def count_field(
    networks: Networks,
    image: ImageReader,
    um_per_px: float,
    *,
    probability: bool = False,
    occupied: npt.NDArray[np.bool_] | None = None,
    on_tile: Callable[[int], object] | None = None,
    on_band: Callable[[Band], object] | None = None,
) -> tuple[FieldCells, FieldPrediction]:
    """The cells of an image of `um_per_px`, each found and named, and the prediction that they were found in, without
    its evidence, the largest of its maps; arguments and errors as of `predict_field`."""
    field = predict_field(
        networks,
        image,
        um_per_px,
        probability=probability,
        evidence=True,
        occupied=occupied,
        on_tile=on_tile,
        on_band=on_band,
    )
    namer, kept = networks.namer, replace(field, evidence=None)
    if namer is None:
        return cells_of(field, networks.operating_point), kept
    pixels = RescaledImage(image, um_per_px / networks.um_per_px).rows(0, field.label.shape[0])

    def names(cells: Labels, count: int) -> Logarithms:
        of_crops = name_crops(namer, pixels, cells, count)
        if field.evidence is None:
            return of_crops
        return by_both(mean_evidence(field.evidence, cells, count), of_crops)

    return cells_of(field, networks.operating_point, names), kept


def cells_of(field: FieldPrediction, point: OperatingPoint | None = None, names: Names | None = None) -> FieldCells:
    """The cells of a field as it was predicted, in pixels of the native image. point: from which odds on a red cell is
    infected. names: what names them, else the evidence of the field alone."""
    if names is None and field.evidence is not None:
        names = partial(mean_evidence, field.evidence)
    # At the networks' scale its sides are whole pixels, so the scale of the label map is only nearly the networks'.
    exact = math.sqrt(math.prod(field.native_shape) / field.label.size)
    return measure_cells(
        field.label,
        field.confidence,
        keys=field.classes.keys,
        um_per_px=field.native_um_per_px * exact,
        native_shape=field.native_shape,
        parasite=field.parasite,
        names=names,
        threshold=point.threshold if point else 0.0,
    )


def measure_cells(
    label: npt.NDArray[np.uint8],
    confidence: npt.NDArray[np.uint8],
    *,
    keys: Sequence[str],
    um_per_px: float,
    native_shape: tuple[int, int] | None = None,
    parasite: npt.NDArray[np.uint8] | None = None,
    names: Names | None = None,
    threshold: float = 0.0,
) -> FieldCells:
    """The cells of one field.

    label: uint8 (H, W), class ids, best of 0.20 um/px. confidence: uint8 (H, W), probability of that label in 1/255.
    keys: of the classes, background first. um_per_px: of the label map. native_shape: (H, W) of the image that centres
    and boxes refer to, by default the label map's own. parasite: uint8 (H, W), probability of a parasite in 1/255.
    names: gives the logarithms of the probabilities by which each cell is named; else the labels of its pixels name it,
    by their confidence. threshold: log-odds, of `infected_odds`, above which a red cell is infected.
    """
    groups = class_groups(keys, um_per_px)
    cells, group_of = label_cells(label, groups)
    votes = _votes(cells, label, confidence, len(group_of))
    area = np.bincount(cells.ravel(), minlength=len(group_of) + 1)[1:]
    centre, eccentricity = _moments(cells, area)
    parasites = None if parasite is None else _sums(cells, parasite, len(group_of)) * um_per_px**2
    if names is None:
        named = _named_by_votes(votes, [groups[index].ids for index in group_of], area)
    else:
        named = decided(names(cells, len(group_of)), red_ids(keys), parasites, threshold)
    height, width = label.shape
    scale = np.array(native_shape or label.shape) / label.shape
    native = (centre + 0.5) * scale - 0.5
    measured = []
    for row, box in enumerate(ndimage.find_objects(cells)):
        rows, columns = box
        cut = (rows.start == 0, columns.start == 0, rows.stop == height, columns.stop == width)
        borders = tuple(border for border, is_cut in zip(BORDERS, cut, strict=True) if is_cut)
        top, bottom = (round(y * scale[0]) for y in (rows.start, rows.stop))
        left, right = (round(x * scale[1]) for x in (columns.start, columns.stop))
        measured.append(
            MeasuredCell(
                number=row + 1,
                kind=UNSURE if named.ids[row] == IGNORE else keys[named.ids[row]],
                x=float(native[row, 1]),
                y=float(native[row, 0]),
                left=left,
                top=top,
                right=right,
                bottom=bottom,
                area_um2=float(area[row]) * um_per_px**2,
                confidence=float(named.confidence[row]),
                eccentricity=float(eccentricity[row]),
                parasite_um2=None if parasites is None else float(parasites[row]),
                infected_odds=None if math.isnan(named.infected_odds[row]) else float(named.infected_odds[row]),
                borders=borders,
                counted=not set(borders) & set(NOT_COUNTED),
            )
        )
    return FieldCells(map=cells, cells=tuple(measured), native_shape=native_shape or (height, width))


def _named_by_votes(
    votes: npt.NDArray[np.float64], ids_of: Sequence[tuple[int, ...]], area: npt.NDArray[np.int64]
) -> CellNames:
    """Each cell by the class of its group that most votes are for. votes: of `_votes`. ids_of: classes of each cell's
    group. area: int64 (n,), px."""
    allowed = np.zeros_like(votes, bool)
    for row, ids in enumerate(ids_of):
        # Else it was split from a cell of its group, and all of it is a patch of another group.
        allowed[row, list(ids) if votes[row, list(ids)].any() else slice(1, None)] = True
    kept = np.where(allowed, votes, -1.0)
    return CellNames(kept.argmax(axis=1), kept.max(axis=1) / (255.0 * area), np.full(len(votes), np.nan))


def _votes(
    cells: Labels, label: npt.NDArray[np.uint8], confidence: npt.NDArray[np.uint8], count: int
) -> npt.NDArray[np.float64]:
    """float64 (n, 256): sum of the confidence by cell and class."""
    inside = cells > 0
    total = np.zeros((count, 256))
    np.add.at(total, (cells[inside] - 1, label[inside]), confidence[inside])
    return total


def _sums(cells: Labels, probability: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.float64]:
    """float64 (n,): sum over each cell of a probability in 1/255."""
    return np.bincount(cells.ravel(), probability.ravel(), minlength=count + 1)[1:] / 255


def _moments(cells: Labels, area: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """float64 (n, 2): centre (y, x) in px; and float64 (n,): eccentricity, pixels taken as squares."""
    place = np.nonzero(cells)
    row = cells[place] - 1

    def mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(row, values, minlength=len(area)) / area

    centre = np.stack([mean(axis.astype(float)) for axis in place], axis=1)
    y, x = (axis - centre[row, i] for i, axis in enumerate(place))
    yy, xx, xy = mean(y * y) + 1 / 12, mean(x * x) + 1 / 12, mean(x * y)
    half, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    return centre, np.sqrt(1 - (half - spread) / (half + spread))
