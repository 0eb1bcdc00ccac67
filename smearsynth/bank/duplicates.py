"""Finds cells that were saved twice, so that no split can divide them.

The first criterion, correlation of 24x24 grey thumbnails, cannot stand alone: round healthy red cells, and dark round
lymphocytes, correlate above 0.98 with hundreds of strangers and would chain unrelated patients into one group. The
second looks at what only the same cell shares: texture finer than the thumbnail, at the best of a few shifts, because
two masks of one cell never have quite the same box. Measured on the 3,495 cells that masking finds in four public
sources: the 15 pairs that are one cell to the eye have thumbnails over 0.96 (all but two over 0.98) and textures over
0.71; of all other pairs with thumbnails over 0.90 none has textures over 0.56. Thumbnails of whole images
find 4 of the 15, since the same cell was cropped to several sizes.

A cell that was saved again turned or mirrored, as augmented sets have it, is one cell, too. What all eight views of a
cell share is taken away before these are compared: of round cells it is nearly all, and of strangers the same.

All decisions are made in integers: the float product of the thumbnails only proposes candidates, with a margin.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.glass import Image
from smearsynth.bank.outlines import SoftMask
from smearsynth.base.compiled import compiled

Fingerprints = npt.NDArray[np.uint16]

SIDE = 48
_THUMBNAIL = 24
LEAST_THUMBNAIL = 0.95
LEAST_TEXTURE = 0.64
_ROUGH_TEXTURE = 0.25
"""Texture correlation without a shift under which no shift is tried; true pairs stay over 0.4."""
_MOST_SHIFT = 3
_LEAST_COMMON = 400
"""Pixels that two textures must have in common."""
_OUTSIDE = np.int16(-32768)
_MARKS = 16
"""Side of a cell's own marks, by which a turned view is proposed."""
_LEAST_OWN = 0.7
"""Their correlation: over 0.92 in 400 real cells turned and saved as JPEG, over 0.7 in 3 of 100,000 strangers."""
_MARGIN = 0.002
"""Of the float correlation that proposes candidates: far more than its rounding."""
_BLOCK = 512
"""Rows that are compared with all others at a time."""

_GREY = np.array([77, 150, 29], np.int64)
"""Rec. 601 luma in 1/256."""
_SURROUND = 240 * 64
"""Grey that stands for everything outside the mask, so that the outline counts and the neighbours do not."""


@dataclass(frozen=True)
class DuplicatePair:
    """Two cells, by their row, that are one. Correlations are 1.0 where the files are equal byte for byte."""

    a: int
    b: int
    thumbnail: float
    texture: float


