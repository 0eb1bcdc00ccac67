"""From an image to its cells: each method says roughly where a cell is, one rule for all says where it ends.

One image to its cells, judged by everything that needs no scale. Runs in any process, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from smearsynth.bank.cell import Cell, mean_density, measure_glass, optical_density
from smearsynth.bank.outlines import (
    Found,
    Image,
    Mask,
    Region,
    Soft,
    TooManyError,
    Window,
    components,
    convex_hull,
    fill_holes,
    finish,
    grow,
    largest,
    radius_of,
    reached,
    straight_run,
    whole,
)
from smearsynth.bank.quality_gate import Measures, measure, refuse
from smearsynth.bank.stained_cells import cells_by_stain
from smearsynth.base.images import ImageFault, decode_image, read_bytes, read_mask, sha256_of
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.sources.entry import Entry, Method
from smearsynth.sources.source_files import locate
from smearsynth.taxonomy import BY_KEY

_BLACK = 24
"""Brightest channel of black ground and of the pixels that resampling blended with it."""
_LEAST_GLASS = 0.95
"""Share of the source's own glass under which the ground of a crop is taken for red cells."""
_OUTLINE_REACHES = (2, 8, 16)
"""Half of the gap, px, over which a drawn outline is closed, the narrowest that suffices: paint may lie over it."""


def find_cells(image: Image, entries: Sequence[Entry], given: Soft | None, glass: tuple[int, int, int] | None) -> Found:
    """The cells of one image, those that the entries name first.

    image: u1 (h, w, 3) RGB. entries: of this image; several only by stain, each with a box. given: u1 (h, w), companion
    mask, where the entry has one. glass: the source's recorded constant, used only where the image shows none.
    """
    method, class_id = entries[0].method, BY_KEY[entries[0].class_key].id
    if method is Method.STAIN:
        return cells_by_stain(image, entries)
    assert len(entries) == 1, "an image has several entries only where boxes tell them apart"
    if method is Method.BLACK_GROUND:
        assert glass is not None, "a source on black ground records its glass"
        return _on_black(image, class_id, glass)
    if method is Method.OUTLINE:
        image, inside = repair_outline(image)
        return _measured(image, class_id, inside, [(whole(inside), inside)], glass)
    assert given is not None, "an entry of method `given` has a mask"
    return _measured(image, class_id, given > 0, list(components(given > 0)), glass)


def repair_outline(image: Image) -> tuple[Image, Mask]:
    """The image without its burned-in pure red outline (painted in from both sides), and the outline's inside.

    The inside includes the outline; where the outline leaves the image, the image's border closes it. An outline that
    stays open (less than half of its convex hull lies inside) gives an empty inside.
    """
    red = (image[..., 0] > 200) & (image[..., 1] < 60) & (image[..., 2] < 60)
    repaired = cv2.inpaint(image, grow(red, 1).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    least = convex_hull(red).sum() / 2
    for reach in _OUTLINE_REACHES:
        outside = _reached_from_corners(~grow(red, reach))
        inside = largest(~grow(outside, reach))
        if inside.sum() > least > 0:
            return repaired, inside
    return repaired, np.zeros_like(red)


def _reached_from_corners(free: Mask) -> Mask:
    """The parts of `free` that hold a corner of the image: a tight crop has its glass there."""
    corners = np.zeros_like(free)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    return reached(free, corners)


def _measured(
    image: Image,
    class_id: int,
    every: Mask,
    insides: list[tuple[Window, Mask]],
    recorded: tuple[int, int, int] | None,
) -> Found:
    """Cells that are roughly known: the glass is measured outside them, then each contour is put half-way.

    recorded: the source's own glass; it stands where the crop shows nothing nearly as bright (by green, in which red
    cells are darkest), because its corners are full of red cells.
    """
    outside = ~grow(every, 2)
    glass = measure_glass(image, outside if outside.sum() >= 64 else None)
    shows = recorded is None or glass[1] >= _LEAST_GLASS * recorded[1]
    if recorded is not None and not shows:
        glass = recorded
    density = mean_density(optical_density(image, glass))
    regions = [finish(density, window, inside, every[window] & ~inside, class_id) for window, inside in insides]
    return Found(image=image, density=density, regions=tuple(regions), glass=glass, glass_measured=shows)


def _on_black(image: Image, class_id: int, glass: tuple[int, int, int]) -> Found:
    """A cell cut out on black: the cut's outermost, blended pixel goes, and so does glass left around the cell.

    Nothing is known beyond the cut, so the contour only moves inwards; the black is filled with the nearest colour.
    The glass is the source's constant, or the cell's brightest 1 % where that is brighter: glass is never darker.
    """
    lit = largest(fill_holes(image.max(axis=2) > _BLACK))
    framed = np.pad(lit, 1)
    region = (grow(framed, -1) & _evened(framed))[1:-1, 1:-1]
    image = extended(image, region)
    brightest = np.percentile(image[region], 99, axis=0).astype(int).tolist() if region.any() else glass
    glass = (max(glass[0], brightest[0]), max(glass[1], brightest[1]), max(glass[2], brightest[2]))
    density = mean_density(optical_density(image, glass))
    cell = finish(density, whole(region), region, ~region, class_id)
    cell = replace(cell, straight=straight_run(lit, lit.shape))
    return Found(image=image, density=density, regions=(cell,), glass=glass, glass_measured=False)


def _evened(mask: Mask) -> Mask:
    """The mask without the steps that a cut at lower resolution left along its edge.

    The level of 0.7 puts the contour half a sigma further in, clear of most steps: they may hold no cell.
    """
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.05 * radius_of(mask) + 0.5) > 0.7


def extended(image: Image, region: Mask) -> Image:
    """The image with everything outside `region` replaced by the colour of the region's nearest pixel."""
    if not region.any():
        return image
    rows, columns = ndimage.distance_transform_edt(~region, return_distances=False, return_indices=True)
    return image[rows, columns]


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
