"""Duplicates: found whatever margin, mask, size or compression; strangers never."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from smearsynth.bank.duplicates import (
    LEAST_TEXTURE,
    LEAST_THUMBNAIL,
    find_pairs,
    fingerprint,
    turned,
)

SOURCES = Path(__file__).parents[2] / "shared" / "sources"


Cell = tuple[np.ndarray, np.ndarray]
"""Image uint8 (h, w, 3) and mask, bool (h, w)."""


def drawn(seed: int, side: int = 90) -> Cell:
    """A round cell with a pale centre, as all red cells have, and grain of its own."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    radius = np.hypot(y, x * (1 + 0.02 * (seed % 3)))
    grain = cv2.GaussianBlur(random.normal(0, 40, (side, side)), (0, 0), 2)
    grey = np.where(radius < 38, 150 + 50 * np.exp(-((radius / 15) ** 2)) + grain, 240)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2), radius < 38


def pairs_of(cells: list[Cell], sha256: list[str] | None = None, groups: list[str] | None = None) -> list[tuple]:
    names = [str(i) for i in range(len(cells))]
    return [(p.a, p.b) for p in find_pairs(fingerprints(cells), sha256 or names, groups or names)]


def fingerprints(cells: list[Cell]) -> np.ndarray:
    return np.array([fingerprint(image, mask.astype(np.uint8) * 255) for image, mask in cells])


def resized(image: np.ndarray, mask: np.ndarray) -> Cell:
    size = (117, 117)
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), cv2.resize(mask.astype(np.uint8), size) > 0


AGAIN = {
    "cropped otherwise": lambda image, mask: (image[3:-1, 2:], mask[3:-1, 2:]),
    "mask grown by a pixel": lambda image, mask: (image, cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0),
    "mask short on one side": lambda image, mask: (image, mask & (np.arange(90) > 8)),
    "paler": lambda image, mask: ((image * 0.8 + 45).astype(np.uint8), mask),
    "as JPEG": lambda image, mask: (cv2.imdecode(cv2.imencode(".jpg", image, [1, 80])[1], 1), mask),
    "larger": resized,
    "other surroundings": lambda image, mask: (np.where(mask[..., None], image, np.uint8(90)), mask),
}


@pytest.mark.parametrize("how", AGAIN)
def test_a_cell_saved_again_is_found_among_strangers(how):
    cells = [drawn(seed) for seed in range(40)]
    cells += [AGAIN[how](*drawn(seed)) for seed in (3, 17)]
    assert pairs_of(cells) == [(3, 40), (17, 41)]


@pytest.mark.parametrize("view", range(1, 8))
@pytest.mark.parametrize("how", ["as it is", "cropped otherwise", "as JPEG"])
def test_a_cell_saved_again_turned_or_mirrored_is_found(view: int, how: str) -> None:
    image, mask = AGAIN.get(how, lambda *cell: cell)(*drawn(3))
    again = turned(np.moveaxis(image, -1, 0), view), turned(mask[None], view)
    cells = [*map(drawn, range(12)), (np.ascontiguousarray(np.moveaxis(again[0], 0, -1)), again[1][0])]
    assert pairs_of(cells) == [(3, 12)]


def test_strangers_correlate_over_098_on_thumbnails_and_are_still_told_apart():
    cells = [drawn(seed) for seed in range(40)]
    thumbnails = [cv2.resize(image[..., 0], (24, 24), interpolation=cv2.INTER_AREA).ravel() for image, _ in cells]
    correlation = np.corrcoef(thumbnails)
    assert np.median(correlation) > 0.98
    assert pairs_of(cells) == []


def test_equal_files_are_a_pair_whatever_they_look_like_and_one_group_makes_none():
    cells = [drawn(seed) for seed in range(4)]
    assert pairs_of(cells, sha256=["x", "y", "x", "x"]) == [(0, 2), (0, 3)]
    assert pairs_of([cells[0], cells[0], cells[1]], groups=["a", "a", "b"]) == []


def test_a_cell_of_one_flat_colour_is_like_none():
    flat = np.full((50, 50, 3), 120, np.uint8), np.ones((50, 50), bool)
    assert pairs_of([flat, flat]) == []


def test_figures_equal_a_naive_computation():
    cells = [drawn(5), AGAIN["as JPEG"](*drawn(5))]
    looks = fingerprints(cells)
    (pair,) = find_pairs(looks, ["0", "1"], ["0", "1"])
    grey = np.where(looks == 0, 240 * 64, looks).astype(float)
    thumbnails = grey.reshape(2, 24, 2, 24, 2).mean(axis=(2, 4)).reshape(2, -1)
    assert pair.thumbnail == pytest.approx(np.corrcoef(thumbnails)[0, 1], abs=1e-12)
    inside = [cv2.erode((f > 0).astype(np.uint8), np.ones((5, 5)), borderValue=0) > 0 for f in looks]
    fine = [f - cv2.blur(f.astype(float), (3, 3)) for f in looks]
    best = max(
        np.corrcoef(np.roll(fine[1], by, (0, 1))[both], fine[0][both])[0, 1]
        for by in itertools.product(range(-3, 4), repeat=2)
        for both in [inside[0] & np.roll(inside[1], by, (0, 1))]
    )
    assert pair.texture == pytest.approx(best, abs=1e-9)


@pytest.mark.slow
@pytest.mark.skipif(not (SOURCES / "tecom").is_dir(), reason="no ../shared/sources/tecom")
def test_all_real_duplicates_of_tecom_and_iumc_and_no_others():
    """Looked at one by one; of these only 112 = 139 is the same file, and 157 = 158 have unlike masks."""
    cells, names = [], []
    for path in sorted((SOURCES / "tecom").glob("*.bmp")):
        mask = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 0
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        cells.append((cv2.imread(str(path)), labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])))
        names.append(path.stem)
    for path in sorted((SOURCES / "iumc").glob("*.bmp")):
        image = cv2.imread(str(path))
        outline = (image == (0, 0, 255)).all(axis=2)
        contours, _ = cv2.findContours(outline.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        filled = cv2.drawContours(np.zeros(outline.shape, np.uint8), contours, -1, 1, -1) > 0
        cells.append((image, filled))
        names.append(path.stem)
    pairs = find_pairs(fingerprints(cells), names, names)
    assert {(names[p.a], names[p.b]) for p in pairs} == {
        *[("019", "075"), ("021", "082"), ("026", "089"), ("030", "086"), ("051", "073"), ("054", "091")],
        *[("056", "092"), ("060", "090"), ("070", "072"), ("071", "084"), ("112", "139"), ("157", "158")],
        *[("166", "171"), ("167", "169"), ("Monocytes_18", "Monocytes_29")],
    }
    assert all(p.thumbnail >= LEAST_THUMBNAIL and p.texture >= LEAST_TEXTURE + 0.05 for p in pairs)
