"""Counted cells drawn over their image, numbered as in the table, for a person who checks the count."""

import math
from collections import Counter

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from segtrain.counting.cell_measures import FieldCells, MeasuredCell
from segtrain.data.samples import Classes
from segtrain.inference.prediction_files import draw_legend
from smearsynth.base.images import Pixels
from smearsynth.taxonomy import UNSURE, display_name, rgb_of

_FINE = 0.1
"""um/px of a picture, at most: a red cell is then 73 px wide, and its number can be read."""
_SIDE = 6000
"""Pixels of the longer side to which an image is enlarged for that, at most."""
_LETTER = 1.6
"""Height of a number's digits, um."""
_SMOOTH = 1.5
"""Deviation of the Gaussian along an outline, in pixels of the label map, whose steps are not the cell's."""
_SHIFT = 4
"""Binary places of an outline's fractions of a pixel."""
_HALO, _BRIGHT, _NOT_COUNTED = (20, 20, 20), (240, 240, 240), (255, 255, 255)
_DARK = 200
"""Sum of red, green and blue under which a colour, such as that of monocytes, is seen on a bright halo only."""


def draw_cells(image: Pixels, um_per_px: float, found: FieldCells, classes: Classes) -> Pixels:
    """uint8 (H', W', 3): `image` with each counted cell outlined in its class's colour and numbered, in white the cells
    that the border rule leaves out, and below a legend with the counts. Enlarged by a whole factor if cells are small.

    image: uint8 (H, W, 3) of `um_per_px`.
    """
    factor = max(1, min(math.ceil(um_per_px / _FINE), _SIDE // max(image.shape)))
    drawn = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    scale = np.array(drawn.shape[1::-1]) / found.map.shape[::-1]
    line = max(1, round(0.3 / um_per_px * factor / 2))
    outlines = _outlines(found, scale)
    for width, halo in ((line + 2, True), (line, False)):
        for cell, outline in zip(found.cells, outlines, strict=True):
            colour = rgb_of(classes.colour_of(cell.kind)) if cell.counted else _NOT_COUNTED
            around = _BRIGHT if sum(colour) < _DARK else _HALO
            cv2.polylines(drawn, outline, True, around if halo else colour, width, cv2.LINE_AA, _SHIFT)
    drawn = _numbered(drawn, found.cells, factor, _LETTER / um_per_px * factor)
    counts = Counter(cell.kind for cell in found.cells if cell.counted)
    left_out = sum(not cell.counted for cell in found.cells)
    kinds = [kind for kind in (*classes.keys, UNSURE) if counts[kind]]
    entries = [(f"{counts[kind]} {display_name(kind)}", classes.colour_of(kind)) for kind in kinds]
    if left_out:
        entries.append((f"{left_out} cut by the bottom or right edge, not counted", f"#{bytes(_NOT_COUNTED).hex()}"))
    return np.concatenate([drawn, draw_legend(entries, drawn.shape)]) if entries else drawn


def _outlines(found: FieldCells, scale: npt.NDArray[np.float64]) -> list[list[npt.NDArray[np.int32]]]:
    """Of each cell: its outer contours, int32 (n, 1, 2) in 1 / 2**_SHIFT px of the picture. scale: (x, y), px of the
    picture per px of the map."""
    drawn = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(found.map), 1):
        cell = (found.map[rows, columns] == number).astype(np.uint8)
        contours, _ = cv2.findContours(cell, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        smooth = [ndimage.gaussian_filter1d(c.astype(float), _SMOOTH, axis=0, mode="wrap") for c in contours]
        points = [((c + (columns.start, rows.start) + 0.5) * scale - 0.5) * 2**_SHIFT for c in smooth]
        drawn.append([np.rint(p).astype(np.int32) for p in points])
    return drawn


def _numbered(drawn: Pixels, cells: tuple[MeasuredCell, ...], factor: int, size: float) -> Pixels:
    """size: of a digit, px of the picture."""
    picture = Image.fromarray(drawn)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(max(9, round(size)))
    for cell in cells:
        if cell.counted:
            place = ((cell.x + 0.5) * factor, (cell.y + 0.5) * factor)
            pen.text(place, str(cell.number), "white", font, anchor="mm", stroke_width=2, stroke_fill=_HALO)
    return np.asarray(picture)
