import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_scene import naive_footprints, naive_maps
from synthetic_bank import synthetic_bank

from smearsynth.recipe.scene_options import SceneSpec
from smearsynth.scene.footprints import Footprints, draw, empty_footprints
from smearsynth.scene.label_maps import derive, label_maps
from smearsynth.scene.planner import Planner
from smearsynth.scene.warp import Pose, cell_pixels

BANK = synthetic_bank()
ONE = 65536


def planner(size=(224, 224), seed=0, bank=BANK, mix=None, **spec):
    return Planner(SceneSpec(**spec), (), size, seed, bank, mix)


def check(scene, bank, size):
    prints = naive_footprints(scene.objects, bank, size)
    label, instance = naive_maps(scene.objects, prints)
    assert (scene.label == label).all()
    assert (scene.instance == instance).all()
    for row, o in enumerate(scene.objects):
        ys, xs = np.nonzero(instance == row + 1)
        box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        assert o[7:].tolist() == [row, *box, len(xs), prints[row].sum()]


@pytest.mark.parametrize(
    ("size", "spec", "indices"),
    [
        ((224, 224), {}, range(0, 108, 9)),
        ((300, 500), {}, range(2)),
        ((64, 64), {}, range(0, 108, 12)),
        ((150, 224), {"overlap": 0.5, "density_range": (0.8, 0.8), "min_visible": 0.4}, range(4)),
        ((224, 224), {"rotate": False, "flip": False, "border": False, "scale_range": (1, 1)}, range(4)),
    ],
)
def test_labels_equal_the_naive_derivation(size, spec, indices):
    plan = planner(size, **spec).plan
    for i in indices:
        check(plan("train", i), BANK, size)


@pytest.mark.slow
def test_objects_agree_with_the_maps_in_a_thousand_samples():
    small = synthetic_bank(per_class=2, shrink=0.5)
    plan = planner((96, 128), bank=small).plan
    for i in range(1000):
        scene = plan("val", i)
        n = len(scene.objects)
        counts = np.bincount(scene.instance.ravel(), minlength=n + 1)
        assert len(counts) == n + 1
        assert (counts[1:] == scene.objects[:, 12]).all()
        assert (scene.objects[:, 12] > 0).all()
        assert (scene.objects[:, 12] * ONE >= round(0.15 * ONE) * scene.objects[:, 13]).all()
        classes = np.concatenate([[0], scene.objects[:, 0]])
        assert (classes[scene.instance] == scene.label).all()


def test_derive_gives_the_plan_again():
    plan = planner((200, 260)).plan
    for i in range(12):
        scene = plan("test", i)
        made = derive(scene.objects, BANK, (200, 260))
        assert (made.label == scene.label).all()
        assert (made.instance == scene.instance).all()
        assert made.kept.tolist() == scene.objects[:, 7].tolist()
        assert (np.column_stack([made.visible, made.full]) == scene.objects[:, 8:]).all()


def test_an_empty_field_is_all_background():
    scene = planner(combinations=["none/healthy"], density_range=(0, 0)).plan("train", 5)
    assert scene.objects.shape == (0, 14)
    assert not scene.label.any()
    assert not scene.instance.any()
    assert scene.background == 0
    assert not derive(scene.objects, BANK, (224, 224)).label.any()


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    poses=st.lists(
        st.tuples(st.integers(0, len(BANK) - 1), st.integers(-2000, 18000), st.integers(-2000, 18000)),
        min_size=1,
        max_size=12,
    ),
    min_visible=st.sampled_from([0, 0.15, 0.5]),
)
def test_drop_rule_against_naive(poses, min_visible):
    """Lowest first, each judged by all that lie above it, dropped or not; then as if it had never been there."""
    size, cells = (64, 64), cell_pixels(BANK)
    objects = np.array([(BANK.class_id[c], c, x, y, 3000, 0, ONE) for c, x, y in poses], np.int64)
    prints = empty_footprints(len(objects), 500 * len(objects))
    for i, pose in enumerate(objects):
        draw(prints, i, 500 * i, cells, Pose(*pose[1:].tolist()))
    naive = naive_footprints(objects, BANK, size)
    field = naive[:, 128:-128, 128:-128]
    keep = []
    for i in range(len(objects)):
        visible = (field[i] & ~field[i + 1 :].any(axis=0)).sum()
        if visible > 0 and visible * ONE >= round(min_visible * ONE) * naive[i].sum():
            keep.append(i)
    made = label_maps(prints, objects[:, 0].copy(), size, round(min_visible * ONE))
    assert made.kept.tolist() == keep
    label, instance = naive_maps(objects[keep], naive[keep])
    assert (made.label == label).all()
    assert (made.instance == instance).all()
    assert made.visible[:, 4].tolist() == np.bincount(instance.ravel(), minlength=len(keep) + 1)[1:].tolist()


def test_more_cells_than_ids_raise():
    n = 65_535
    i = np.arange(n)
    box = np.stack([i % 300, i // 300, np.ones(n), np.ones(n), np.zeros(n)], axis=1).astype(np.int64)
    prints = Footprints(box, np.ones(n, np.int64), np.ones(1, np.uint64))
    with pytest.raises(ValueError, match="65534"):
        label_maps(prints, np.full(n, 9), (300, 300), 0)
    fewer = Footprints(box[1:].copy(), prints.full[1:].copy(), prints.rows)
    assert label_maps(fewer, np.full(n - 1, 9), (300, 300), 0).instance.max() == 65_534
