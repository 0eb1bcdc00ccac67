"""Annotations in XML: Pascal VOC, and CVAT's form for images (boxes, ellipses, polygons, masks, points)."""

from collections.abc import Iterator
from xml.etree import ElementTree

from smearsynth.base.errors import UserError
from smearsynth.base.tables import read_text
from smearsynth.fields.annotation_rows import AnnotationFile, AnnotationRow, box, number, stated_size
from smearsynth.fields.cell_outlines import Outline, Polygons, Raster, Ring, ellipse, rectangle, runs_to_mask, turned

_NO_CELLS = ("cuboid", "polyline", "skeleton", "tag")
"""Shapes of CVAT that outline nothing."""


def read_xml(file: AnnotationFile) -> Iterator[AnnotationRow]:
    text = read_text(file.root, file.path, "XML")
    try:
        if "<!ENTITY" in text:
            raise ElementTree.ParseError("it declares entities, which no annotation needs")
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        file.errors.append(f"{file.where}: is no whole XML ({error}); mend it, or leave it out by `exclude`")
        return
    if tree.tag == "annotation":
        yield from _read_voc(file, tree)
    elif tree.tag == "annotations" and tree.find("track") is not None:
        file.errors.append(f"{file.where}: is CVAT's form for videos; export it as `CVAT for images 1.1`")
    elif tree.tag == "annotations":
        yield from _read_cvat(file, tree)


def _read_voc(file: AnnotationFile, tree: ElementTree.Element) -> Iterator[AnnotationRow]:
    file.used.add(file.path)
    try:
        size = stated_size(tree.findtext("size/height"), tree.findtext("size/width"))
    except UserError as error:
        file.errors.append(f"{file.where}: {error}")
        return
    yield AnnotationRow(file.where, file.stem, size=size)
    for count, cell in enumerate(tree.iter("object"), start=1):
        where = f"{file.where}, object {count}"
        try:
            name = (cell.findtext("name") or "").strip()
            if not name:
                raise UserError("it has no <name>; fill it in")
            left, top, right, bottom = (
                number(cell.findtext(f"bndbox/{side}"), f"<{side}>") for side in ("xmin", "ymin", "xmax", "ymax")
            )
            yield AnnotationRow(where, file.stem, name, box(left, top, right - left, bottom - top))
        except UserError as error:
            file.errors.append(f"{where}: {error}")


def _read_cvat(file: AnnotationFile, tree: ElementTree.Element) -> Iterator[AnnotationRow]:
    file.used.add(file.path)
    for count, image in enumerate(tree.iter("image"), start=1):
        where = f"{file.where}, image {count}"
        name = image.get("name", "")
        if not name:
            file.errors.append(f"{where}: it has no name; export the annotations again")
            continue
        where = f"{where} ({name})"
        try:
            yield AnnotationRow(where, name, size=stated_size(image.get("height"), image.get("width")))
            shapes = sorted(image, key=lambda shape: number(shape.get("z_order", "0"), "z_order"))
        except UserError as error:
            file.errors.append(f"{where}: {error}")
            continue
        for shape in shapes:
            if shape.tag in _NO_CELLS:
                file.left_out[f"CVAT's {shape.tag}, which is no cell"] += 1
                continue
            try:
                yield from _cvat_shape(f"{where}, {shape.tag}", name, shape)
            except UserError as error:
                file.errors.append(f"{where}, {shape.tag}: {error}")


def _cvat_shape(where: str, image: str, shape: ElementTree.Element) -> Iterator[AnnotationRow]:
    """The rows of one shape: one for each of its points, else one."""
    label = (shape.get("label") or "").strip()
    if not label:
        raise UserError("it has no label; give it one")

    def value(name: str) -> float:
        return number(shape.get(name), name)

    degrees = number(shape.get("rotation", "0"), "rotation")
    if shape.tag == "points":
        yield from (AnnotationRow(where, image, label, (x, y, 0, 0)) for x, y in _corners(shape, 1))
        return
    outline: Outline | None = None
    if shape.tag == "box":
        left, top = value("xtl"), value("ytl")
        values = box(left, top, value("xbr") - left, value("ybr") - top)
        if degrees:
            values = turned(rectangle(*values), degrees).bounds
    elif shape.tag == "ellipse":
        radii = value("rx"), value("ry")
        box(0, 0, *radii)
        outline = turned(ellipse(value("cx"), value("cy"), *radii), degrees)
        values = outline.bounds
    elif shape.tag == "polygon":
        outline = Polygons(((_corners(shape, 3),),))
        values = outline.bounds
    elif shape.tag == "mask":
        left, top, width, height = (round(value(name)) for name in ("left", "top", "width", "height"))
        counts = [round(number(run, "a run of `rle`")) for run in (shape.get("rle") or "").split(",")]
        try:
            outline = Raster.of(runs_to_mask(counts, height, width, by_columns=False), left, top)
        except ValueError as error:
            raise UserError(f"{error}; export the annotations again") from None
        values = outline.bounds
    else:
        raise UserError("it is no shape of CVAT; those are box, ellipse, polygon, mask and points")
    yield AnnotationRow(where, image, label, values, outline=outline)


def _corners(shape: ElementTree.Element, least: int) -> Ring:
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if len(pairs) < least or any(len(pair) != 2 for pair in pairs):
        raise UserError(f"`points` must be {least} or more pairs, as 1.5,2;3,4")
    return tuple((number(x, "x"), number(y, "y")) for x, y in pairs)
