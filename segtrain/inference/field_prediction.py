"""The images that a user names: every one is opened and judged before the first is predicted.

One field as a network sees it, whole in memory: what counting, measuring and showing begin with.

Labels at the size of the image that was opened, made row by row while the prediction still goes on.

Probabilities are brought back, not labels: linear between pixels, as `smearsynth.fields.scale.to_native` does, so that
an outline is as smooth as the network meant it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from segtrain.data.samples import Classes
from segtrain.inference.image_reader import Picture, open_picture, um_per_px_of
from segtrain.inference.ready_networks import Networks
from segtrain.inference.tiles import Band, Rescaled, predict_bands, tile_count
from smearsynth.base.errors import UserError
from smearsynth.fields.field_folder import image_files
from smearsynth.fields.scale import RED_CELL_UM, Scale

FOUND_BY_AUTO = f"the scale was found by the median single red cell, taken for {RED_CELL_UM} um"


@dataclass(frozen=True, kw_only=True)
class Given:
    """One image. um_per_px: its own scale. shape: (h, w) at that of the networks. tiles: that it takes."""

    path: Path
    um_per_px: float
    shape: tuple[int, int]
    tiles: int


def image_paths(images: Sequence[str | Path]) -> list[Path]:
    """The files that are named, and those in the folders that are. UserError where there are none."""
    paths = [Path(image) for image in images]
    found = [file for path in paths for file in (image_files(path) if path.is_dir() else [path])]
    if not found:
        raise UserError(f"{paths[0] if paths else 'IMAGE'}: there is no image; name image files, or a folder of them.")
    return found


def survey(paths: Sequence[Path], scale: Scale, networks: Networks, bar: "tqdm[Any]") -> Iterator[Given]:
    """Each image with its scale. bar: hears of every one. Raises UserError: one cannot be read, or shows no scale."""
    for path in paths:
        yield _survey(path, scale, networks)
        bar.update()


def _survey(path: Path, scale: Scale, networks: Networks) -> Given:
    picture = open_picture(path)
    um_per_px = um_per_px_of(scale, path, picture)
    shape = Rescaled(picture, um_per_px / networks.um_per_px).shape
    return Given(path=path, um_per_px=um_per_px, shape=shape, tiles=tile_count(shape))


Map = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class FieldPrediction:
    """label: u1 (h, w), class ids, at the networks' scale of `um_per_px` (0.20 for smears). confidence: u1 (h, w), the
    probability of that label in 1/255. probability: f4 (classes, h, w) of sum 1, where it was asked for. native_shape,
    native_um_per_px: height and width of the image as it was opened, and its scale."""

    label: Map
    confidence: Map
    probability: npt.NDArray[np.float32] | None
    um_per_px: float
    native_shape: tuple[int, int]
    native_um_per_px: float
    classes: Classes

    def to_native(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A map of labels or instances, u1, u2 or i4 (h, w), at the size of the native image: the nearest pixel's."""
        height, width = self.native_shape
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def predict_field(
    networks: Networks,
    picture: Picture,
    um_per_px: float,
    *,
    probability: bool = False,
    on_tile: Callable[[int], object] | None = None,
    on_band: Callable[[Band], object] | None = None,
) -> FieldPrediction:
    """What the networks see in a picture of `um_per_px`: it is brought to their scale, and predicted in tiles.

    picture: of `open_picture(path)`, or `WholePicture(pixels)`, of any size. um_per_px: a number, as `um_per_px_of`
    finds it. probability: keep those of every class, 4 bytes a pixel each. on_tile: is called with the number of tiles
    just computed, of `tile_count(Rescaled(picture, um_per_px / networks.um_per_px).shape)`; on_band: with all
    rows, from the top down.
    Raises UserError where the picture turns out to be damaged.
    """
    scaled = Rescaled(picture, um_per_px / networks.um_per_px)
    label, confidence = np.empty(scaled.shape, np.uint8), np.empty(scaled.shape, np.uint8)
    kept = np.empty((len(networks.classes), *scaled.shape), np.float32) if probability else None
    for band in predict_bands(networks, scaled, on_tile):
        rows = slice(band.top, band.top + band.probability.shape[1])
        label[rows], confidence[rows] = most_likely(band.probability)
        if kept is not None:
            kept[:, rows] = band.probability
        if on_band:
            on_band(band)
    return FieldPrediction(
        label=label,
        confidence=confidence,
        probability=kept,
        um_per_px=networks.um_per_px,
        native_shape=picture.shape,
        native_um_per_px=um_per_px,
        classes=networks.classes,
    )


def most_likely(probability: npt.NDArray[np.float32]) -> tuple[Map, Map]:
    """u1 (h, w) each: the class of the largest probability, of equal ones the first, and that probability in 1/255.
    probability: f4 (classes, h, w)."""
    label = probability.argmax(axis=0).astype(np.uint8)
    return label, np.rint(probability.max(axis=0) * 255).astype(np.uint8)


_BLOCK = 2_000_000
"""Pixels that are decided at a time."""


class NativeLabels:
    """Takes a prediction from the top down and gives its labels at `native`, (h, w), in the same order."""

    def __init__(self, shape: tuple[int, int], native: tuple[int, int]) -> None:
        """shape: (h, w) of the prediction."""
        self._native = native
        middle = ((np.arange(native[0]) + 0.5) * shape[0] / native[0] - 0.5).clip(0, shape[0] - 1)
        self._above = np.floor(middle).astype(np.int64)
        self._below = np.minimum(self._above + 1, shape[0] - 1)
        self._share = (middle - self._above).astype(np.float32)[:, None]
        self._kept = np.empty((0, 0, 0), np.float32)
        """The last row of the band before."""
        self._next = 0

    def add(self, band: Band) -> Iterator[npt.NDArray[np.uint8]]:
        """Blocks of full rows, u1 (rows, w), that are decided now."""
        decided = int(np.searchsorted(self._below, band.top + band.probability.shape[1]))
        step = max(1, _BLOCK // self._native[1])
        for first in range(self._next, decided, step):
            yield self._block(band, slice(first, min(first + step, decided)))
        self._next, self._kept = decided, band.probability[:, -1:].copy()

    def _block(self, band: Band, block: slice) -> npt.NDArray[np.uint8]:
        first = int(self._above[block.start])
        seen = band.probability[:, max(0, first - band.top) : int(self._below[block.stop - 1]) + 1 - band.top]
        if first < band.top:
            seen = np.concatenate([self._kept, seen], axis=1)
        above, below = self._above[block] - first, self._below[block] - first
        share = self._share[block]
        best = np.zeros((len(above), self._native[1]), np.float32)
        label = np.zeros(best.shape, np.uint8)
        # The likeliest class has at least its equal share; whose probability stays below half of that is nowhere it.
        for number in np.flatnonzero(seen.max(axis=(1, 2)) > 0.5 / len(seen)):
            wide = cv2.resize(seen[number], (self._native[1], seen.shape[1]), interpolation=cv2.INTER_LINEAR)
            value = wide[above] * (1 - share) + wide[below] * share
            better = value > best
            label[better] = number
            np.copyto(best, value, where=better)
        return label
