"""From one image to its cells: cut out, and judged by everything that needs no scale.

Each method (companion mask, drawn outline, black ground, transparency, stain) says roughly where a cell is;
`outlines.find_edge` says for all of them where exactly it ends. `cut_image` depends on nothing but its job, so it runs
in any process, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from smearsynth.bank.field_cells import find_in_field
from smearsynth.bank.glass import Glass, Image, Mask, mean_density, measure_glass, optical_density
from smearsynth.bank.outlines import (
    FoundCells,
    SoftMask,
    TooManyError,
    components,
    components_with,
    convex_hull,
    fill_outside,
    find_edge,
    grow,
    largest_component,
    radius_of,
    straight_run,
    whole_window,
)
from smearsynth.bank.quality_gate import CellMeasures, judge, measure
from smearsynth.bank.stained_cells import find_stained
from smearsynth.base.images import ImageError, decode_image, decode_opacity, read_bytes, read_mask, sha256_of
from smearsynth.base.tables import locate
from smearsynth.fields.field_folder import CLEARLY, contrast_of_cells
from smearsynth.fields.otsu import fill_holes
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.sources.entry import Entry, Method

MOST_PIXELS = 16_800_000
"""Of an image that cells are cut from, which takes some 55 bytes of memory for each."""
_BLACK = 24
"""Brightest channel of black ground and of the pixels that resampling blended with it."""
_ALL_AROUND = 0.9
"""Share of an image's border in a mask from which it may be one of the glass."""
_WHITE = (255, 255, 255)
"""Glass of a crop whose surroundings are transparent, as they are laid on white."""
_LEAST_GLASS = 0.95
"""Share of the source's own glass under which the ground of a crop is taken for red cells."""
_OUTLINE_REACHES = (2, 8, 16)
"""Half of the gap, px, over which a drawn outline is closed, the narrowest that suffices: paint may lie over it."""


@dataclass(frozen=True, kw_only=True)
class CutCell:
    """One cell at its source's scale, cropped to its mask with a margin.

    image: uint8 (h, w, 3) RGB as in the file, repaired where the source painted on it. mask: uint8 (h, w), soft; 128
    lies half-way between glass and rim. group: unique within the source. glass: RGB 0-255 of the empty glass of its
    image; glass_measured: False where it is the source's recorded constant. name: as its source names it, "" where that
    tells no more than the class. reject: reason of refusal, "" for a good cell. um_per_px: None until the scale of its
    source is known, where its image has none of its own.
    """

    image: Image
    mask: SoftMask
    class_id: int
    source: str
    group: str
    path: str
    sha256: str
    glass: Glass
    glass_measured: bool
    measures: CellMeasures
    name: str = ""
    reject: str = ""
    um_per_px: float | None = None


@dataclass(frozen=True, kw_only=True)
class ImageJob:
    """One image to cut, with what its source says of it. entries: those of this image; several only where points or
    boxes tell them apart. page: of a TIFF of several."""

    root: Path
    source: str
    entries: tuple[Entry, ...]
    glass: Glass | None
    gate: GateSpec
    page: int | None = None


@dataclass(frozen=True, kw_only=True)
class CutImage:
    """What one image gave, named cells first. reason: why the file could not be used, as a short key ("" where it
    could); error: the same as a sentence."""

    cells: tuple[CutCell, ...] = ()
    reason: str = ""
    error: str = ""


def cut_image(job: ImageJob) -> CutImage:
    """The cells of one image, each with its refusal if it has one already."""
    entry = job.entries[0]
    try:
        data = read_bytes(locate(job.root, entry.path))
        image = decode_image(data, entry.path, most_pixels=MOST_PIXELS, page=job.page)
        mask, cut_out, tight = None, None, entry.tight
        if entry.mask is not None:
            mask = read_mask(locate(job.root, entry.mask), shape=image.shape[:2], pad=entry.mask_pad)
            if _is_negative(image, mask > 0):
                raise ImageError(
                    "mask_negative",
                    f"{entry.mask}: what is white in it is the bright surroundings of a hole, as if cell and glass "
                    "were exchanged; invert it, so that the cell is white",
                )
            tight = tight or _fills(mask)
        elif entry.method is Method.STAIN and entry.box is None:
            cut_out = decode_opacity(data, entry.path, job.page)
        if cut_out is not None:
            tight = True
            found = _find_cut_out(image, entry.class_id, cut_out >= 128, _WHITE)
        else:
            found = find_cells(image, job.entries, mask, job.glass)
    except ImageError as error:
        return CutImage(reason=error.reason, error=str(error))
    except TooManyError as error:
        return CutImage(reason="crowded", error=f"{entry.path}: {error}")
    sha256 = sha256_of(data)
    names = [entry.name for entry in job.entries if entry.class_key is not None]
    cells = []
    for number, region in enumerate(found.regions):
        name = names[number] if number < len(names) else ""
        pixels = found.image[region.window]
        measures = measure(pixels, region, found.density[region.window], glass_shows=found.glass_measured)
        cells.append(
            CutCell(
                image=pixels.copy(),
                mask=region.mask.copy(),
                class_id=region.class_id,
                source=job.source,
                group=entry.group,
                path=entry.path,
                sha256=sha256,
                glass=found.glass,
                glass_measured=found.glass_measured,
                measures=measures,
                name=name,
                reject=region.reject or judge(measures, region.class_id, job.gate, name, tight=tight),
                um_per_px=entry.um_per_px,
            )
        )
    return CutImage(cells=tuple(cells))


