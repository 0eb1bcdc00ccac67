"""The cells of an image in the files of other tools, each cell with its number and class.

NAME_rois.zip       ImageJ: a region for each cell, the class as its group, colour and property
NAME.geojson        QuPath: an annotation for each cell, with classification, colour and measurements
NAME_masks.tif      the number of the cell of every pixel, 16 bits, or 32 where there are more than 65,535
coco.json           COCO: all images in one file, exact masks as run-lengths

Outlines run along the sides of pixels, as ImageJ and QuPath take them, so they enclose a cell's pixels and no others.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import tifffile
from scipy.ndimage import find_objects

from segtrain.counting.cell_measures import FieldCells, MeasuredCell
from segtrain.data.samples import Classes
from smearsynth.base.errors import UserError
from smearsynth.base.instance_outlines import Ring, encode_instances, outlines
from smearsynth.taxonomy import IGNORE, UNSURE, display_name, rgb_of

_MOST_SIDE = 32_767
"""Pixels up to which ImageJ's regions, of 16 bits a coordinate, reach."""
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
"""Segments of a path in an ImageJ region of several rings."""
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""Of every member of a zip file, so that the same cells give the same bytes."""
Parts = Mapping[int, list[list[Ring]]]


@dataclass(frozen=True, kw_only=True)
class OutlinedField:
    """The cells of one image, as they are written. name: of the image. um_per_px: of it. corner: x, y from which on it
    is a region of a full one. classes: of the network. made_with: what every file says of its origin."""

    name: str
    found: FieldCells
    um_per_px: float
    corner: tuple[int, int] = (0, 0)
    classes: Classes
    made_with: Mapping[str, Any]

    def full_outlines(self) -> Parts:
        """Of each cell by its number, in pixels of the full image."""
        parts = outlines(self.found.native_map())
        return {number: [[ring + self.corner for ring in part] for part in cell] for number, cell in parts.items()}


def write_rois(file: BinaryIO, one: OutlinedField) -> None:
    """A zip file of ImageJ regions, as its ROI Manager opens it. UserError where roifile is not installed."""
    roifile = roi_library()
    if max(np.add(one.found.native_shape, one.corner[::-1])) > _MOST_SIDE:
        raise UserError(f"{one.name}: ImageJ's regions reach to {_MOST_SIDE:,} px: take GeoJSON, or cut it into fields")
    parts = one.full_outlines()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members:
        for cell in one.found.cells:
            region = _region(roifile, parts[cell.number])
            region.name = f"{cell.number} {display_name(cell.kind)}"
            region.group = one.classes.id_of(cell.kind)
            region.stroke_color = bytes((255, *rgb_of(one.classes.colour_of(cell.kind))))
            known = {"class": cell.kind, **_measurements(cell), "counted": int(cell.counted), **one.made_with}
            region.props = "".join(f"{key}: {value}\n" for key, value in known.items())
            member = zipfile.ZipInfo(f"{cell.number:05d}-{cell.kind}.roi", _FIRST_DAY)
            members.writestr(member, region.tobytes(), zipfile.ZIP_DEFLATED)


def roi_library() -> Any:
    """The module roifile. UserError where it is not installed."""
    try:
        import roifile
    except ImportError:
        raise UserError("ImageJ regions are written by roifile: install it (pip install 'smearsynth[roi]')") from None
    return roifile


def _region(roifile: Any, parts: list[list[Ring]]) -> Any:
    """A polygon, or where a cell has holes or several parts a path of all its rings."""
    rings = [ring for part in parts for ring in part]
    region = roifile.ImagejRoi.frompoints(rings[0])
    if len(rings) > 1:
        steps = [[_MOVE, *ring[0], *np.insert(ring[1:], 0, _LINE, axis=1).ravel(), _CLOSE] for ring in rings]
        region.roitype = roifile.ROI_TYPE.RECT
        region.integer_coordinates, region.n_coordinates = None, 0
        region.multi_coordinates = np.concatenate(steps).astype(np.float32)
        region.shape_roi_size = len(region.multi_coordinates)
        corners = np.concatenate(rings)
        region.left, region.top = corners.min(axis=0).tolist()
        region.right, region.bottom = corners.max(axis=0).tolist()
    return region


def write_geojson(file: BinaryIO, one: OutlinedField) -> None:
    """A GeoJSON collection as QuPath reads and exports it: pixels of the image, y downwards, annotations, so that a
    person can correct them."""
    parts = one.full_outlines()
    features = [
        {
            "type": "Feature",
            "geometry": _geometry(parts[cell.number]),
            "properties": {
                "objectType": "annotation",
                "name": str(cell.number),
                "classification": {
                    "name": display_name(cell.kind),
                    "color": list(rgb_of(one.classes.colour_of(cell.kind))),
                },
                "measurements": {**_measurements(cell), "Counted": int(cell.counted)},
            },
        }
        for cell in one.found.cells
    ]
    collection = {"type": "FeatureCollection", "made_with": dict(one.made_with), "features": features}
    file.write(json.dumps(collection, ensure_ascii=False).encode())


def _geometry(parts: list[list[Ring]]) -> dict[str, Any]:
    """Rings are closed by their first corner."""
    polygons = [[[*ring.tolist(), ring[0].tolist()] for ring in part] for part in parts]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _measurements(cell: MeasuredCell) -> dict[str, float]:
    return {
        "Area um^2": round(cell.area_um2, 2),
        "Confidence": round(cell.confidence, 3),
        "Eccentricity": round(cell.eccentricity, 3),
    }


def write_instances(file: BinaryIO, one: OutlinedField) -> None:
    """A grey TIFF of the image's size and scale, uint16, or uint32 where that holds too few numbers."""
    wide = len(one.found.cells) > np.iinfo(np.uint16).max
    tifffile.imwrite(
        file,
        one.found.native_map().astype(np.uint32 if wide else np.uint16),
        compression="zlib",
        resolution=(1e4 / one.um_per_px,) * 2,
        resolutionunit="CENTIMETER",
        software=str(one.made_with["version"]),
        description=json.dumps(one.made_with),
        metadata=None,
    )


