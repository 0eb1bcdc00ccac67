"""A page on this machine on which a person drops an image and sees what a trained network finds in it.

For an image the page gets the image itself, class and cell of every pixel, a record of each cell, and the figures of a
laboratory.
"""

import gzip
import json
import webbrowser
from base64 import b64encode
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.counting.cell_measures import FieldCells, MeasuredCell, count_field
from segtrain.counting.count_tables import COLUMNS, made_with, record, write_csv
from segtrain.counting.field_quality import field_warnings
from segtrain.counting.summary import CountSummary, Share, summarise
from segtrain.data.samples import Classes
from segtrain.inference.field_prediction import FieldPrediction, NativeLabels, image_warnings
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.inference.tiles import RescaledImage, tile_count
from segtrain.pretrained import or_shipped
from segtrain.viewing.page_server import File, Server, Step
from smearsynth.base import html_page
from smearsynth.base.errors import UserError
from smearsynth.base.html_page import inline, share
from smearsynth.base.images import FORMATS, Pixels, decode_image, size_text
from smearsynth.fields.scale import AUTO, RED_CELL_UM, Scale, scaled_shape
from smearsynth.taxonomy import CLASSES, RED_CELLS, UNSURE, WHITE_CELLS, display_name

MAX_BYTES = 100 << 20
MAX_PIXELS = 40_000_000
"""Of an image, and of the image at the network's scale: what a browser draws and a laptop's memory holds."""
MAX_SIDE = 32_767
"""Pixels of the longer side of an image that the canvas of every browser has."""
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_PAGE, _STYLE = Path(__file__).parent, Path(html_page.__file__).parent / "style.css"


def view(
    run: str | Path | None,
    *,
    port: int = 0,
    um_per_px: str = AUTO,
    cells: str | Path | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "auto",
    browser: bool = True,
    on_ready: Callable[[str], object] = print,
) -> None:
    """Serves the page on 127.0.0.1 until Ctrl-C, and nothing is written.

    run: None for the networks that come with the package. cells: the run of a network that names the cells which `run`
    finds. port: 0 is one that is free. um_per_px: a number or `auto`, for images that are given no other on the page.
    which: the network of the best epoch or of the last. device: "auto", "cpu", "cuda" or "cuda:1". browser: open it in
    the person's own. on_ready: is called
    with the page's address. Raises UserError.

    >>> segtrain.view("runs/first", browser=False)  # doctest: +SKIP
    """
    with server_of(run, port=port, um_per_px=um_per_px, cells=cells, which=which, device=device) as server:
        on_ready(server.url)
        if browser:
            webbrowser.open(server.url)
        server.serve_until_interrupted()


def server_of(
    run: str | Path | None,
    *,
    port: int = 0,
    um_per_px: str = AUTO,
    cells: str | Path | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "auto",
) -> Server:
    """The server of the page, bound to its port; arguments and errors as of `view`."""
    finder, cells = or_shipped(run, cells)
    networks = load_networks([finder], which=which, device=device, cells=cells)
    viewer = Viewer(networks, name=str(run or "the network that comes with segtrain"), um_per_px=_checked(um_per_px))
    return Server(port, _files(viewer), viewer.answer, most_bytes=MAX_BYTES)


def _checked(spec: str) -> str:
    """A scale as `Scale` takes it, but for paths of tables. Raises UserError."""
    try:
        float(spec)
    except ValueError:
        if spec != AUTO:
            raise UserError(f"The scale {spec}: give a number, or `{AUTO}`", "um_per_px") from None
    return Scale(spec).spec