def fingerprint(image: Image, mask: SoftMask) -> Fingerprints:
    """The box of the cell's mask as uint16 (48, 48): grey in 1/64, at least 1; 0 outside the mask.

    image: uint8 (h, w, 3) RGB. mask: uint8 (h, w), 128 on the contour.
    """
    x, y, w, h = cv2.boundingRect((mask >= 128).astype(np.uint8))
    box = slice(y, y + h), slice(x, x + w)
    grey = (image[box] @ _GREY // 4).astype(np.uint16)
    grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(np.ascontiguousarray(mask[box]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.where(inside >= 128, np.maximum(grey, 1), 0).astype(np.uint16)


def find_pairs(fingerprints: Fingerprints, sha256: Sequence[str], groups: Sequence[str]) -> tuple[DuplicatePair, ...]:
    """Pairs of cells from different groups that are the same cell, a < b, in ascending order.

    fingerprints: uint16 (n, 48, 48) from `fingerprint`; sha256: of the files they came from; groups: "source/group".
    """
    pairs: dict[tuple[int, int], DuplicatePair] = {}
    for pair in _alike(fingerprints, groups):
        pairs.setdefault((pair.a, pair.b), pair)
    first: dict[str, int] = {}
    for row, name in enumerate(sha256):
        if groups[first.setdefault(name, row)] != groups[row]:
            pairs[first[name], row] = DuplicatePair(first[name], row, 1.0, 1.0)
    return tuple(pairs[rows] for rows in sorted(pairs))


def _alike(fingerprints: Fingerprints, groups: Sequence[str]) -> Iterator[DuplicatePair]:
    """Pairs of different groups whose thumbnails and textures both correlate enough."""
    _, group = np.unique(np.array(groups, dtype=object), return_inverse=True)
    filled = np.where(fingerprints == 0, np.uint16(_SURROUND), fingerprints)
    step = SIDE // _THUMBNAIL
    blocks = filled.reshape(-1, _THUMBNAIL, step, _THUMBNAIL, step).sum((2, 4), dtype=np.int32)
    thumbnails = blocks.reshape(len(fingerprints), _THUMBNAIL * _THUMBNAIL)
    textures = _textures(fingerprints)
    for a, b in _candidates(thumbnails, group):
        yield from _confirmed(thumbnails, textures, a, b)
    for view, a, b in _turned_candidates(filled, fingerprints > 0, group):
        # The first cells, and behind them the second ones as they are seen turned.
        pair = np.concatenate([blocks[a], turned(blocks[b], view)]).reshape(2 * len(a), -1)
        fine = np.concatenate([textures[a], turned(textures[b], view)])
        rows = np.arange(len(a))
        for found in _confirmed(pair, fine, rows, rows + len(a)):
            yield replace(found, a=int(a[found.a]), b=int(b[found.a]))


def _confirmed(
    thumbnails: npt.NDArray[np.int32],
    textures: npt.NDArray[np.int16],
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
) -> Iterator[DuplicatePair]:
    thumbnail, texture = _compare(thumbnails, textures, a, b)
    for k in np.flatnonzero((thumbnail >= LEAST_THUMBNAIL) & (texture >= LEAST_TEXTURE)):
        yield DuplicatePair(int(a[k]), int(b[k]), float(thumbnail[k]), float(texture[k]))


def turned(squares: npt.NDArray[Any], view: int) -> npt.NDArray[Any]:
    """One of the eight symmetries of (n, h, h): `view` % 4 quarter turns, mirrored before from 4 on."""
    squares = squares[..., ::-1] if view >= 4 else squares
    return np.ascontiguousarray(np.rot90(squares, view % 4, (1, 2)))


def _turned_candidates(
    filled: Fingerprints, inside: npt.NDArray[np.bool_], group: npt.NDArray[np.int64]
) -> Iterator[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """View, and rows a < b of different groups of which the second may be the first in that view. filled: fingerprints
    with their surround. inside: bool (n, 48, 48), the cells."""
    own = _own_marks(filled, inside)
    flat = own.reshape(len(own), _MARKS * _MARKS).astype(np.float64)
    length = np.sqrt((flat * flat).sum(1))
    unit = (flat / np.maximum(length, 1)[:, None]).astype(np.float32)
    for view in range(1, 8):
        other = turned(own, view).reshape(unit.shape)
        other_unit = turned(unit.reshape(own.shape), view).reshape(unit.shape)
        for start in range(0, len(unit), _BLOCK):
            close = unit[start : start + _BLOCK] @ other_unit[start:].T > _LEAST_OWN - _MARGIN
            a, b = (rows + start for rows in np.nonzero(close))
            keep = (a < b) & (group[a] != group[b])
            a, b = a[keep], b[keep]
            exact = np.einsum("ij,ij->i", own.reshape(unit.shape)[a], other[b], dtype=np.int64)
            keep = exact >= _LEAST_OWN * length[a] * length[b]
            if keep.any():
                yield view, a[keep], b[keep]


def _own_marks(filled: Fingerprints, inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """int64 (n, 16, 16): what a cell has that its neighbourhood and its turned and mirrored views have not."""
    step, reach = SIDE // _MARKS, 2
    blocks = filled.reshape(-1, _MARKS, step, _MARKS, step).sum((2, 4), dtype=np.int64)
    near = _sum_around(np.pad(blocks, ((0, 0), (reach, reach), (reach, reach)), mode="edge"), 2 * reach + 1)
    whole = inside.reshape(-1, _MARKS, step, _MARKS, step).all((2, 4))
    deep = _sum_around(np.pad(whole, ((0, 0), (1, 1), (1, 1))).astype(np.int64), 3) == 9
    marks = ((2 * reach + 1) ** 2 * blocks - near) * deep
    return 8 * marks - sum(turned(marks, view) for view in range(8))


def _sum_around(padded: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.int64]:
    """int64 (n, 16, 16): sums of squares of so many px."""
    places = range(width)
    return np.sum([padded[:, y : y + _MARKS, x : x + _MARKS] for y in places for x in places], axis=0)


def _candidates(
    thumbnails: npt.NDArray[np.int32], group: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Rows a < b of different groups whose thumbnails, int32 (n, 24 * 24), may correlate enough."""
    unit = thumbnails - thumbnails.mean(1, keepdims=True)
    unit = (unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1)).astype(np.float32)
    for start in range(0, len(unit), _BLOCK):
        close = unit[start : start + _BLOCK] @ unit[start:].T > LEAST_THUMBNAIL - _MARGIN
        a, b = (rows + start for rows in np.nonzero(close))
        keep = (a < b) & (group[a] != group[b])
        yield a[keep], b[keep]


@compiled()
def _textures(fingerprints):  # type: ignore[no-untyped-def]
    """int16 (n, 48, 48): nine times the pixel less the sum of its 3x3 neighbourhood; _OUTSIDE near the mask's edge."""
    n, h, w = fingerprints.shape
    out = np.full((n, h, w), _OUTSIDE, np.int16)
    for i in range(n):
        for y in range(2, h - 2):
            for x in range(2, w - 2):
                if np.all(fingerprints[i, y - 2 : y + 3, x - 2 : x + 3] > 0):
                    near = np.int64(0)
                    for dy in range(-1, 2):
                        for dx in range(-1, 2):
                            near += fingerprints[i, y + dy, x + dx]
                    value = 9 * np.int64(fingerprints[i, y, x]) - near
                    out[i, y, x] = min(max(value, -32767), 32767)
    return out


@compiled()
def _correlation(n, a, b, aa, bb, ab):  # type: ignore[no-untyped-def]
    """From exact sums; every step below 2**53, so the quotient is the same on any machine."""
    va, vb = n * aa - a * a, n * bb - b * b
    if va <= 0 or vb <= 0:
        return 0.0
    return (n * ab - a * b) / np.sqrt(np.float64(va) * np.float64(vb))


@compiled()
def _shifted(first, second, dy, dx):  # type: ignore[no-untyped-def]
    """Correlation of two textures where both are inside, the second moved by (dy, dx)."""
    h, w = first.shape
    n, a, b, aa, bb, ab = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for y in range(max(dy, 0), h + min(dy, 0)):
        for x in range(max(dx, 0), w + min(dx, 0)):
            p, q = np.int64(first[y, x]), np.int64(second[y - dy, x - dx])
            if p != _OUTSIDE and q != _OUTSIDE:
                n += 1
                a += p
                b += q
                aa += p * p
                bb += q * q
                ab += p * q
    return _correlation(n, a, b, aa, bb, ab) if n >= _LEAST_COMMON else 0.0


@compiled()
def _compare(thumbnails, textures, rows_a, rows_b):  # type: ignore[no-untyped-def]
    """Correlation of thumbnails, and of textures at the best shift, float64 (k,) each; 0 where no shift was tried."""
    thumbnail, texture = np.zeros(len(rows_a)), np.zeros(len(rows_a))
    for k in range(len(rows_a)):
        first, second = textures[rows_a[k]], textures[rows_b[k]]
        if _shifted(first, second, 0, 0) < _ROUGH_TEXTURE:
            continue
        p, q = thumbnails[rows_a[k]].astype(np.int64), thumbnails[rows_b[k]].astype(np.int64)
        n = np.int64(p.size)
        thumbnail[k] = _correlation(n, p.sum(), q.sum(), (p * p).sum(), (q * q).sum(), (p * q).sum())
        for dy in range(-_MOST_SHIFT, _MOST_SHIFT + 1):
            for dx in range(-_MOST_SHIFT, _MOST_SHIFT + 1):
                texture[k] = max(texture[k], _shifted(first, second, dy, dx))
    return thumbnail, texture
