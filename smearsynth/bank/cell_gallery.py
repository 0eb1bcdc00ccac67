"""What `smearsynth cells` shows of a bank: tables of counts, and a picture that lets a person judge masks and refusals.

Accepted cells are shown at 40x, twice enlarged, each with the contour of its mask beside itself on glass; refused
cells at their source's scale, with the contour and the reason.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from smearsynth.bank.bank import Bank
from smearsynth.bank.cutting import CutCell
from smearsynth.bank.make_bank import MadeBank
from smearsynth.bank.parasites import YES
from smearsynth.bank.quality_gate import refusal_table, refusal_tree
from smearsynth.base.command_line import columns
from smearsynth.taxonomy import CLASSES, SPLITS

_Strip = tuple[tuple[str, int, int, str], Sequence[Image.Image]]
"""Source, class, a number by which cells that were cut come before assembled and refused ones, title; and tiles."""

_SIZE = (1800, 1000)
"""Width and height of a page, px, as all below."""
_ENLARGED = 2
_REFUSED_SIDE = 170
_GAP = 6
_LINE = 16
_ACCEPTED_SHOWN = 12
"""Per class and source."""
_REFUSED_SHOWN = 6
"""Per class, source and reason."""
_TITLE, _HEAD = _LINE + 2 * _GAP, _LINE + 3 * _GAP
_PAPER, _INK, _CONTOUR, _PARASITE = (255, 255, 255), (20, 20, 20), (0, 230, 0), (0, 0, 255)
_HEADER = (225, 225, 225)
_LEGEND = (
    (_CONTOUR, "outline: where the mask ends"),
    (_PARASITE, "parasite"),
    (None, "accepted cells: at 40x (0.20 um per pixel), twice enlarged, outlined and as they are"),
    (None, "refused cells: at their source's scale, with the reason and the file"),
)


def count_cells(made: MadeBank) -> dict[str, Any]:
    """Plain dicts for --json: `cells` class -> source -> split -> cells; `refused` source -> class -> reason -> cells;
    `left_out` source -> reason -> files; `duplicates`: pairs of cells from different groups that are one cell.
    """
    bank = made.bank
    rows = Counter(zip(bank.class_id.tolist(), bank.source.tolist(), bank.split.tolist(), strict=True))
    cells: dict[str, dict[str, dict[str, int]]] = {}
    for class_id, source in sorted({(class_id, source) for class_id, source, _ in rows}):
        cells.setdefault(CLASSES[class_id].key, {})[bank.sources[source]] = {
            name: rows[class_id, source, split] for split, name in enumerate(SPLITS)
        }
    left_out = {name: dict(sorted(found.left_out.items())) for name, found in made.listings.items() if found.left_out}
    return {
        "cells": cells,
        "refused": refusal_tree(made.refusals),
        "left_out": left_out,
        "duplicates": len(made.pairs),
    }


def as_text(counts: dict[str, Any]) -> str:
    """The tables as a person reads them, from what `count_cells` returned."""
    refused = counts["refused"]
    accepted = [
        (key, source, *splits.values(), sum(splits.values()), sum(refused.get(source, {}).get(key, {}).values()))
        for key, sources in counts["cells"].items()
        for source, splits in sources.items()
    ]
    totals = ("total", "", *(sum(row[k] for row in accepted) for k in range(2, 7)))
    left_out = [
        (source, reason, count) for source, reasons in counts["left_out"].items() for reason, count in reasons.items()
    ]
    parts = [
        columns(("class", "source", *SPLITS, "cells", "refused"), [*accepted, totals], text=("class", "source")),
        refusal_table(refused),
        columns(("source", "left out because", "files"), left_out, text=("source", "left out because")),
    ]
    parts.append(f"duplicate pairs, each kept in one group: {counts['duplicates']}" if counts["duplicates"] else "")
    return "\n\n".join(part for part in parts if part)


def draw_gallery(bank: Bank, refused: Sequence[CutCell]) -> list[Image.Image]:
    """Pages that fit a screen: source by source and class by class the accepted cells, then those that were refused.
    refused: with `reject` set."""
    pages, top = [_page(1)], _HEAD
    for title, tiles in sorted([*_accepted(bank), *_refused(refused)], key=lambda strip: strip[0]):
        heading = title[-1]
        for line in _lines(tiles):
            height = max(tile.height for tile in line) + _GAP
            if top + bool(heading) * _TITLE + height > _SIZE[1]:
                pages.append(_page(len(pages) + 1))
                top, heading = _HEAD, heading or f"{title[-1]}, continued"
            if heading:
                _write(pages[-1], (_GAP, top + _GAP), heading)
                top, heading = top + _TITLE, ""
            left = _GAP
            for tile in line:
                pages[-1].paste(tile, (left, top))
                left += tile.width + _GAP
            top += height
    return pages


def _page(number: int) -> Image.Image:
    """Empty, under the legend."""
    page = Image.new("RGB", _SIZE, _PAPER)
    draw = ImageDraw.Draw(page)
    draw.rectangle((0, 0, _SIZE[0], _HEAD - 4), fill=_HEADER)
    left = _GAP
    for colour, text in _LEGEND:
        if colour:
            draw.line((left, _HEAD // 2 - 2, left + 24, _HEAD // 2 - 2), fill=colour, width=3)
            left += 30
        _write(page, (left, _GAP), text)
        left += round(_font().getlength(text)) + 4 * _GAP
    text = f"page {number}"
    _write(page, (_SIZE[0] - _GAP - round(_font().getlength(text)), _GAP), text)
    return page


def _accepted(bank: Bank) -> Iterable[_Strip]:
    """Some cells of every class and source, picked evenly from all there are, cut and assembled ones apart."""
    made = np.array([bool(parts) for parts in bank.parts])
    for class_id, source, is_made in sorted(
        set(zip(bank.class_id.tolist(), bank.source.tolist(), made.tolist(), strict=True))
    ):
        rows = np.flatnonzero((bank.class_id == class_id) & (bank.source == source) & (made == is_made))
        tiles = [_with_and_without_contour(bank, i) for i in evenly(rows, _ACCEPTED_SHOWN).tolist()]
        name = bank.sources[source]
        title = f"{name}, {CLASSES[class_id].name}: {len(rows):,} cells{', assembled' if is_made else ''}"
        title += f", {len(tiles)} of them here" if len(tiles) < len(rows) else ""
        yield (name, class_id, int(is_made), title), tiles


def _refused(cells: Sequence[CutCell]) -> Iterable[_Strip]:
    """The first few cells of every source, class and reason."""
    kinds: defaultdict[tuple[str, int], dict[str, list[CutCell]]] = defaultdict(dict)
    for cell in cells:
        kinds[cell.source, cell.class_id].setdefault(cell.reject, []).append(cell)
    for (source, class_id), reasons in kinds.items():
        tiles = [_refused_tile(cell, reason) for reason in sorted(reasons) for cell in reasons[reason][:_REFUSED_SHOWN]]
        yield (source, class_id, 2, f"{source}, {CLASSES[class_id].name}, refused"), tiles


def _lines(tiles: Sequence[Image.Image]) -> Iterable[list[Image.Image]]:
    """As many tiles side by side as a page is wide."""
    line: list[Image.Image] = []
    for tile in tiles:
        if line and _GAP + sum(one.width + _GAP for one in (*line, tile)) > _SIZE[0]:
            yield line
            line = []
        line.append(tile)
    yield line


def _with_and_without_contour(bank: Bank, i: int) -> Image.Image:
    """The cell on its glass with its contour and that of its parasites, and the same without."""
    h, w = int(bank.height[i]), int(bank.width[i])
    plain = cv2.resize(on_glass(bank, i), (w * _ENLARGED, h * _ENLARGED), interpolation=cv2.INTER_CUBIC)
    outlined = _outlined(plain, bank.rgba(i)[..., 3], _CONTOUR)
    if bank.has_parasites:
        outlined = _outlined(outlined, np.where(bank.parasite_map(i) == YES, 255, 0).astype(np.uint8), _PARASITE)
    return Image.fromarray(np.hstack([outlined, plain]))


def _refused_tile(cell: CutCell, reason: str) -> Image.Image:
    """At most `_REFUSED_SIDE` a side and no more than twice enlarged, with reason and file name below."""
    h, w = cell.mask.shape
    factor = min(_ENLARGED, _REFUSED_SIDE / max(h, w))
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    picture = Image.fromarray(_outlined(cv2.resize(cell.image, size, interpolation=how), cell.mask, _CONTOUR))
    lines = [reason, cell.path.rpartition("/")[2]]
    tile = Image.new("RGB", (max(picture.width, _REFUSED_SIDE), picture.height + len(lines) * _LINE), _PAPER)
    tile.paste(picture)
    for number, line in enumerate(lines):
        _write(tile, (0, picture.height + number * _LINE), _shortened(line, tile.width))
    return tile


def evenly(rows: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """At most so many of the rows, picked evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]


def on_glass(bank: Bank, i: int) -> npt.NDArray[np.uint8]:
    """Cell i at 40x on the glass of its image, uint8 (h, w, 3)."""
    rgba = bank.rgba(i)
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + bank.glass[i] * (255 - alpha) + 127) // 255).astype(np.uint8)


def _outlined(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], colour: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """The image with the contour of the mask at 128, which may have another scale."""
    smooth = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    contours, _ = cv2.findContours((smooth >= 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), contours, -1, colour, 1)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=_LINE - 4)


def _write(picture: Image.Image, place: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(picture).text(place, text, fill=_INK, font=_font())


def _shortened(text: str, width: int) -> str:
    """The text with its middle left out where it is wider than `width` px."""
    font, short = _font(), text
    for keep in range(len(text) - 1, 3, -1):
        if font.getlength(short) <= width:
            break
        short = f"{text[: keep // 2]}…{text[len(text) - keep // 2 :]}"
    return short