class Viewer:
    """Answers a page about images, by the networks of a run.

    name: of the run, to be shown. um_per_px: a number or `auto`, for images whose query gives none.
    """

    def __init__(self, networks: Networks, *, name: str, um_per_px: str) -> None:
        self._networks, self._name, self._um_per_px = networks, name, um_per_px

    def about(self) -> dict[str, Any]:
        """What the page shows before an image is dropped."""
        classes = self._networks.classes
        return {
            "run": self._name,
            "formats": ", ".join(FORMATS),
            "most_bytes": MAX_BYTES,
            "most_pixels": MAX_PIXELS,
            "um_per_px": self._um_per_px,
            "classes": [
                {"id": classes.id_of(kind), "name": display_name(kind), "colour": classes.colour_of(kind)}
                for kind in (*classes.keys, *([UNSURE] if self._networks.names_whole_cells else []))
            ],
        }

    def answer(self, data: bytes, fields: Mapping[str, str], step: Step) -> dict[str, Any]:
        """data: an image file. fields: its `name`, and perhaps `um_per_px`. Raises UserError."""
        name = fields.get("name", "image")
        if not data:
            raise UserError(f"{name}: the file is empty; choose another.")
        pixels = decode_image(data, name, most_pixels=MAX_PIXELS)
        if max(pixels.shape) > MAX_SIDE:
            raise UserError(
                f"{name}: is {size_text(pixels.shape)} px, and a browser shows up to {MAX_SIDE:,} px a side; cut it "
                "into fields, or use `segtrain predict` and `segtrain count`."
            )
        spec = fields.get("um_per_px", self._um_per_px)
        um_per_px = _scale_of(pixels, name, spec)
        found, prediction, label = self._count(ArrayReader(pixels, name), um_per_px, step)
        classes, cells = self._networks.classes, at_native(prediction, found.map, label)
        label = np.where(cells > 0, found.class_ids(classes.keys)[cells], label)
        shown = count_data(found, classes, name, {"um_per_px": um_per_px, **made_with(self._networks)})
        field = RescaledImage(ArrayReader(pixels, name), um_per_px / self._networks.um_per_px)
        unfit = field_warnings(field.rows(0, found.map.shape[0]), self._networks.um_per_px, found)
        of_image = image_warnings(ArrayReader(pixels, name), self._networks)
        shown["warnings"] += map(_as_sentence, (*of_image, *unfit))
        return {
            "name": name,
            "width": label.shape[1],
            "height": label.shape[0],
            "image": inline(pixels, name).data,
            "label": inline(label, name, exact=True).data,
            "classes": _packed(label),
            "cells": _packed(cells.astype("<i4")),
            "um_per_px": um_per_px,
            "scale": _scale_text(um_per_px, spec),
            **shown,
        }

    def _count(self, picture: ArrayReader, um_per_px: float, step: Step) -> tuple[FieldCells, FieldPrediction, Pixels]:
        """At the network's scale; and uint8 (H, W), its label at the picture's, as `segtrain predict` writes it."""
        factor = um_per_px / self._networks.um_per_px
        shape = scaled_shape(picture.shape, factor)
        if shape[0] * shape[1] > MAX_PIXELS:
            raise UserError(
                f"{picture.name}: at {um_per_px:g} um/px it is brought to {size_text(shape)} px, and this page takes "
                f"{MAX_PIXELS // 1_000_000} megapixels; check the scale, or cut it into fields."
            )
        native = NativeLabels(shape, picture.shape)
        tiles, done = tile_count(shape), 0

        def on_tile(more: int) -> None:
            nonlocal done
            done += more
            step(done / tiles)

        found, prediction = count_field(self._networks, picture, um_per_px, on_tile=on_tile, on_band=native.collect)
        return found, prediction, np.concatenate(native.blocks)


def at_native(prediction: FieldPrediction, cells: npt.NDArray[np.int32], label: Pixels) -> npt.NDArray[np.int32]:
    """int32 (H, W): `cells` of the network's scale, 0 = none, at the size of the image and with the outlines of
    `label`, uint8 (H, W), which are finer: a pixel beside a cell's rim is the cell's where the label has any."""
    around = cv2.dilate(cells.astype(np.float32), _NEIGHBOURS).astype(np.int32)
    inside = cv2.erode((cells > 0).astype(np.uint8), _NEIGHBOURS)
    grown = prediction.to_native(np.where(cells > 0, cells, around))
    return np.where((label > 0) | (prediction.to_native(inside) > 0), grown, 0)


