"""One image to its cells, judged by everything that needs no scale. Runs in any process, in any order."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from smearsynth.cells.cell import Cell
from smearsynth.cells.gate import refuse
from smearsynth.cells.masking import Found, Region, find_cells
from smearsynth.cells.measure import Measures, measure
from smearsynth.recipe.cells import GateSpec
from smearsynth.sources.entry import Entry
from smearsynth.sources.files import locate
from smearsynth.sources.images import ImageFault, decode_image, read_bytes, read_mask, sha256_of

_MARGIN = 8
"""Pixels kept around a mask: more than the reach of any edge filter."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One image to cut, with what its source says of it."""

    root: Path
    source: str
    entry: Entry
    glass: tuple[int, int, int] | None
    gate: GateSpec


@dataclass(frozen=True, kw_only=True)
class Candidate:
    cell: Cell
    found: Measures


@dataclass(frozen=True, kw_only=True)
class Cut:
    """What one image gave. fault: why the file could not be read ("" if it could), `sentence` says it in full."""

    candidates: tuple[Candidate, ...] = ()
    fault: str = ""
    sentence: str = ""


def cut_image(work: Work) -> Cut:
    """The candidates of one image, each with its refusal if it has one already."""
    entry = work.entry
    try:
        data = read_bytes(locate(work.root, entry.path))
        image = decode_image(data, entry.path)
        mask = None
        if entry.mask is not None:
            mask = read_mask(locate(work.root, entry.mask), shape=image.shape[:2], pad=entry.mask_pad)
    except ImageFault as fault:
        return Cut(fault=fault.reason, sentence=str(fault))
    found = find_cells(image, entry, mask, work.glass)
    sha256 = sha256_of(data)
    return Cut(
        candidates=tuple(_candidate(work, found, region, number, sha256) for number, region in enumerate(found.regions))
    )


def _candidate(work: Work, found: Found, region: Region, number: int, sha256: str) -> Candidate:
    window = _around(region.mask)
    part = Region(**{**vars(region), "mask": region.mask[window]})
    measures = measure(found.image[window], part, found.density[window], glass_shows=found.glass_measured)
    cell = Cell(
        image=found.image[window].copy(),
        mask=part.mask.copy(),
        class_id=region.class_id,
        source=work.source,
        group=work.entry.group,
        path=work.entry.path,
        sha256=sha256,
        index=number,
        um_per_px=None,
        glass=found.glass,
        glass_measured=found.glass_measured,
        reject=refuse(measures, region.class_id, work.gate, tight=work.entry.tight),
    )
    return Candidate(cell=cell, found=measures)


def _around(mask: np.ndarray) -> tuple[slice, slice]:
    x, y, w, h = cv2.boundingRect((mask > 0).astype(np.uint8))
    return slice(max(0, y - _MARGIN), y + h + _MARGIN), slice(max(0, x - _MARGIN), x + w + _MARGIN)
