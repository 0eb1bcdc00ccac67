"""Platelet clumps, assembled from single platelets where no source gives any.

Members come from one source and split and look alike, as platelets of one smear do. They are turned by quarter turns,
mirrored and shifted by whole pixels, so nothing is resampled on top of the two times that a cell may be.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import MARGIN, Bank, Rgba, add_assembled
from smearsynth.bank.glass import Mask
from smearsynth.bank.outlines import fill_outside
from smearsynth.base import streams
from smearsynth.taxonomy import PLATELET_CLUMP, SPLITS, THROMBOCYTE

_LEAST_PER_SPLIT, _MOST_PER_SPLIT = 8, 1000
_ALIKE = 12
"""Platelets nearest in colour to a clump's first one, from which the others are drawn."""
_OVERLAP = (5, 30)
"""Percent of the smaller of the two that a platelet shares with those it is pushed against, drawn per platelet."""
_TRIES = 5
"""Places tried per platelet; the one nearest to the middle of the clump is kept."""

Point = tuple[int, int]
"""Row and column, px."""


@dataclass(frozen=True, eq=False)
class _Platelet:
    """A bank row with its pixels. glass: int64 (3,), RGB 1-255. colour: int64 (3,), mean transmittance in 1/1024."""

    row: int
    rgba: Rgba
    glass: npt.NDArray[np.int64]
    colour: npt.NDArray[np.int64]


def with_clumps(bank: Bank, *, size_range: tuple[int, int], per_thrombocyte: float, seed: int) -> Bank:
    """The bank with clumps appended in every split; the same bank where a source has clumps already.

    size_range: platelets per clump, both ends included, small ones commoner. per_thrombocyte: clumps per thrombocyte
    of the split, at least 8 and at most 1,000 per split. A clump's `parts` are the rows of its members, "12 57 57".
    """
    if (bank.class_id == PLATELET_CLUMP).any():
        return bank
    clumps, parts = [], []
    for split in range(len(SPLITS)):
        platelets = _platelets(bank, split)
        wanted = round(len(platelets) * per_thrombocyte)
        for number in range(min(max(wanted, _LEAST_PER_SPLIT), _MOST_PER_SPLIT) if platelets else 0):
            state = streams.stream(seed, "clump", SPLITS[split], number)
            members = _draw_members(platelets, bank.source, size_range, state)
            clumps.append(assemble([m.rgba for m in members], [m.glass for m in members], state))
            parts.append([m.row for m in members])
    return add_assembled(bank, clumps, parts, np.full(len(clumps), PLATELET_CLUMP, np.uint8))


def _platelets(bank: Bank, split: int) -> list[_Platelet]:
    """The thrombocytes of a split that are one region without holes."""
    rows = np.flatnonzero((bank.class_id == THROMBOCYTE) & (bank.split == split))
    found = []
    for row in rows.tolist():
        rgba, glass = bank.rgba(row), np.maximum(bank.glass[row].astype(np.int64), 1)
        solid = rgba[..., 3] >= 128
        if _parts_and_holes(solid) == (1, 0):
            inside = rgba[solid][:, :3].astype(np.int64)
            colour = inside.sum(0) * 1024 // (glass * len(inside))
            found.append(_Platelet(row, rgba, glass, colour))
    return found


def _draw_members(
    platelets: list[_Platelet], source: npt.NDArray[np.uint8], size_range: tuple[int, int], state: streams.State
) -> list[_Platelet]:
    """The first at random, then different ones that look like it; each once more where there are too few."""
    size = min(streams.between(state, *size_range), streams.between(state, *size_range))
    first = platelets[streams.below(state, len(platelets))]
    alike = [p for p in platelets if source[p.row] == source[first.row] and p is not first]
    alike.sort(key=lambda p: (int(np.abs(p.colour - first.colour).sum()), p.row))
    pool = alike[:_ALIKE] or [first]
    members = [first]
    while len(members) < size:
        left = [p for p in pool if p not in members] or pool
        members.append(left[streams.below(state, len(left))])
    return members


