"""The drawn sources keep what their databases promise, judged by thresholds that know nothing of how they are drawn."""

import csv
import re
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from smearsynth.base.errors import UserError
from smearsynth.drawing.databases import SOURCES, phantoms
from smearsynth.sources.listing import is_drawn
from smearsynth.taxonomy import BY_KEY

REPOSITORY = Path(__file__).parent.parent / "sample_sources"
RED = (255, 0, 0)
IUMC_CLASSES = {
    "Eosinophil": "eosinophil",
    "Lymphocytes": "lymphocyte",
    "Monocytes": "monocyte",
    "Neutrophil": "neutrophil",
}


@pytest.fixture(scope="module")
def drawn():
    """What the repository holds, which is what seed 0 draws: drawing it takes half a minute, and one test does."""
    return REPOSITORY


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int16)


def files_of(folder):
    return {p.relative_to(folder).as_posix() for name in SOURCES for p in (folder / name).rglob("*") if p.is_file()}


def denser_than(picture, limit):
    """Pixels whose density, smoothed over noise, exceeds the limit; the glass is taken to be the brightest tenth."""
    glass = np.percentile(picture.reshape(-1, 3), 90, axis=0)
    density = np.log(glass / np.maximum(picture, 1)).mean(axis=2)
    return ndimage.gaussian_filter(density, 1.0) > limit


def meeting(foreground, mask):
    """The components of the foreground that meet the mask."""
    labels, _ = ndimage.label(foreground)
    return np.isin(labels, np.unique(labels[mask & foreground])) & foreground


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def outlined(picture):
    return (picture == RED).all(axis=2)


@pytest.mark.slow
def test_the_repository_holds_what_seed_0_draws(tmp_path):
    drawn = tmp_path / "drawn"
    assert phantoms(drawn) == {"lisc": 50, "iumc": 42, "mamic": 71, "kaggle": 100}
    paths = files_of(drawn)
    assert files_of(REPOSITORY) == paths
    for path in sorted(paths):
        ours, theirs = REPOSITORY / path, drawn / path
        if path.endswith("DRAWN.txt"):
            # The last line is a fingerprint of the files as they lie there.
            assert ours.read_text().splitlines()[:-1] == theirs.read_text().splitlines()[:-1]
            assert is_drawn(ours.parent)
            assert is_drawn(theirs.parent)
        elif path.endswith(".csv"):
            assert ours.read_text() == theirs.read_text()
        else:
            # One level for the last bit of an exponential on another CPU.
            assert np.abs(pixels(ours) - pixels(theirs)).max() <= 1, path


def test_the_samples_stay_small():
    assert sum(p.stat().st_size for p in REPOSITORY.rglob("*") if p.is_file()) <= 6_000_000


