"""One image to its cells, judged by everything that needs no scale. Runs in any process, in any order."""

from dataclasses import dataclass
from pathlib import Path

from smearsynth.cells.cell import Cell
from smearsynth.cells.gate import refuse
from smearsynth.cells.masking import find_cells
from smearsynth.cells.measure import Measures, measure
from smearsynth.cells.region import Found, Region, TooManyError
from smearsynth.images import ImageFault, decode_image, read_bytes, read_mask, sha256_of
from smearsynth.recipe.cells import GateSpec
from smearsynth.sources.entry import Entry
from smearsynth.sources.files import locate

MOST_PIXELS = 16_800_000
"""Of an image that cells are cut from, which takes some 55 bytes of memory for each."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One image to cut, with what its source says of it. entries: those of this image; all but class and box of them
    is equal."""

    root: Path
    source: str
    entries: tuple[Entry, ...]
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
    entry = work.entries[0]
    try:
        data = read_bytes(locate(work.root, entry.path))
        image = decode_image(data, entry.path, most_pixels=MOST_PIXELS)
        mask = None
        if entry.mask is not None:
            mask = read_mask(locate(work.root, entry.mask), shape=image.shape[:2], pad=entry.mask_pad)
        found = find_cells(image, work.entries, mask, work.glass)
    except ImageFault as fault:
        return Cut(fault=fault.reason, sentence=str(fault))
    except TooManyError as error:
        return Cut(fault="crowded", sentence=f"{entry.path}: {error}")
    sha256 = sha256_of(data)
    return Cut(
        candidates=tuple(_candidate(work, found, region, number, sha256) for number, region in enumerate(found.regions))
    )


def _candidate(work: Work, found: Found, region: Region, number: int, sha256: str) -> Candidate:
    entry = work.entries[0]
    image, density = found.image[region.window], found.density[region.window]
    measures = measure(image, region, density, glass_shows=found.glass_measured)
    cell = Cell(
        image=image.copy(),
        mask=region.mask.copy(),
        class_id=region.class_id,
        source=work.source,
        group=entry.group,
        path=entry.path,
        sha256=sha256,
        index=number,
        um_per_px=None,
        glass=found.glass,
        glass_measured=found.glass_measured,
        reject=refuse(measures, region.class_id, work.gate, tight=entry.tight),
    )
    return Candidate(cell=cell, found=measures)
