"""A field's cells corrected in napari, and saved as what `segtrain import` reads.

Two layers of labels lie over the image: `cells` says where each cell is, a number each, and `classes` what it is, by
the class that most of its pixels have there. So a wrong outline is mended in the one, a wrong name by repainting in the
other. What is saved is GeoJSON as QuPath writes it, an outline and a class for each cell.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtrain.counting.cell_measures import FieldCells
from segtrain.counting.load import load
from segtrain.data.samples import Classes
from segtrain.inference.prediction_files import check_folder
from smearsynth.base.errors import UserError
from smearsynth.base.files import published
from smearsynth.base.images import Pixels
from smearsynth.base.instance_outlines import outlines
from smearsynth.fields.json_annotations import UNCLASSIFIED
from smearsynth.taxonomy import IGNORE, UNSURE, rgb_of


@dataclass(frozen=True, kw_only=True)
class FieldLayers:
    """image: uint8 (H, W, 3). cells: int32 (H, W), 0 none, else the number of a cell. classes: uint8 (H, W), ids, 255
    for unsure."""

    image: Pixels
    cells: npt.NDArray[np.int32]
    classes: Pixels

    @classmethod
    def of(cls, image: Pixels, found: FieldCells, classes: Classes) -> "FieldLayers":
        """Of the cells that networks found in an image."""
        cells = found.native_map()
        return cls(image=image, cells=cells, classes=found.class_ids(classes.keys)[cells])


def cell_classes(layers: FieldLayers, count: int) -> dict[int, int]:
    """The id of the class of each cell, by its number: that of most of its pixels which have one of `count`; 0 of a
    cell that has none."""
    numbers, row = np.unique(layers.cells, return_inverse=True)
    votes = np.bincount(row.ravel() * 256 + layers.classes.ravel(), minlength=256 * len(numbers)).reshape(-1, 256)
    named = votes[:, 1:count]
    best = np.where(named.any(axis=1), 1 + named.argmax(axis=1), 0)
    return {number: kind for number, kind in zip(numbers.tolist(), best.tolist(), strict=True) if number}


def save_layers(layers: FieldLayers, out: Path, name: str, classes: Classes) -> list[Path]:
    """Writes OUT/NAME.geojson, and OUT/classes.yaml, which says what the names in it stand for; a cell that nobody
    named becomes 255."""
    parts = outlines(layers.cells)
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[[*ring.tolist(), ring[0].tolist()] for ring in part] for part in parts[number]],
            },
            "properties": {
                "objectType": "annotation",
                "name": str(number),
                "classification": {
                    "name": classes.keys[kind] if kind else UNCLASSIFIED,
                    "color": list(rgb_of(classes.colours[kind])),
                },
            },
        }
        for number, kind in cell_classes(layers, len(classes)).items()
    ]
    names = [f"{UNCLASSIFIED}: null", *(f"{key}: {key}" for key in classes.keys[1:])]
    texts = {
        out / f"{name}.geojson": json.dumps({"type": "FeatureCollection", "features": features}),
        out / "classes.yaml": "\n".join([*names, ""]),
    }
    out.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        with published(path) as part:
            part.write_text(text, encoding="utf-8")
    return list(texts)


def napari(
    run: str | Path | None,
    field: str | Path,
    *,
    out: str | Path,
    um_per_px: str | float = "auto",
    cells: str | Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Opens a field with its cells in napari (extra `napari`), and saves what is there when the window closes into the
    folder `out`: FIELD.geojson and classes.yaml, for `segtrain import`.

    run, cells, um_per_px: as for `segtrain.count`. overwrite: replace a correction that is there. Gives the files.
    Raises UserError, before the window opens where the input is wrong.

    >>> saved = segtrain.napari(None, "field.png", out="corrected")  # doctest: +SKIP
    """
    field, out = Path(field), Path(out)
    check_folder(out)
    if (out / f"{field.stem}.geojson").exists() and not overwrite:
        raise UserError(
            f"{out / field.stem}.geojson is there already: overwrite it, or name another folder", "overwrite"
        )
    library = napari_library()
    network = load(run, cells=cells)
    counted = network.count(field, um_per_px)
    one, classes = counted.given[0], network.networks.classes
    image = one.image.rows(0, one.image.shape[0])
    shown = open_viewer(library, FieldLayers.of(image, counted.found[0], classes), classes)[1]
    library.run()
    return save_layers(layers_of(shown), out, field.stem, classes)


def napari_library() -> Any:
    """The module napari. UserError where it is not installed."""
    try:
        import napari as library
    except ImportError:
        raise UserError("fields are corrected in napari: install it (pip install 'smearsynth[napari]')") from None
    return library


def open_viewer(library: Any, layers: FieldLayers, classes: Classes, **options: Any) -> tuple[Any, list[Any]]:
    """A window of napari, and its layers image, classes and cells, which outlive it. options: of its Viewer."""
    viewer = library.Viewer(title="segtrain: close the window to save", **options)
    colours: dict[int | None, str] = {None: "transparent", **dict(enumerate(classes.colours)), 0: "transparent"}
    colours[IGNORE] = classes.colour_of(UNSURE)
    by_class = library.utils.DirectLabelColormap(color_dict=colours)
    image = viewer.add_image(layers.image, name="image", rgb=True)
    named = viewer.add_labels(layers.classes.copy(), name="classes", colormap=by_class, opacity=0.3)
    cells = viewer.add_labels(layers.cells.copy(), name="cells")
    cells.contour = 1
    return viewer, [image, named, cells]


def layers_of(shown: Sequence[Any]) -> FieldLayers:
    """What the layers of a window hold."""
    image, classes, cells = (np.asarray(layer.data) for layer in shown)
    return FieldLayers(image=image, cells=cells.astype(np.int32), classes=classes.astype(np.uint8))
