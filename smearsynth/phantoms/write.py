"""Writes the drawn sources as their databases ship them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from smearsynth.errors import UserError
from smearsynth.phantoms.camera import Picture
from smearsynth.phantoms.iumc import draw_iumc
from smearsynth.phantoms.kaggle import draw_kaggle
from smearsynth.phantoms.lisc import draw_lisc
from smearsynth.phantoms.mamic import draw_mamic
from smearsynth.sources.drawn import write_note

SOURCES: dict[str, Callable[[int], Iterator[tuple[str, Picture | str]]]] = {
    "lisc": draw_lisc,
    "iumc": draw_iumc,
    "mamic": draw_mamic,
    "kaggle": draw_kaggle,
}
"""Folder of a source -> its files from a seed: path with forward slashes, and pixels or text."""


def write_sources(folder: Path, seed: int = 0) -> dict[str, int]:
    """Draw all four sources into `folder`, each in a folder of its own. Returns the files drawn per source, beside
    which a note says that they are drawn.

    The same seed writes the same bytes under the same versions of numpy and Pillow. Raises UserError, before
    anything is written, where one of the four folders is already there.
    """
    for name in SOURCES:
        if (folder / name).exists():
            raise UserError(f"{folder / name}: already there; remove it or name another folder")
    written = {name: _write(folder / name, draw(seed)) for name, draw in SOURCES.items()}
    for name in SOURCES:
        write_note(folder / name, seed)
    return written


def _write(root: Path, files: Iterator[tuple[str, Picture | str]]) -> int:
    number = 0
    for path, content in files:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.write_text(content, encoding="utf-8", newline="\n")
        else:
            Image.fromarray(content).save(target, compress_level=9)
        number += 1
    return number