def assemble(platelets: list[Rgba], glasses: list[npt.NDArray[np.int64]], state: streams.State) -> Rgba:
    """One clump, uint8 (h, w, 4), on the first platelet's glass; its pixels with mask >= 128 are one region.

    platelets: uint8 (h, w, 4) each; glasses: RGB 1-255 each. Places that would enclose a hole are tried anew.
    """
    side = 2 * sum(max(p.shape[:2]) for p in platelets)
    canvas = np.zeros((side, side, 4), np.uint8)
    centres: list[Point] = []
    for rgba, glass in zip(platelets, glasses, strict=True):
        turned = _on_glass(_turned(rgba, streams.below(state, 8)), glass, glasses[0])
        taken, solid = canvas[..., 3] >= 128, turned[..., 3] >= 128
        places = [_pushed(taken, solid, centres, state) for _ in range(_TRIES)]
        for _, centre in sorted(places):
            tried = _painted(canvas, turned, centre)
            if _parts_and_holes(tried[..., 3] >= 128) == (1, 0):
                break
        canvas = tried
        centres.append(centre)
    assert _parts_and_holes(canvas[..., 3] >= 128)[0] == 1, "a clump is one connected region"
    x, y, w, h = cv2.boundingRect((canvas[..., 3] > 0).astype(np.uint8))
    cropped = canvas[y - MARGIN : y + h + MARGIN, x - MARGIN : x + w + MARGIN].copy()
    cropped[..., :3] = fill_outside(cropped[..., :3], cropped[..., 3] > 0)
    return cropped


def _turned(rgba: Rgba, orientation: int) -> Rgba:
    """One of the eight orientations that need no resampling."""
    turned = np.rot90(rgba, orientation % 4)
    return np.ascontiguousarray(turned[:, ::-1] if orientation >= 4 else turned)


def _on_glass(rgba: Rgba, glass: npt.NDArray[np.int64], new: npt.NDArray[np.int64]) -> Rgba:
    """The cell with the same transmittance on other glass."""
    colour = (rgba[..., :3] * new + glass // 2) // glass
    return np.dstack([np.minimum(colour, 255).astype(np.uint8), rgba[..., 3]])


def _pushed(taken: Mask, solid: Mask, centres: list[Point], state: streams.State) -> tuple[int, Point]:
    """Where a platelet ends up that is pushed from a random side towards the middle until it overlaps enough.

    Returns the square of its distance to the middle, and its centre.
    """
    if not centres:
        return 0, (len(taken) // 2, len(taken) // 2)
    h, w = solid.shape
    my, mx = (sum(c) // len(centres) for c in zip(*centres, strict=True))
    dy, dx = _direction(state)
    smaller = min(int(solid.sum()), int(taken.sum()) // len(centres))
    enough = max(2, smaller * streams.between(state, *_OVERLAP) // 100)
    step = len(taken) // 4
    while step:
        y, x = my + dy * step // 64 - h // 2, mx + dx * step // 64 - w // 2
        if int((taken[y : y + h, x : x + w] & solid).sum()) >= enough:
            break
        step -= 1
    y, x = dy * step // 64, dx * step // 64
    return y * y + x * x, (my + y, mx + x)


def _direction(state: streams.State) -> tuple[int, int]:
    """A vector about 64 long: integers within a disc, so every direction is as likely as any other."""
    while True:
        dy, dx = streams.between(state, -64, 64), streams.between(state, -64, 64)
        if 48**2 <= dy * dy + dx * dx <= 64**2:
            return dy, dx


def _painted(canvas: Rgba, rgba: Rgba, centre: Point) -> Rgba:
    """The canvas with the platelet: the higher mask, and the colour of the one that absorbs more there."""
    h, w = rgba.shape[:2]
    y, x = centre[0] - h // 2, centre[1] - w // 2
    result = canvas.copy()
    part = result[y : y + h, x : x + w]
    stronger = _absorption(rgba) > _absorption(part)
    part[..., :3][stronger] = rgba[..., :3][stronger]
    part[..., 3] = np.maximum(part[..., 3], rgba[..., 3])
    return result


def _absorption(rgba: Rgba) -> npt.NDArray[np.int64]:
    return rgba[..., 3].astype(np.int64) * (766 - rgba[..., :3].sum(2, dtype=np.int64))


def _parts_and_holes(solid: Mask) -> tuple[int, int]:
    """Connected regions, and what they enclose."""
    x, y, w, h = cv2.boundingRect(solid.astype(np.uint8))
    solid = solid[y : y + h, x : x + w]
    parts = cv2.connectedComponents(solid.astype(np.uint8), connectivity=8)[0] - 1
    outside = np.pad(~solid, 1, constant_values=True)
    holes = cv2.connectedComponents(outside.astype(np.uint8), connectivity=4)[0] - 2
    return parts, holes
