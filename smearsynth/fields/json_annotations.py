"""Annotations in JSON: COCO (boxes, polygons, run lengths), and GeoJSON as QuPath writes it."""

import json
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from smearsynth.base.errors import first_line
from smearsynth.base.tables import read_text
from smearsynth.fields.annotation_rows import AnnotationFile, AnnotationRow, box, number, stated_size
from smearsynth.fields.cell_outlines import Bounds, Outline, Polygons, Raster, Ring, decompressed, runs_to_mask

UNCLASSIFIED = "unclassified"
"""Name of QuPath's objects without a classification."""
_FEATURES = ("Feature", "FeatureCollection")


def read_json(file: AnnotationFile) -> Iterator[AnnotationRow]:
    text = read_text(file.root, file.path, "JSON")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        file.errors.append(
            f"{file.where}: is no whole JSON ({first_line(error)}); mend it, or leave it out by `exclude`"
        )
        return
    if isinstance(data, dict) and data.get("type") in _FEATURES:
        yield from _read_features(file, data.get("features", [data]))
    elif (
        isinstance(data, list) and data and all(isinstance(one, dict) and one.get("type") in _FEATURES for one in data)
    ):
        yield from _read_features(file, data)
    elif isinstance(data, dict) and {"images", "annotations"} <= data.keys():
        yield from _read_coco(file, data)
    elif file.path.casefold().endswith(".geojson"):
        file.errors.append(f"{file.where}: is no GeoJSON of features; export the objects from QuPath again")


def _read_coco(file: AnnotationFile, data: dict[str, Any]) -> Iterator[AnnotationRow]:
    where = file.where
    file.used.add(file.path)
    try:
        # A tool may have written the path on its own machine.
        paths = {image["id"]: str(image["file_name"]).replace("\\", "/") for image in data["images"]}
        images = {
            key: posixpath.basename(path) if path[:1] in "/." or path[1:2] == ":" else path
            for key, path in paths.items()
        }
        if len(images) < len(data["images"]):
            raise ValueError("two images have one id")
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        for count, image in enumerate(data["images"]):
            size = stated_size(image.get("height"), image.get("width"))
            yield AnnotationRow(f"{where}, images[{count}]", images[image["id"]], size=size)
        for count, cell in enumerate(data["annotations"]):
            where = f"{file.where}, annotations[{count}]"
            outline = coco_outline(cell.get("segmentation"))
            if outline is None:
                x, y, width, height = (number(value, "a value of `bbox`") for value in cell["bbox"])
                values: Bounds = box(x, y, width, height)
            else:
                values = outline.bounds
            image, name, crowd = images[cell["image_id"]], names[cell["category_id"]], bool(cell.get("iscrowd"))
            size = outline.made_on if isinstance(outline, Raster) else None
            yield AnnotationRow(where, image, name, values, outline=outline, crowd=crowd, size=size)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        file.errors.append(
            f"{where}: is no whole COCO ({first_line(error)}); an image has id and file_name, an annotation image_id, "
            "category_id and bbox [x, y, width, height], a category id and name"
        )


def coco_outline(segmentation: Any) -> Outline | None:
    """Of `segmentation` in COCO's files, polygons or run lengths; None where there is none. Raises ValueError,
    TypeError and LookupError."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return Polygons(tuple((_ring([*zip(flat[::2], flat[1::2], strict=True)]),) for flat in segmentation))
    height, width = segmentation["size"]
    counts = segmentation["counts"]
    mask = runs_to_mask(decompressed(counts) if isinstance(counts, str) else counts, height, width, by_columns=True)
    return replace(Raster.of(mask), made_on=(height, width))


def _ring(corners: Sequence[Sequence[Any]]) -> Ring:
    if len(corners) < 3:
        raise ValueError(f"an outline of {len(corners)} corners holds nothing")
    return tuple((number(x, "a corner's x"), number(y, "a corner's y")) for x, y, *_ in corners)


def _read_features(file: AnnotationFile, features: Any) -> Iterator[AnnotationRow]:
    """Objects of QuPath in px of the image that has the file's name."""
    file.used.add(file.path)
    yield AnnotationRow(file.where, file.stem)
    if not isinstance(features, list):
        file.errors.append(f"{file.where}: `features` is no list; export the objects from QuPath again")
        return
    for count, feature in enumerate(features):
        where = f"{file.where}, features[{count}]"
        try:
            properties, geometry = feature.get("properties") or {}, feature["geometry"]
            kind, corners = geometry["type"], geometry["coordinates"]
            name = _classification(properties)
            if kind in ("Point", "MultiPoint"):
                for x, y, *_ in [corners] if kind == "Point" else corners:
                    yield AnnotationRow(where, file.stem, name, (number(x, "x"), number(y, "y"), 0, 0))
            elif kind in ("Polygon", "MultiPolygon"):
                parts = [corners] if kind == "Polygon" else corners
                outline = Polygons(tuple(tuple(map(_ring, part)) for part in parts if part))
                yield AnnotationRow(where, file.stem, name, outline.bounds, outline=outline)
            else:
                file.left_out[f"GeoJSON's {kind}, which is no cell"] += 1
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            file.errors.append(
                f"{where}: is no object of QuPath ({first_line(error)}); it has a geometry of type and coordinates"
            )


def _classification(properties: dict[str, Any]) -> str:
    """As QuPath 0.2 to 0.6 write it: a text, or a mapping with `name`, or with `names` of a derived class."""
    found = properties.get("classification")
    if isinstance(found, dict):
        found = found.get("name") or ": ".join(map(str, found.get("names") or []))
    return str(found).strip() if found else UNCLASSIFIED
