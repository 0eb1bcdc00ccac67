"""One field as a network sees it, whole in memory: what counting, measuring and showing begin with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.data.samples import Classes
from segtrain.inference.networks import Networks
from segtrain.inference.picture import Picture
from segtrain.inference.rescale import Rescaled
from segtrain.inference.tiles import Band, predict_bands

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
