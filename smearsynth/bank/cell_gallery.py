"""The bank as a picture, so that a person can judge masking and refusals at a glance.

Accepted cells are shown at 40x, twice enlarged, each with the contour of its mask beside itself on glass; refused
cells at their source's scale, with the contour and the reason.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from smearsynth.bank.bank import Bank
from smearsynth.bank.cell import Cell
from smearsynth.taxonomy import CLASSES

Rgb = npt.NDArray[np.uint8]

_WIDTH = 2000
_ENLARGED = 2
_SHOWN = 12
_REFUSED_SIDE = 170
_PER_REASON = 6
_GAP = 6
_LINE = 16
_PAPER, _INK, _CONTOUR = (255, 255, 255), (20, 20, 20), (0, 230, 0)


def draw_gallery(bank: Bank, refused: Sequence[Cell]) -> Image.Image:
    """The cells of every class and source, then the refused cells. refused: cells at native scale with `reject` set."""
    strips = [*_accepted(bank), *_refused(refused)]
    height = sum(strip.height for strip in strips)
    page = Image.new("RGB", (_WIDTH, max(height, 1)), _PAPER)
    top = 0
    for strip in strips:
        page.paste(strip, (0, top))
        top += strip.height
    return page


def _accepted(bank: Bank) -> Iterable[Image.Image]:
    """Twelve cells of every class and source, picked evenly from all there are."""
    for class_id, source in sorted(set(zip(bank.class_id.tolist(), bank.source.tolist(), strict=True))):
        rows = np.flatnonzero((bank.class_id == class_id) & (bank.source == source))
        tiles = [_both(bank, i) for i in evenly(rows, _SHOWN).tolist()]
        yield _strip(f"{CLASSES[class_id].name}, {bank.sources[source]}: {len(rows)} cells", tiles)


def _refused(cells: Sequence[Cell]) -> Iterable[Image.Image]:
    """The first few cells of every source, class and reason."""
    sorted_out: defaultdict[tuple[str, int], dict[str, list[Cell]]] = defaultdict(dict)
    for cell in cells:
        sorted_out[cell.source, cell.class_id].setdefault(cell.reject, []).append(cell)
    for (source, class_id), reasons in sorted(sorted_out.items()):
        tiles = [
            _captioned(_fitted(cell), [reason, cell.path.rpartition("/")[2]])
            for reason in sorted(reasons)
            for cell in reasons[reason][:_PER_REASON]
        ]
        yield _strip(f"Refused: {CLASSES[class_id].name}, {source}", tiles)


def evenly(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most so many of the rows, picked evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]


def on_glass(bank: Bank, i: int) -> Rgb:
    """Cell i at 40x on the glass of its image, u1 (h, w, 3)."""
    rgba = bank.rgba(i)
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + bank.glass[i] * (255 - alpha) + 127) // 255).astype(np.uint8)


def _both(bank: Bank, i: int) -> Image.Image:
    """The cell on its glass with its contour, and the same without."""
    h, w = int(bank.height[i]), int(bank.width[i])
    plain = cv2.resize(on_glass(bank, i), (w * _ENLARGED, h * _ENLARGED), interpolation=cv2.INTER_CUBIC)
    return Image.fromarray(np.hstack([_outlined(plain, bank.rgba(i)[..., 3]), plain]))


def _outlined(image: Rgb, mask: Rgb) -> Rgb:
    """The image with the contour of the mask at 128, which may have another scale."""
    smooth = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours((smooth >= 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, _CONTOUR, 1)


def _fitted(cell: Cell) -> Image.Image:
    """At most `_REFUSED_SIDE` a side, and no more than twice enlarged."""
    h, w = cell.mask.shape
    factor = min(_ENLARGED, _REFUSED_SIDE / max(h, w))
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return Image.fromarray(_outlined(cv2.resize(cell.image, size, interpolation=how), cell.mask))


def _captioned(picture: Image.Image, lines: Sequence[str]) -> Image.Image:
    tile = Image.new("RGB", (max(picture.width, _REFUSED_SIDE), picture.height + len(lines) * _LINE), _PAPER)
    tile.paste(picture)
    for number, line in enumerate(lines):
        _write(tile, (0, picture.height + number * _LINE), _shortened(line, tile.width))
    return tile


def _strip(title: str, tiles: Sequence[Image.Image]) -> Image.Image:
    """Title, then the tiles from left to right in as many lines as they need."""
    places, x, y, line = [], _GAP, _LINE + 2 * _GAP, 0
    for tile in tiles:
        if x > _GAP and x + tile.width + _GAP > _WIDTH:
            x, y, line = _GAP, y + line + _GAP, 0
        places.append((x, y))
        x, line = x + tile.width + _GAP, max(line, tile.height)
    strip = Image.new("RGB", (_WIDTH, y + line + 2 * _GAP), _PAPER)
    _write(strip, (_GAP, _GAP), title)
    for tile, place in zip(tiles, places, strict=True):
        strip.paste(tile, place)
    return strip


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=_LINE - 4)


def _write(picture: Image.Image, place: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(picture).text(place, text, fill=_INK, font=_font())


def _shortened(text: str, width: int) -> str:
    """The text with its middle left out where it is wider than `width` px."""
    measure: Callable[[str], float] = _font().getlength
    keep = len(text)
    while keep > 4 and measure(short := _cut(text, keep)) > width:
        keep -= 1
    return text if keep == len(text) else short


def _cut(text: str, keep: int) -> str:
    return text if keep >= len(text) else f"{text[: keep // 2]}…{text[len(text) - keep // 2 :]}"
