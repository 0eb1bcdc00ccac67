"""Labels re-derived from objects and bank without any code of the scene: whole-plane numpy, one cell at a time."""

from collections.abc import Iterator

import numpy as np

MARGIN = 128
"""Plane around the field, px, in which footprints are counted in full."""


def naive_warp(rgba: np.ndarray, pose: np.ndarray, ys: np.ndarray, xs: np.ndarray) -> np.ndarray:
    """The cell warped onto the field pixels (ys, xs), i8 (..., 4), by the conventions that `scene.warp` states."""
    _, _, cx, cy, angle, flip, scale = (int(v) for v in pose[:7])
    h, w = rgba.shape[:2]
    cos = int(np.rint(65536 * np.cos(angle * np.pi / 32768)))
    sin = int(np.rint(65536 * np.sin(angle * np.pi / 32768)))
    a, b = (cos * 65536 + scale // 2) // scale, (sin * 65536 + scale // 2) // scale
    dx, dy = xs * 256 - cx, ys * 256 - cy
    u, v = a * dx + b * dy, -b * dx + a * dy
    u = (-u if flip else u) + ((w - 1) << 23)
    v = v + ((h - 1) << 23)
    padded = np.zeros((h + 2, w + 2, 4), np.int64)
    padded[1:-1, 1:-1] = rgba
    row, column = np.clip((v >> 24) + 1, 0, h), np.clip((u >> 24) + 1, 0, w)
    outside = (u < 1 << 24) | (v < 1 << 24) | (u >= (w - 2) << 24) | (v >= (h - 2) << 24)
    across, down = ((u >> 16) & 255)[..., None], ((v >> 16) & 255)[..., None]
    upper = (padded[row, column] * (256 - across) + padded[row, column + 1] * across + 128) // 256
    lower = (padded[row + 1, column] * (256 - across) + padded[row + 1, column + 1] * across + 128) // 256
    warped = (upper * (256 - down) + lower * down + 128) // 256
    warped[outside] = 0
    return warped


def naive_rgba(objects: np.ndarray, bank, size: tuple[int, int]) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """For each object a window of the plane, which reaches MARGIN around the field, and its pixels there."""
    ends = np.array([size[1], size[0]]) + MARGIN
    for o in objects:
        h, w = bank.rgba(int(o[1])).shape[:2]
        reach = int(np.hypot(h, w) * o[6] / 131072) + 2
        x0, y0 = np.clip(o[2:4] // 256 - reach, -MARGIN, ends)
        x1, y1 = np.clip(o[2:4] // 256 + reach, -MARGIN, ends)
        ys, xs = np.mgrid[y0:y1, x0:x1]
        window = slice(y0 + MARGIN, y1 + MARGIN), slice(x0 + MARGIN, x1 + MARGIN)
        yield window, naive_warp(bank.rgba(int(o[1])), o, ys, xs)


def naive_footprints(objects: np.ndarray, bank, size: tuple[int, int]) -> np.ndarray:
    """bool (n, H + 2 MARGIN, W + 2 MARGIN): where each object is inside, also outside the field."""
    prints = np.zeros((len(objects), size[0] + 2 * MARGIN, size[1] + 2 * MARGIN), bool)
    for plane, (window, pixels) in zip(prints, naive_rgba(objects, bank, size), strict=True):
        plane[window] = pixels[..., 3] >= 128
    return prints


def naive_maps(objects: np.ndarray, prints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """label, instance of the field: later rows over earlier ones."""
    inner = prints[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    label, instance = np.zeros(inner.shape[1:], np.uint8), np.zeros(inner.shape[1:], np.uint16)
    for row, inside in enumerate(inner):
        label[inside], instance[inside] = objects[row, 0], row + 1
    return label, instance
