"""What is no cell: counts, sizes and places, and that it changes nothing else."""

import numpy as np
import pytest
from synthetic_bank import synthetic_bank

from smearsynth.base.streams import stream
from smearsynth.recipe.scene_options import DistractorsSpec, SceneSpec
from smearsynth.scene.distractors import DEBRIS, PRECIPITATE, SCALE_BAR, distractor_ranges, draw_distractors
from smearsynth.scene.planner import Planner

BANK = synthetic_bank(per_class=2)
NONE = {"precipitate": 0, "debris_range": (0, 0), "scale_bar": 0}


def drawn(size=(224, 224), smears=400, **spec):
    """The distractors of some smears, i4 (m, 7), and the smear of each."""
    ranges = distractor_ranges(DistractorsSpec(**spec), size)
    rows = [draw_distractors(stream("test", i), ranges) for i in range(smears)]
    return np.concatenate(rows), np.repeat(np.arange(smears), [len(r) for r in rows])


def test_switching_them_off_changes_nothing_else():
    with_all = Planner(SceneSpec(), (), (224, 224), 0, BANK)
    without = Planner(SceneSpec(distractors=DistractorsSpec(**NONE)), (), (224, 224), 0, BANK)
    some = 0
    for i in range(12):
        one, other = with_all.plan("train", i), without.plan("train", i)
        assert (one.objects == other.objects).all()
        assert (one.label == other.label).all()
        assert other.distractors.shape == (0, 7)
        some += len(one.distractors)
    assert some > 0


@pytest.mark.parametrize(
    ("kind", "off"), [(0, {"precipitate": 0}), (1, {"debris_range": (0, 0)}), (2, {"scale_bar": 0})]
)
def test_each_kind_has_a_switch_and_a_stream_of_its_own(kind, off):
    spec = {"precipitate": 0.5, "scale_bar": 0.5}
    rows, _ = drawn(**spec)
    fewer, _ = drawn(**{**spec, **off})
    assert set(rows[:, 0]) == {PRECIPITATE, DEBRIS, SCALE_BAR}
    assert (fewer == rows[rows[:, 0] != kind]).all()


def test_values_lie_in_their_ranges():
    rows, _ = drawn(granule_size_range=(2, 3), debris_size_range=(10, 11), granule_density_range=(1, 2), scale_bar=0.5)
    assert rows.dtype == np.int32
    granules, debris, bars = (rows[rows[:, 0] == kind] for kind in (PRECIPITATE, DEBRIS, SCALE_BAR))
    for values, low, high in [
        (granules[:, 3], 2 * 256, 3 * 256),
        (debris[:, 3], 10 * 256, 11 * 256),
        (granules[:, 5], 1024, 2048),
        (rows[:, 4], 0, 65535),
        (rows[:, 6], 0, 2**31 - 1),
        (debris[:, 1:3], 0, 224 * 256 - 1),
    ]:
        assert low <= values.min() < values.max() <= high
        assert values.max() - values.min() > 0.9 * (high - low), "the whole range is used"
    assert len(set(rows[:, 6])) > 0.99 * len(rows)
    assert not bars[:, 4].any()


def test_counts_follow_the_recipe_and_the_size():
    typical, smear = drawn(smears=4000)
    assert len(set(smear[typical[:, 0] == PRECIPITATE])) / 4000 == pytest.approx(0.12, abs=0.02)
    assert (typical[:, 0] == SCALE_BAR).mean() * len(typical) / 4000 == pytest.approx(0.03, abs=0.01)
    assert np.bincount(smear[typical[:, 0] == DEBRIS], minlength=4000).mean() == pytest.approx(1, abs=0.05)
    large, smear = drawn((448, 448), smears=1000, scale_bar=1)
    assert np.bincount(smear[large[:, 0] == DEBRIS], minlength=1000).mean() == pytest.approx(4, abs=0.2)
    assert np.bincount(smear[large[:, 0] == SCALE_BAR]).tolist() == [1] * 1000


def test_precipitate_lies_in_clusters():
    rows, smear = drawn(precipitate=1, precipitate_clusters_range=(1, 1), debris_range=(0, 0), scale_bar=0)
    spread = [np.hypot(*rows[smear == i, 1:3].std(axis=0)) / 256 for i in range(400) if (smear == i).sum() > 5]
    assert np.median(spread) < 15
    assert max(spread) < 32


@pytest.mark.parametrize("size", [(224, 224), (40, 300), (24, 24), (8, 8)])
def test_a_scale_bar_lies_whole_near_a_corner_or_not_at_all(size):
    rows, _ = drawn(size, precipitate=0, debris_range=(0, 0), scale_bar=1)
    x, y, half = rows[:, 1] / 256, rows[:, 2] / 256, rows[:, 3] / 512
    assert (np.minimum(x, size[1] - x) - half >= 4.9).all()
    border = np.minimum(y, size[0] - y)
    assert ((border >= 5) & (border <= 16)).all()
    if size == (224, 224):
        assert len(rows) == 400
        assert len({(a < 112, b < 112) for a, b in zip(x, y, strict=True)}) == 4
    if size == (8, 8):
        assert not len(rows)