def _scale_of(pixels: npt.NDArray[np.uint8], name: str, spec: str) -> float:
    """um/px. Raises UserError."""
    return Scale(_checked(spec)).of(Path(name), pixels)


def _packed(values: npt.NDArray[Any]) -> str:
    return b64encode(gzip.compress(values.tobytes(), compresslevel=1)).decode()


def _scale_text(um_per_px: float, spec: str) -> str:
    if spec == AUTO:
        return f"{um_per_px:.3g} µm per pixel, found by taking the median single red cell to be {RED_CELL_UM} µm wide."
    return f"{um_per_px:.3g} µm per pixel, as it was given."


def _files(viewer: Viewer) -> dict[str, File]:
    def text(kind: str, path: Path) -> File:
        return File(f"text/{kind}; charset=utf-8", path.read_bytes())

    return {
        "/": text("html", _PAGE / "page.html"),
        "/style.css": text("css", _STYLE),
        "/page.css": text("css", _PAGE / "page.css"),
        "/page.js": text("javascript", _PAGE / "page.js"),
        "/about": File("application/json", json.dumps(viewer.about()).encode()),
    }


def count_data(found: FieldCells, classes: Classes, name: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """objects: of the cells, in the order of their numbers. counts: by class id. summary: lines of the laboratory's
    figures. warnings: sentences. note: on what was left out. csv: the cells as `segtrain count` writes them. name: of
    the image. origin: its um_per_px, and what `made_with` gives."""
    summary = summarise(found.cells, keys=classes.keys)
    table = StringIO()
    rows = ({**record(name, cell), **origin} for cell in found.cells)
    write_csv(table, (*COLUMNS, *origin), rows)
    more = summary.not_counted
    return {
        "objects": [_object(cell, classes) for cell in found.cells],
        "counts": {classes.id_of(kind): n for kind, n in {**summary.cells, UNSURE: summary.unsure}.items()},
        "summary": _lines(summary),
        "warnings": [*map(_as_sentence, summary.warnings)],
        "note": f"Not counted: {more} that the bottom or right edge cuts." if more else "",
        "csv": table.getvalue(),
    }


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _object(cell: MeasuredCell, classes: Classes) -> dict[str, Any]:
    cut = f"Cut by the {' and '.join(cell.borders)} edge{'s' * (len(cell.borders) > 1)}" if cell.borders else ""
    return {
        "class": classes.id_of(cell.kind),
        "area_um2": cell.area_um2,
        "confidence": cell.confidence,
        "x": cell.left,
        "y": cell.top,
        "width": cell.right - cell.left,
        "height": cell.bottom - cell.top,
        "note": cut if cell.counted else f"{cut}: not counted",
    }


def _lines(summary: CountSummary) -> list[dict[str, Any]]:
    """Cells that the network does not distinguish have no line."""
    lines = [_line("Red cells", f"{summary.red_cells:,}")] if _knows(summary, RED_CELLS) else []
    if summary.parasitaemia:
        lines.append(_line("Parasitaemia", *_share(summary.parasitaemia)))
    if summary.platelets_per_red_cell is not None:
        lines.append(_line("Platelets per red cell", f"{summary.platelets_per_red_cell:.2g}"))
    if _knows(summary, WHITE_CELLS):
        lines.append(_line("White cells", f"{summary.white_cells:,}"))
    return [*lines, *(_line(display_name(key), *_share(of), part=True) for key, of in summary.differential.items())]


def _knows(summary: CountSummary, ids: tuple[int, ...]) -> bool:
    return any(CLASSES[number].key in summary.cells for number in ids)


def _line(name: str, value: str, interval: str = "", *, part: bool = False) -> dict[str, Any]:
    """interval: of 95 %. part: whether it is a share of the line before."""
    return {"name": name, "value": value, "interval": interval, "part": part}


def _share(of: Share) -> tuple[str, str]:
    """The share and its interval, in per cent."""
    return share(of.value), f"{share(of.low).removesuffix(' %')} to {share(of.high)}"