@pytest.mark.parametrize(
    "name",
    [pytest.param("lisc", marks=pytest.mark.slow), pytest.param("iumc", marks=pytest.mark.slow), "mamic", "kaggle"],
)
def test_a_seed_decides_every_pixel(name):
    first, again, other = (list(islice(SOURCES[name](seed), 4)) for seed in (3, 3, 4))
    for (path, picture), (path_again, picture_again) in zip(first, again, strict=True):
        assert path == path_again
        np.testing.assert_array_equal(picture, picture_again)
    for (_, picture), (_, other_picture) in zip(first, other, strict=True):
        assert not np.array_equal(picture, other_picture)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mamic").mkdir()
    with pytest.raises(UserError, match=r"mamic: already there"):
        phantoms(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mamic"]


def lisc_pairs(folder):
    root = folder / "lisc" / "LISC Database"
    for path in sorted((root / "Ground Truth Segmentation").rglob("*.bmp")):
        number = path.name.removesuffix("_expert.bmp")
        yield pixels(root / "Main Dataset" / path.parent.parent.name / f"{number}.bmp"), pixels(path)


def test_lisc_masks_fit_their_fields_at_4_px_and_at_no_other_offset(drawn):
    judged = 0
    for picture, mask in lisc_pairs(drawn):
        assert mask.shape == (picture.shape[0] - 8, picture.shape[1] - 8)
        found = meeting(denser_than(picture, 0.08), np.pad(mask > 0, 4))
        if found.sum() > 1.2 * (mask > 0).sum():
            continue  # a red cell touches, so density alone does not show where the white cell ends
        judged += 1
        shifted = {(y, x): np.pad(mask > 0, ((y, 8 - y), (x, 8 - x))) for y in range(9) for x in range(9)}
        best = max(shifted, key=lambda offset: overlap(found, shifted[offset]))
        assert overlap(found, shifted[best]) > 0.9
        assert np.abs(np.subtract(best, (4, 4))).max() <= 1
    assert judged >= 20


def test_lisc_masks_are_coded_by_class_with_a_brighter_nucleus(drawn):
    for picture, mask in lisc_pairs(drawn):
        greys = sorted(set(np.unique(mask)) - {0})
        assert greys in ([50], [75, 100], [125, 150], [175, 200], [225, 255])
        if len(greys) == 2:
            inner = picture[4:-4, 4:-4]
            assert inner[mask == greys[1]].mean() < inner[mask == greys[0]].mean() - 20


def test_some_lisc_fields_have_no_mask_and_one_has_two_cells(drawn):
    fields = list((drawn / "lisc/LISC Database/Main Dataset").rglob("*.bmp"))
    cells = [ndimage.label(mask)[1] for _, mask in lisc_pairs(drawn)]
    assert len(fields) == len(cells) + 2
    assert sorted(cells) == [1] * (len(cells) - 1) + [2]


def test_iumc_outlines_are_closed_and_hold_the_whole_cell(drawn):
    for path in (drawn / "iumc").glob("*.bmp"):
        picture = pixels(path)
        red = outlined(picture)
        filled = ndimage.binary_fill_holes(red)
        assert ndimage.label(filled)[1] == 1
        assert filled.sum() > 10 * red.sum()
        rows, columns = np.nonzero(filled)
        assert (rows.min(), columns.min()) == (0, 0)
        assert (rows.max(), columns.max()) == (picture.shape[0] - 2, picture.shape[1] - 2)
        glass = np.percentile(picture[~filled], 90, axis=0)
        just_outside = ndimage.binary_dilation(filled, iterations=4) & ~ndimage.binary_dilation(filled, iterations=2)
        just_inside = ndimage.binary_erosion(filled, iterations=3) & ~ndimage.binary_erosion(filled, iterations=5)
        assert np.median(picture[just_outside].mean(axis=1)) > 0.96 * glass.mean()
        assert np.median(picture[just_inside].mean(axis=1)) < 0.92 * glass.mean()


def test_two_iumc_neutrophils_are_painted_over(drawn):
    painted = {path.name for path in (drawn / "iumc").glob("*.bmp") if (pixels(path) == 0).all(axis=2).mean() > 0.1}
    assert painted == {"Neutrophil_11.bmp", "Neutrophil_12.bmp"}


def test_white_cells_have_the_sizes_of_the_taxonomy(drawn):
    """Relative to each other: a source is brought to scale by one factor."""
    areas = defaultdict(list)
    for path in (drawn / "iumc").glob("*.bmp"):
        filled = ndimage.binary_fill_holes(outlined(pixels(path)))
        areas[IUMC_CLASSES[path.name.split("_")[0]]].append(filled.sum())
    ratios = np.array([np.median(of_class) / BY_KEY[key].area for key, of_class in areas.items()])
    assert len(ratios) == 4
    assert ratios.max() / ratios.min() < 1.25


def test_mamic_boxes_hold_one_cell_each(drawn):
    with (drawn / "mamic" / "boxes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {"thrombocyte", "platelet_clump", "infected_rbc", "healthy_rbc"}
    for row in rows:
        foreground = denser_than(pixels(drawn / "mamic" / row["file"]), 0.12)
        x, y, width, height = (int(row[key]) for key in ("x", "y", "width", "height"))
        box, middle = np.zeros_like(foreground), np.zeros_like(foreground)
        box[y : y + height, x : x + width] = True
        middle[y + height // 3 : y + height - height // 3, x + width // 3 : x + width - width // 3] = True
        cell = meeting(ndimage.binary_fill_holes(foreground), middle)
        assert (cell & ~box).sum() < 0.06 * cell.sum(), row
        for side in (cell[y + 2], cell[y + height - 3], cell[:, x + 2], cell[:, x + width - 3]):
            assert side.any(), row


@pytest.mark.parametrize(
    ("folder", "least"), [("thrombocytes", 20), ("platelet_clumps", 10), ("infected_rbc", 10), ("healthy_rbc", 10)]
)
def test_mamic_crops_show_one_cell_with_glass_all_around(drawn, folder, least):
    paths = list((drawn / "mamic" / folder).iterdir())
    assert len(paths) >= least
    for path in paths:
        foreground = denser_than(pixels(path), 0.1)
        frame = np.ones_like(foreground)
        frame[2:-2, 2:-2] = False
        assert not foreground[frame].any()
        labels, _ = ndimage.label(foreground)
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.max() > 0.9 * sizes.sum()


def test_kaggle_cells_fill_their_crops_and_lie_on_pure_black(drawn):
    for path in (drawn / "kaggle").rglob("*.png"):
        picture = pixels(path)
        black = (picture == 0).all(axis=2)
        cell = ~black
        assert (picture[cell].min(axis=1) > 40).all() or "Parasitized" in path.parts
        assert ndimage.label(cell)[1] == 1
        assert np.array_equal(ndimage.binary_fill_holes(cell), cell)
        assert all(cell[side].any() for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))
        assert black[[0, 0, -1, -1], [0, -1, 0, -1]].all()


def test_kaggle_patients_have_both_classes(drawn):
    classes = defaultdict(set)
    for path in (drawn / "kaggle").rglob("*.png"):
        name = re.fullmatch(r"(C\d+)P\d+ThinF_IMG_\d{8}_\d{6}_cell_\d+\.png", path.name)
        classes[name[1]].add(path.parent.name)
    assert len(classes) >= 12
    assert all(both == {"Parasitized", "Uninfected"} for both in classes.values())


def test_infected_cells_hold_what_healthy_ones_do_not(drawn):
    """A parasite is far denser in green than the red cell around it; the pallor of a healthy one is less dense."""
    for folder, infected in (("Parasitized", True), ("Uninfected", False)):
        for path in (drawn / "kaggle/cell_images" / folder).iterdir():
            green = pixels(path)[..., 1]
            assert (np.percentile(green[green > 0], 0.5) < 0.7 * np.median(green[green > 0])) == infected, path.name
