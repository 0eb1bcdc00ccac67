"""`preview.png`, a contact sheet: smears, each beside its label in the colours of its classes, with a legend."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels
from smearsynth.dataset import layout
from smearsynth.dataset.index import classes_of
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, CellClass

SMEARS = 12
_WIDTH = 1800
_SIDE = 224
_GAP = 8
_LINE = 2
_PAPER = 255
_LEVEL = 1
"""Of deflate: noise makes every other level hardly smaller (6: by a sixth) and up to three times slower."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One smear: its images uint8 (H, W, 3), one per look, and its label uint8 (H, W)."""

    images: Sequence[Pixels]
    label: Pixels


def chosen(scenes: int) -> range:
    """The scenes that are shown of so many: the first ones, for `planner.combination_of` mixes the combinations."""
    return range(min(scenes, SMEARS))


def read_panels(out: Path) -> tuple[list[Panel], tuple[CellClass, ...]]:
    """Panels from the first shard of a dataset, built or imported, and the classes of its labels. Raises UserError."""
    shards = layout.shards(out)
    if not shards:
        raise UserError(f"{out} holds no shards, so there is nothing to show: build the dataset first.")
    reader = ShardReader(shards[0])
    looks = len(reader.header.looks)
    panels = [_panel(reader, scene * looks, looks) for scene in chosen(len(reader) // looks)]
    return panels, classes_of(reader.path, reader.header)


def _panel(reader: ShardReader, row: int, looks: int) -> Panel:
    images = [reader.read("image", row + look).view(np.uint8) for look in range(looks)]
    return Panel(images=images, label=reader.read("label", row).view(np.uint8))


def save_sheet(panels: Iterable[Panel], classes: Sequence[CellClass], path: Path) -> None:
    """Writes the contact sheet as PNG. classes: what the labels mean."""
    blocks = [_block(panel, palette(classes)) for panel in panels]
    height, width = blocks[0].shape[:2]
    columns = max(1, min(len(blocks), _WIDTH // (width + _GAP)))
    rows = -(-len(blocks) // columns)
    legend = _legend(max(columns * (width + _GAP) + _GAP, 4 * _SIDE), classes)
    sheet = np.full((rows * (height + _GAP) + _GAP + legend.shape[0], legend.shape[1], 3), _PAPER, np.uint8)
    for number, block in enumerate(blocks):
        y, x = (_GAP + i * (n + _GAP) for i, n in zip(divmod(number, columns), (height, width), strict=True))
        sheet[y : y + height, x : x + width] = block
    sheet[-legend.shape[0] :] = legend
    Image.fromarray(sheet).save(path, "PNG", compress_level=_LEVEL)


def _block(panel: Panel, colours: Pixels) -> Pixels:
    """The images of a panel and its label side by side, a thin line of paper between them."""
    pictures = [shrunk(picture, _SIDE) for picture in (*panel.images, colours[panel.label])]
    line = np.full((pictures[0].shape[0], _LINE, 3), _PAPER, np.uint8)
    return np.hstack([part for picture in pictures for part in (line, picture)][1:])


def palette(classes: Sequence[CellClass] = CLASSES) -> Pixels:
    """uint8 (256, 3): the colour of each label, white for those that are no class. classes: by id from 0."""
    colours = np.full((256, 3), _PAPER, np.uint8)
    colours[: len(classes)] = [c.rgb for c in classes]
    return colours


def shrunk(picture: Pixels, side: int, how: int = cv2.INTER_AREA) -> Pixels:
    """At most `side` px high and wide; colours of labels stay pure only by INTER_NEAREST, or at full size."""
    factor = side / max(picture.shape[:2])
    if factor >= 1:
        return picture
    return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=how)


def _legend(width: int, classes: Sequence[CellClass]) -> Pixels:
    swatch, line, cell = 16, 28, max(width // 5, 1)
    page = Image.new("RGB", (width, -(-len(classes) // 5) * line + _GAP), (_PAPER,) * 3)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for number, cell_class in enumerate(classes):
        y, x = (number // 5) * line + _GAP, (number % 5) * cell + _GAP
        draw.rectangle((x, y, x + swatch, y + swatch), fill=cell_class.rgb, outline=(90, 90, 90))
        draw.text((x + swatch + 8, y - 1), cell_class.name, fill=(0, 0, 0), font=font)
    return np.asarray(page)