IMAGE_FILES: dict[str, tuple[str, Callable[[BinaryIO, OutlinedField], None]]] = {
    "roi": ("_rois.zip", write_rois),
    "geojson": (".geojson", write_geojson),
    "instances": ("_masks.tif", write_instances),
}
"""Formats of a file for each image: the end of its name, and what writes it."""


@dataclass
class CocoFile:
    """All images in one COCO file; `add` each, then `write`."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def add(self, one: OutlinedField) -> None:
        """Keeps the run-lengths of an image's cells, which take some hundred bytes each."""
        instance, number = one.found.native_map(), len(self.images) + 1
        height, width = instance.shape
        self.made_with = one.made_with
        ids = {**dict(zip(one.classes.keys, one.classes.ids, strict=True)), UNSURE: IGNORE}
        self.categories = [{"id": n, "name": kind, "supercategory": "cell"} for kind, n in ids.items() if n]
        self.images.append({"id": number, "file_name": one.name, "width": width, "height": height})
        area, counts, boxes = np.bincount(instance.ravel()), encode_instances(instance), find_objects(instance)
        for cell in one.found.cells:
            rows, columns = boxes[cell.number - 1]
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": number,
                    "category_id": one.classes.id_of(cell.kind),
                    "segmentation": {"size": [height, width], "counts": counts[cell.number]},
                    "area": int(area[cell.number]),
                    "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
                    "iscrowd": 0,
                    "score": round(cell.confidence, 3),
                    "cell": cell.number,
                    "counted": int(cell.counted),
                }
            )

    def write(self, file: BinaryIO) -> None:
        """The JSON file."""
        info = {"description": "cells counted by segtrain, for research and not for a diagnosis", **self.made_with}
        content = {
            "info": info,
            "images": self.images,
            "categories": self.categories,
            "annotations": self.annotations,
        }
        file.write(json.dumps(content, ensure_ascii=False).encode())
