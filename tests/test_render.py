import hashlib
from dataclasses import replace

import numpy as np
import pytest
from naive_scene import MARGIN, naive_rgba
from synthetic_bank import synthetic_bank

from smearsynth.base.fixed_point import HALVING
from smearsynth.recipe.look_options import LookSpec
from smearsynth.recipe.scene_options import SceneSpec
from smearsynth.rendering.layers import OPAQUE
from smearsynth.rendering.looks import render
from smearsynth.rendering.optical_density import DARKEST, DENSITY, TRANSMITTANCE, density
from smearsynth.rendering.stain_matching import matched_cells, smear_curves
from smearsynth.scene.planner import Planner

BANK = synthetic_bank()
ONE = 65536
PLAIN = {
    "base": "natural",
    "illumination_range": [0, 0],
    "field_stop_chance": 0,
    "point_spread_range": [0, 0],
    "red_spread_range": [0, 0],
    "blue_spread_range": [0, 0],
    "colour_shift_range": [0, 0],
    "noise_range": [0, 0],
    "gamma_range": [1, 1],
}
"""Even light, a perfect lens and a perfect camera."""
STILL = {
    **PLAIN,
    "glass_range": [240, 240],
    "glass_warmth_range": [0, 0],
    "glass_tint_range": [0, 0],
    "stain_strength_range": [1, 1],
    "stain_warmth_range": [0, 0],
    "red_cell_own_share": 0,
    "cell_density_spread_range": [0, 0],
}
"""A look without variation; its red cells' colour is still drawn."""
CLEAN = {"precipitate": 0, "debris_range": [0, 0], "scale_bar": 0}


def planned(looks, index=0, size=(224, 224), distractors=CLEAN, **spec):
    models = [LookSpec.model_validate(k) for k in looks]
    return Planner(SceneSpec(distractors=distractors, **spec), models, size, 0, BANK).plan("train", index)


def naive_natural(scene):
    """Stain, glass and light in floating point, straight from their description, for perfect optics."""
    size, values = scene.label.shape, scene.lights[0].values
    matched, red_centre = matched_cells(BANK, *values["own_shares"])
    colour = np.array([density(c) for c in values["red_cell_colour"]])
    curves = smear_curves(red_centre, colour, np.array(values["stain"])) / HALVING
    cells = replace(BANK, pixels=matched.pixels.view(np.uint8).reshape(-1, 4))
    total = np.zeros((size[0] + 2 * MARGIN, size[1] + 2 * MARGIN, 3))
    placed = zip(scene.objects, values["cell_density"], naive_rgba(scene.objects, cells, size), strict=True)
    for o, factor, (window, pixels) in placed:
        red = int(o[0] >= 8)
        od = np.stack([curves[red, c][pixels[..., c]] for c in range(3)], axis=-1) * factor / ONE
        share = pixels[..., 3:] / 255
        fade = 0 if red else np.minimum(od[..., 1:2] * HALVING / OPAQUE, 1)
        total[window] = total[window] * (1 - share * fade) + od * share
    y, x = np.mgrid[: size[0], : size[1]]
    axis_x, axis_y = (np.array(values["light_centre"]) / ONE * size[::-1]).astype(int)
    squared = (x - axis_x) ** 2 + (y - axis_y) ** 2
    light = 1 - values["illumination"][0] / ONE * squared / squared[[0, 0, -1, -1], [0, -1, 0, -1]].max()
    ground = np.array(values["glass"]) / 256 * light[..., None]
    return ground * 2 ** -total[MARGIN:-MARGIN, MARGIN:-MARGIN]


@pytest.mark.parametrize("index", [2, 13, 50, 77])
def test_natural_equals_its_description_in_floating_point(index):
    look = {"name": "wide", **PLAIN, "illumination_range": [0.3, 0.4]}
    scene = planned([look], index, (200, 260), overlap=0.4, density_range=(0.6, 0.6))
    difference = render(scene, 0, BANK) - naive_natural(scene)
    assert np.abs(difference).max() < 1.5
    assert np.abs(difference).mean() < 0.5


def test_overlapping_red_cells_add_their_densities():
    scene = planned([{"name": "still", **STILL}], 13, overlap=0.5, density_range=(0.8, 0.8))
    image = render(scene, 0, BANK)
    reds = [(w, p) for o, (w, p) in zip(scene.objects, naive_rgba(scene.objects, BANK, (224, 224)), strict=True)]
    layers = np.zeros((224 + 2 * MARGIN,) * 2, int)
    for window, pixels in reds:
        layers[window] += pixels[..., 3] > 0
    layers = np.where((scene.label >= 8) | (scene.label == 0), layers[MARGIN:-MARGIN, MARGIN:-MARGIN], 0)
    one, two = (np.median(image[(layers == n) & (scene.label > 0)], axis=0) for n in (1, 2))
    assert np.allclose(two / 240, (one / 240) ** 2, atol=0.04)


