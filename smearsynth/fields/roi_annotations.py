"""ROIs of ImageJ, `X.zip` (a set) or `X.roi` for the image X, decoded by the library roifile (the extra `roi`).

A ROI has no class of its own. Its class is its property `class`, which `segtrain count` writes; else what its name
says, without numbers, where that is one of the ten classes; else the number of its group; else what its name says; else
"cell".
"""

import re
import zipfile
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from smearsynth.base.errors import UserError, first_line
from smearsynth.base.tables import canonical, locate
from smearsynth.fields.annotation_rows import NO_CLASS, AnnotationFile, AnnotationRow
from smearsynth.fields.cell_outlines import Outline, Polygons, ellipse, rectangle
from smearsynth.taxonomy import CLASSES

_SET_NAME = r"[ ._-]*(?:cp_)?(?:rois?|roi[ _-]?set)$"
"""What the name of a set has beyond that of its image: `X_rois.zip` of cellpose, ImageJ's own `RoiSet.zip`."""
_BY_LIBRARY = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
"""Name that roifile, and so cellpose, gives a ROI without one."""
_MOST_ROIS, _MOST_BYTES = 100_000, 16_000_000
"""Of a set, and of one ROI."""
_KEYS = {canonical(c.key): c.key for c in CLASSES[1:]}


def read_rois(file: AnnotationFile) -> Iterator[AnnotationRow]:
    image = re.sub(_SET_NAME, "", file.stem, flags=re.IGNORECASE)
    try:
        parts = list(_parts(file))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        file.errors.append(f"{file.where}: is no whole set of ROIs ({first_line(error)}); save it from ImageJ again")
        return
    if not parts:
        return
    library = _roifile(file.where)
    file.used.add(file.path)
    yield AnnotationRow(file.where, image)
    for name, data in parts:
        where = f"{file.where}, {name}" if name else file.where
        try:
            roi = library.ImagejRoi.frombytes(data)
            yield from _rows(where, image, roi, library, file)
        # A damaged ROI makes the library fail in many ways, and none of them is documented.
        except Exception as error:
            file.errors.append(f"{where}: is no whole ROI ({first_line(error)}); save it from ImageJ again")


def _parts(file: AnnotationFile) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each ROI of a file; none of an archive of other things. Raises ValueError."""
    path = locate(file.root, file.path)
    if path.suffix.casefold() == ".roi":
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than any ROI")
        yield "", path.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        rois = [one for one in archive.infolist() if one.filename.casefold().endswith(".roi")]
        if len(rois) > _MOST_ROIS or any(one.file_size > _MOST_BYTES for one in rois):
            raise ValueError("it is larger than any set")
        for one in rois:
            yield one.filename, archive.read(one)


def _roifile(where: str) -> ModuleType:
    try:
        import roifile
    except ImportError:
        raise UserError(f"{where}: ROIs of ImageJ need the extra roi: pip install 'smearsynth[roi]'") from None
    return roifile


def _rows(where: str, image: str, roi: Any, library: ModuleType, file: AnnotationFile) -> Iterator[AnnotationRow]:
    kinds, kind, name = library.ROI_TYPE, roi.roitype, _name(roi)
    outline: Outline
    width, height = roi.right - roi.left, roi.bottom - roi.top
    if kind == kinds.POINT:
        yield from (AnnotationRow(where, image, name, (float(x), float(y), 0, 0)) for x, y in roi.coordinates())
        return
    if kind in (kinds.LINE, kinds.POLYLINE, kinds.FREELINE, kinds.ANGLE, kinds.NOROI):
        file.left_out["ROI that is a line, which is no cell"] += 1
        return
    if roi.multi_coordinates is not None:
        rings = [ring for ring in roi.coordinates(multi=True) if len(ring) > 2]
        outline = Polygons((tuple(tuple(map(tuple, ring.tolist())) for ring in rings),))
    elif kind == kinds.RECT:
        outline = rectangle(roi.left, roi.top, width, height)
    elif kind == kinds.OVAL:
        outline = ellipse(roi.left + width / 2, roi.top + height / 2, width / 2, height / 2)
    else:
        outline = Polygons(((tuple(map(tuple, roi.coordinates().tolist())),),))
    if not all(len(ring) > 2 for part in outline.parts for ring in part) or not any(outline.parts):
        raise ValueError("it has less than three corners")
    yield AnnotationRow(where, image, name, outline.bounds, outline=outline)


def _name(roi: Any) -> str:
    if stated := re.search(r"^class: *(\S.*)$", roi.props or "", re.MULTILINE):
        return stated[1].strip()
    if re.fullmatch(_BY_LIBRARY, roi.name or ""):
        return str(roi.group) if roi.group else NO_CLASS
    written = re.sub(r"^[\d\s_.-]+|[\s_.#-]*\d[\d\s_.-]*$", "", roi.name or "").strip()
    if key := _KEYS.get(canonical(written)):
        return key
    return str(roi.group) if roi.group else written or NO_CLASS