def find_cells(image: Image, entries: Sequence[Entry], mask: SoftMask | None, glass: Glass | None) -> FoundCells:
    """The cells of one image, those that the entries name first.

    image: uint8 (h, w, 3) RGB. entries: of this image. mask: uint8 (h, w), the companion mask, where the entries have
    one. glass: the source's recorded constant, used only where the image shows none.
    """
    method = entries[0].method
    if method is Method.FIELD:
        return find_in_field(image, entries)
    if method is Method.STAIN:
        return find_stained(image, entries)
    class_id = entries[0].class_id
    assert len(entries) == 1, "an image has several entries only where boxes tell them apart"
    if method is Method.BLACK_GROUND:
        assert glass is not None, "a source on black ground records its glass"
        return _find_cut_out(image, class_id, image.max(axis=2) > _BLACK, glass)
    if method is Method.OUTLINE:
        image, inside = repair_outline(image)
        return _find_marked(image, class_id, inside, glass, one=True)
    assert mask is not None, "an entry of method `given` has a mask"
    return _find_marked(image, class_id, mask > 0, glass, one=False)


def _find_marked(image: Image, class_id: int, marked: Mask, recorded: Glass | None, *, one: bool) -> FoundCells:
    """Cells that are roughly known: the glass is measured outside them, then each contour is put half-way.

    one: all that is marked is one cell, however small; else each connected region is. recorded: the source's own glass;
    it stands where the crop shows nothing nearly as bright (by green, in which red cells are darkest), because its
    corners are full of red cells.
    """
    outside = ~grow(marked, 2)
    glass = measure_glass(image, outside if outside.sum() >= 64 else None)
    shows = recorded is None or glass[1] >= _LEAST_GLASS * recorded[1]
    if recorded is not None and not shows:
        glass = recorded
    density = mean_density(optical_density(image, glass))
    insides = [(whole_window(marked), marked)] if one else components(marked)
    regions = [find_edge(density, window, inside, marked[window] & ~inside, class_id) for window, inside in insides]
    return FoundCells(image=image, density=density, regions=tuple(regions), glass=glass, glass_measured=shows)


def repair_outline(image: Image) -> tuple[Image, Mask]:
    """The image without its burned-in pure red outline (painted in from both sides), and the outline's inside.

    The inside includes the outline; where the outline leaves the image, the image's border closes it. An outline that
    stays open (less than half of its convex hull lies inside) gives an empty inside.
    """
    red = (image[..., 0] > 200) & (image[..., 1] < 60) & (image[..., 2] < 60)
    repaired = cv2.inpaint(image, grow(red, 1).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    least = convex_hull(red).sum() / 2
    corners = np.zeros_like(red)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True  # a tight crop has its glass there
    for reach in _OUTLINE_REACHES:
        outside = components_with(~grow(red, reach), corners)
        inside = largest_component(~grow(outside, reach))
        if inside.sum() > least > 0:
            return repaired, inside
    return repaired, np.zeros_like(red)


def _is_negative(image: Image, cells: Mask) -> bool:
    """Whether a companion mask is upside down: it marks nearly all of the image's border, and what it leaves out is
    darker, as only cells are."""
    border = np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]])
    return bool(border.mean() > _ALL_AROUND) and contrast_of_cells(image, cells, ~cells) >= CLEARLY


def _fills(mask: SoftMask) -> bool:
    """Whether an image was cropped to its mask: one region, which reaches all four sides. A cell that the image cuts
    reaches one of them or two."""
    _, _, width, height = cv2.boundingRect(mask)
    return (height, width) == mask.shape and cv2.connectedComponents(mask)[0] == 2


def _find_cut_out(image: Image, class_id: int, lit: Mask, glass: Glass) -> FoundCells:
    """A cell cut out on black or on nothing: the cut's outermost, blended pixel goes, and so does glass left around it.

    Nothing is known beyond the cut, so the contour only moves inwards; around it lies the nearest colour. The glass is
    the source's constant, or the cell's brightest 1 % where that is brighter: glass is never darker. lit: bool (h, w),
    what was left of the image.
    """
    lit = largest_component(fill_holes(lit))
    framed = np.pad(lit, 1)
    region = (grow(framed, -1) & _smoothed(framed))[1:-1, 1:-1]
    if region.any():
        image = fill_outside(image, region)
        r, g, b = np.percentile(image[region], 99, axis=0).astype(int).tolist()
        glass = (max(glass[0], r), max(glass[1], g), max(glass[2], b))
    density = mean_density(optical_density(image, glass))
    cell = find_edge(density, whole_window(region), region, ~region, class_id)
    cell = replace(cell, straight=straight_run(lit, lit.shape))
    return FoundCells(image=image, density=density, regions=(cell,), glass=glass, glass_measured=False)


def _smoothed(mask: Mask) -> Mask:
    """The mask without the steps that a cut at lower resolution left along its edge.

    The level of 0.7 puts the contour half a sigma further in, clear of most steps: they may hold no cell.
    """
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.05 * radius_of(mask) + 0.5) > 0.7
