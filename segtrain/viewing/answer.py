"""What the page is told of an image: the image, class and cell of every pixel, figures, and how they came about."""

import gzip
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.counting.measure import cells_of
from segtrain.inference.field import FieldPrediction, predict_field
from segtrain.inference.native import NativeLabels
from segtrain.inference.networks import Networks
from segtrain.inference.picture import WholePicture
from segtrain.inference.rescale import Rescaled
from segtrain.inference.tiles import Band, tile_count
from segtrain.viewing.found import told_of
from segtrain.viewing.server import Step
from smearsynth.errors import UserError
from smearsynth.fields.scale import AUTO, RED_CELL_UM, Scale
from smearsynth.images import FORMATS, Pixels, decode_image, size_text
from smearsynth.page.pictures import inline
from smearsynth.taxonomy import display_name

MOST_BYTES = 100 << 20
MOST_PIXELS = 40_000_000
"""Of an image, and of the image at the network's scale: what a browser draws and a laptop's memory holds."""
MOST_SIDE = 32_767
"""Pixels of the longer side of an image that the canvas of every browser has."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def checked(spec: str) -> str:
    """A scale as `Scale` takes it, but for paths of tables. Raises UserError."""
    try:
        float(spec)
    except ValueError:
        if spec != AUTO:
            raise UserError(f"--um-per-px {spec}: give a number, or `{AUTO}`.") from None
    return Scale(spec).spec


class Viewer:
    """Answers a page about images, by the networks of a run.

    name: of the run, to be shown. um_per_px: a number or `auto`, for images whose query gives none.
    """

    def __init__(self, networks: Networks, *, name: str, um_per_px: str) -> None:
        self._networks, self._name, self._um_per_px = networks, name, um_per_px

    def about(self) -> dict[str, Any]:
        """What the page shows before there is an image."""
        classes = self._networks.classes
        return {
            "run": self._name,
            "formats": ", ".join(FORMATS),
            "most_bytes": MOST_BYTES,
            "most_pixels": MOST_PIXELS,
            "um_per_px": self._um_per_px,
            "classes": [
                {"id": number, "name": display_name(key), "colour": colour}
                for number, key, colour in zip(classes.ids, classes.keys, classes.colours, strict=True)
            ],
        }

    def answer(self, data: bytes, fields: Mapping[str, str], step: Step) -> dict[str, Any]:
        """data: an image file. fields: its `name`, and perhaps `um_per_px`. Raises UserError."""
        name = fields.get("name", "image")
        if not data:
            raise UserError(f"{name}: the file is empty; choose another.")
        pixels = decode_image(data, name, most_pixels=MOST_PIXELS)
        if max(pixels.shape) > MOST_SIDE:
            raise UserError(
                f"{name}: is {size_text(pixels.shape)} px, and a browser shows up to {MOST_SIDE:,} px a side; cut it "
                "into fields, or use `segtrain predict` and `segtrain count`."
            )
        spec = fields.get("um_per_px", self._um_per_px)
        um_per_px = _scale_of(pixels, name, spec)
        prediction, label = self._predict(WholePicture(pixels, name), um_per_px, step)
        classes = self._networks.classes
        found = cells_of(prediction)
        return {
            "name": name,
            "width": label.shape[1],
            "height": label.shape[0],
            "image": inline(pixels, name).data,
            "label": inline(label, name, exact=True).data,
            "classes": _packed(label),
            "cells": _packed(at_native(prediction, found.map, label).astype("<i4")),
            "um_per_px": um_per_px,
            "scale": _told(um_per_px, spec),
            **told_of(found, classes, name),
        }

    def _predict(self, picture: WholePicture, um_per_px: float, step: Step) -> tuple[FieldPrediction, Pixels]:
        """At the network's scale; and u1 (h, w), its label at the picture's, as `segtrain predict` writes it."""
        factor = um_per_px / self._networks.um_per_px
        shape = Rescaled(picture, factor).shape
        if shape[0] * shape[1] > MOST_PIXELS:
            raise UserError(
                f"{picture.name}: at {um_per_px:g} um/px it is brought to {size_text(shape)} px, and this page takes "
                f"{MOST_PIXELS // 1_000_000} megapixels; check the scale, or cut it into fields."
            )
        native = NativeLabels(shape, picture.shape)
        rows: list[Pixels] = []
        tiles, done = tile_count(shape), 0

        def on_tile(more: int) -> None:
            nonlocal done
            done += more
            step(done / tiles)

        def on_band(band: Band) -> None:
            rows.extend(native.add(band))

        prediction = predict_field(self._networks, picture, um_per_px, on_tile=on_tile, on_band=on_band)
        return prediction, np.concatenate(rows)


def at_native(prediction: FieldPrediction, cells: npt.NDArray[np.int32], label: Pixels) -> npt.NDArray[np.int32]:
    """i4 (h, w): `cells` of the network's scale, 0 = none, at the size of the image and with the outlines of `label`,
    u1 (h, w), which are finer: a pixel beside a cell's rim is the cell's where the label has any."""
    around = cv2.dilate(cells.astype(np.float32), _NEIGHBOURS).astype(np.int32)
    inside = cv2.erode((cells > 0).astype(np.uint8), _NEIGHBOURS)
    grown = prediction.to_native(np.where(cells > 0, cells, around))
    return np.where((label > 0) | (prediction.to_native(inside) > 0), grown, 0)


def _scale_of(pixels: npt.NDArray[np.uint8], name: str, spec: str) -> float:
    """um/px. UserError in words of the page, which has no options."""
    try:
        return Scale(checked(spec)).of(Path(name), pixels)
    except UserError as error:
        told = str(error)
        for option, words in (
            (f"--um-per-px {spec}:", "The scale:"),
            ("--um-per-px:", "The scale:"),
            ("--um-per-px", "the scale"),
        ):
            told = told.replace(option, words)
        raise UserError(told) from None


def _packed(values: npt.NDArray[Any]) -> str:
    return b64encode(gzip.compress(values.tobytes(), compresslevel=1)).decode()


def _told(um_per_px: float, spec: str) -> str:
    if spec == AUTO:
        return f"{um_per_px:.3g} µm per pixel, found by taking the median single red cell to be {RED_CELL_UM} µm wide."
    return f"{um_per_px:.3g} µm per pixel, as it was given."
