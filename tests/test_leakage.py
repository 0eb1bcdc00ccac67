from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_fidelity import discs, write_fields, write_smears
from two_laboratories import two_laboratories

from smearsynth.bank.bank_file import save_bank
from smearsynth.bank.make_bank import make_bank
from smearsynth.realism.comparison import as_text, fidelity
from smearsynth.realism.leakage import FEATURES, balanced_accuracy, leakage, leakage_text
from smearsynth.recipe.reading import load_recipe
from smearsynth.sources.listing import list_sources

NEUTROPHIL, HEALTHY = 3, 9
ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "sources"


def test_matched_cells_do_not_betray_their_laboratory():
    bank = two_laboratories({NEUTROPHIL: (40, 40), HEALTHY: (40, 40), 5: (30, 3)})
    leaks = leakage(bank)
    assert [leak.class_key for leak in leaks] == ["neutrophil", "healthy_rbc"]
    for leak in leaks:
        assert leak.sources == ("clear", "tinted")
        assert leak.cells == (40, 40)
        assert leak.chance == 0.5
        assert leak.own["colour"] > 0.95
        assert leak.matched["colour"] < (0.6 if leak.class_key == "neutrophil" else 0.75)
    assert "0.50" in leakage_text(leaks).splitlines()[1]


def test_groups_are_never_divided():
    """Features that tell the group alone, and nothing of the source, are of no use."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 6)
    source = (groups % 2).astype(np.int64)
    features = rng.normal(size=(40, 60))[groups] + 1e-3 * rng.normal(size=(240, 60))
    assert balanced_accuracy(features, source, groups) < 0.7
    assert balanced_accuracy(features, source, np.arange(240)) > 0.95


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_balanced_accuracy_does_not_reward_the_larger_source(shift):
    rng = np.random.default_rng(1)
    source = (np.arange(600) % 10 == 0).astype(np.int64)
    features = rng.normal(size=(600, 4)) + shift * source[:, None]
    assert balanced_accuracy(features, source, np.arange(600)) == pytest.approx(1.0 if shift else 0.5, abs=0.1)


def test_texture_knows_sharpness_and_not_the_strength_of_the_stain():
    rng = np.random.default_rng(2)
    density, mask = 1000 * rng.normal(size=(40, 40, 3)), np.ones((40, 40), bool)
    blurred = (density + np.roll(density, 1, 0) + np.roll(density, 1, 1) + np.roll(density, (1, 1), (0, 1))) / 4
    sharp, stronger, soft = (FEATURES["texture"](d, mask) for d in (density, 3 * density + 50, blurred))
    assert stronger == pytest.approx(sharp, rel=0.01)
    assert soft[:3].max() < 0.85 * sharp[:3].min()


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real source databases in {REAL}")
def test_real_cells_of_a_class_betray_their_source_by_less_than_ten_points(monkeypatch):
    """Of the larger sources every third, fourth or second image, evenly over their classes: enough groups of each."""
    monkeypatch.setenv("SMEARSYNTH_SOURCES", str(REAL))
    recipe, step = load_recipe(ROOT / "recipes" / "smear10-research.yaml"), {"kaggle": 3, "pbc": 4, "tecom": 2}
    some = {
        name: replace(all_, entries=all_.entries[:: step.get(name, 1)]) for name, all_ in list_sources(recipe).items()
    }
    leaks = leakage(make_bank(recipe, listings=some).bank)
    assert {leak.class_key for leak in leaks} == {"eosinophil", "neutrophil", "lymphocyte", "monocyte", "healthy_rbc"}
    for leak in leaks:
        assert leak.own["colour"] > 0.85
        assert leak.matched["colour"] < leak.chance + 0.1


@pytest.mark.slow
def test_fidelity_shows_it_where_the_set_has_its_bank(tmp_path: Path) -> None:
    smears, fields = write_smears(tmp_path / "set", [discs(0)]), write_fields(tmp_path / "real", [discs(1)])
    assert fidelity(smears, fields, um_per_px=0.2, progress=False).leakage == []
    save_bank(two_laboratories({NEUTROPHIL: (12, 12), HEALTHY: (12, 3)}), smears / "cells.h5")
    found = fidelity(smears, fields, um_per_px=0.2, out=tmp_path / "page.html", progress=False)
    assert [leak.class_key for leak in found.leakage] == ["neutrophil"]
    assert found.figures()["leakage"][0]["cells"] == (12, 12)
    assert as_text(found).splitlines()[-1].startswith("neutrophil")
    assert "neutrophil" in (tmp_path / "page.html").read_text(encoding="utf-8")