def test_reference_is_an_exact_paste():
    scene = planned(["natural", "reference"], 40)
    image = render(scene, 1, BANK)
    expected = np.full((224 + 2 * MARGIN, 224 + 2 * MARGIN, 3), 255)
    for window, pixels in naive_rgba(scene.objects, BANK, (224, 224)):
        expected[window] = np.where(pixels[..., 3:] >= 128, pixels[..., :3], expected[window])
    assert (image == expected[MARGIN:-MARGIN, MARGIN:-MARGIN]).all()
    assert (image[scene.label == 0] == 255).all()


def test_rendering_is_a_pure_function():
    scene = planned(["natural", "reference"], 3)
    before = scene.objects.copy(), scene.label.copy(), scene.instance.copy()
    first = [render(scene, k, BANK) for k in (0, 1)]
    again = [render(scene, k, BANK) for k in (1, 0)]
    assert (first[0] == again[1]).all()
    assert (first[1] == again[0]).all()
    for kept, now in zip(before, (scene.objects, scene.label, scene.instance), strict=True):
        assert (kept == now).all()


def test_red_cells_of_all_sources_take_the_smears_colour():
    still = {"name": "still", **STILL, "red_cell_colour_range": [[230, 230], [180, 180], [170, 170]]}
    scene = planned([still], 1, (448, 448), combinations=["none/healthy"], overlap=0, density_range=(0.3, 0.3))
    image = render(scene, 0, BANK)
    sources = BANK.source[scene.objects[:, 1]]
    assert set(sources) == {0, 1}
    for row, o in enumerate(scene.objects):
        if o[12] == o[13]:
            body = np.median(image[scene.instance == row + 1], axis=0) / 240 * 255
            assert np.abs(body - [230, 180, 170]).max() < 4


def test_soft_edges_lie_between_cell_and_glass():
    scene = planned([{"name": "still", **STILL}], 1, combinations=["none/healthy"], overlap=0, border=False)
    image = render(scene, 0, BANK)
    assert image.max() == 240
    rim = np.zeros_like(scene.label, bool)
    for window, pixels in naive_rgba(scene.objects, BANK, (224, 224)):
        field = np.zeros((224 + 2 * MARGIN,) * 2, bool)
        field[window] = (pixels[..., 3] > 0) & (pixels[..., 3] < 255)
        rim |= field[MARGIN:-MARGIN, MARGIN:-MARGIN]
    body = image[(scene.label == 9) & ~rim]
    assert rim.sum() > 500
    assert (image[rim] >= body.min(axis=0)).all()


def test_darkest_stain_does_not_wrap():
    look = {"name": "dark", **STILL, "stain_strength_range": [2, 2], "red_cell_colour_range": [[1, 1]] * 3}
    scene = planned([look], 1, overlap=0.5, density_range=(0.8, 0.8), combinations=["none/healthy"])
    image = render(scene, 0, BANK)
    assert image[scene.label > 0].mean() < 40
    assert (image[scene.label == 0].max(axis=0) == 240).all()


def test_ground_is_glass_under_falling_light():
    look = {"name": "g", **STILL, "illumination_range": [0.2, 0.2], "glass_warmth_range": [0.1, 0.1]}
    scene = planned([look], 0, (100, 180), combinations=["none/healthy"], density_range=(0, 0))
    image = render(scene, 0, BANK).astype(int)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.min(axis=0).tolist() == [round(c * 0.8) for c in (252, 240, 228)]
    assert np.abs(np.diff(image, axis=0)).max() <= 2
    assert np.abs(np.diff(image, axis=1)).max() <= 2


def test_tables_are_the_nearest_integers():
    grey = np.arange(1, 256)
    assert np.abs(DENSITY[1:] + HALVING * np.log2(grey / 255)).max() <= 0.5
    d = np.arange(DARKEST + 1)
    assert np.abs(TRANSMITTANCE - ONE * 2.0 ** (-d / HALVING)).max() <= 0.5
    assert DENSITY[0] == DENSITY[1]
    colours = np.arange(256, 255 * 256 + 1, 37)
    got = np.array([density(c) for c in colours])
    # Between whole grey levels the logarithm is replaced by its chord, which matters in the darkest only.
    assert np.abs(got + HALVING * np.log2(colours / 256 / 255))[colours > 20 * 256].max() < 2


GOLDEN = {
    0: "df374d517ffe199e",
    35: "df6f7362e52a6f19",
    2: "5fd99513dbfffa97",
    7: "f6114bba34bcae0d",
}


def test_golden_images():
    """A change here changes what recipes give: raise GENERATOR_VERSION with it."""
    looks = ["natural", "reference", {"name": "flat", "base": "natural", "illumination_range": [0, 0]}]
    got = {}
    for index, size in ((0, (224, 224)), (35, (224, 224)), (2, (64, 64)), (7, (300, 500))):
        scene = planned(looks, index, size)
        images = b"".join(render(scene, k, BANK).tobytes() for k in range(3))
        got[index] = hashlib.sha256(images + scene.label.tobytes() + scene.instance.tobytes()).hexdigest()[:16]
    assert got == GOLDEN
