"""Masking and the quality gate on real cells; skipped where the databases are not beside the repository."""

import warnings
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from smearsynth.bank.cutting import CutCell, ImageJob, cut_image
from smearsynth.bank.quality_gate import judge_size
from smearsynth.recipe.reading import load_recipe
from smearsynth.sources.listing import list_entries, list_sources, read_lock
from smearsynth.taxonomy import HEALTHY_RBC

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "sources"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real source databases in {REAL}")


@pytest.fixture(scope="module")
def cut_real():
    """Cuts every n-th image of a source, and those named: path -> cells; a warning is a failure.

    Of PBC the images that the open recipe's lock names, however many more the copy here has.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMEARSYNTH_SOURCES", str(REAL))
        recipe = load_recipe(ROOT / "recipes" / "smear10-research.yaml")
    listings = list_sources(recipe)
    locked = read_lock(ROOT / "recipes" / "smear10-open.lock")["pbc"]
    roots = {spec.name: spec.root for spec in recipe.sources}

    def cut(source: str, step: int = 1, also: str = "-") -> dict[str, tuple[CutCell, ...]]:
        facts, entries = listings[source].facts, listings[source].entries
        if source == "pbc":
            entries = [entry for entry in entries if entry.path in locked]
        chosen = [e for number, e in enumerate(entries) if number % step == 0 or also in e.path]
        common = {"root": roots[source], "source": source, "glass": facts.glass, "gate": recipe.cells.gate}
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            return {entry.path: cut_image(ImageJob(entries=(entry,), **common)).cells for entry in chosen}

    return cut


def kept(candidates: list[CutCell]) -> float:
    return float(np.mean([c.reject == "" for c in candidates]))


@pytest.mark.slow
def test_painted_neutrophils_are_refused_and_good_iumc_cells_kept(cut_real):
    painted = set()
    for path in (REAL / "iumc").glob("*.bmp"):
        image = np.array(Image.open(path).convert("RGB"))
        if (image == 0).all(2).mean() > 0.05:
            painted.add(path.name)
    assert len(painted) == 11
    cells = {path: only for path, (only,) in cut_real("iumc", 3, also="Neutrophil").items()}
    assert {path for path, c in cells.items() if c.reject == "painted"} == painted
    good = [c for path, c in cells.items() if path not in painted]
    assert kept(good) >= 0.9
    for c in good:
        red = c.image[c.mask > 0]
        assert not ((red[:, 0] > 200) & (red[:, 1:] < 60).all(1)).any()


@pytest.mark.slow
def test_tecom_masks_agree_with_the_experts(cut_real):
    cells, overlaps = cut_real("tecom"), []
    for path, (first, *_) in cells.items():
        image = np.array(Image.open(REAL / "tecom" / path).convert("RGB"))
        expert = np.array(Image.open((REAL / "tecom" / path).with_suffix(".png")).convert("L")) > 0
        _, labels, stats, _ = cv2.connectedComponentsWithStats(expert.astype(np.uint8))
        expert = labels == 1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])
        difference = cv2.matchTemplate(image, first.image, cv2.TM_SQDIFF)
        y, x = np.unravel_index(np.argmin(difference), difference.shape)
        ours = np.zeros(expert.shape, bool)
        ours[y : y + first.mask.shape[0], x : x + first.mask.shape[1]] = first.mask >= 128
        overlaps.append((ours & expert).sum() / (ours | expert).sum())
    assert np.median(overlaps) > 0.93
    assert kept([first for first, *_ in cells.values()]) >= 0.9


@pytest.mark.slow
def test_kaggle_cells_hold_no_black(cut_real):
    cells = [only for (only,) in cut_real("kaggle", 20).values()]
    assert kept(cells) > 0.6
    for c in cells:
        assert c.image[c.mask > 0].max(1).min() > 60


@pytest.mark.slow
def test_fields_give_their_named_cell_and_whole_red_cells(cut_real):
    images = cut_real("pbc", 40)
    # 78 % of all 1,070; these are one in forty of them.
    assert kept([named for named, *_ in images.values()]) > 0.6
    red = [c for _, *around in images.values() for c in around]
    assert {c.class_id for c in red} == {HEALTHY_RBC}
    good = [c for c in red if not c.reject]
    assert len(good) > len(images)
    for c in good:
        light = c.image[c.mask >= 128] / np.array(c.glass)
        red_density, green, blue = -np.log(np.median(light, axis=0))
        assert green < 0.5, "no nucleus"
        assert green < 2 * max(blue, red_density), "no dye"
        assert c.measures.straight == 0


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "chula").is_dir(), reason=f"no fields of Chula in {REAL}")
def test_most_cells_of_every_form_are_cut_whole_from_fields():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMEARSYNTH_SOURCES", str(REAL))
        recipe = load_recipe(ROOT / "recipes" / "smear10-open.yaml")
    spec = next(spec for spec in recipe.sources if spec.name == "chula")
    listing = list_entries(spec)
    assert sum(entry.class_key is not None for entry in listing.entries) == 7304
    assert listing.left_out == {"point of class 'uncategorised', not used": 7}
    verdicts = defaultdict(list)
    paths = sorted({entry.path for entry in listing.entries})[::12]
    for path in paths:
        entries = tuple(entry for entry in listing.entries if entry.path == path)
        job = ImageJob(root=spec.root, source="chula", entries=entries, glass=None, gate=recipe.cells.gate)
        for cell in cut_image(job).cells:
            verdicts[cell.name].append(not (cell.reject or judge_size(cell.measures, 9, job.gate, 0.19, cell.name)))
    assert np.mean([good for goods in verdicts.values() for good in goods]) > 0.55
    for name in ("normal", "burr", "spherocyte", "ovalocyte"):
        assert np.mean(verdicts[name]) > 0.5, name
