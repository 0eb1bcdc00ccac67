"""What a look draws for a smear: within the recipe's ranges, and nothing where a range has no width."""

import numpy as np
import pytest

from smearsynth.base.streams import stream
from smearsynth.recipe.look_options import LookSpec
from smearsynth.scene.light import light

ONE = 65536
DRAWS = 300
CELLS = 6


def drawn(**look):
    spec = LookSpec.model_validate({"name": "k", "base": "natural", **look})
    return [light(spec, stream(5, i), CELLS).values for i in range(DRAWS)]


def column(values, name, place=0):
    return np.array([v[name][place] for v in values])


@pytest.mark.parametrize(
    ("name", "key", "place", "unit"),
    [
        ("illumination_range", "illumination", 0, ONE),
        ("noise_range", "noise", 1, 256),
        ("read_noise_range", "noise", 2, ONE),
        ("gamma_range", "gamma", 0, 64),
        ("point_spread_range", "point_spread", 1, 1280),
        ("colour_shift_range", "colour_shift", 3, 1280),
    ],
)
def test_a_range_is_drawn_to_both_ends_and_not_beyond(name, key, place, unit):
    low, high = LookSpec(name="k").model_dump()[name]
    values = column(drawn(), key, place)
    assert values.min() >= round(low * unit)
    assert values.max() <= round(high * unit)
    assert values.max() - values.min() > 0.9 * (high - low) * unit - 1
    middle = (low + high) / 2
    assert set(column(drawn(**{name: [middle, middle]}), key, place)) == {round(middle * unit)}


@pytest.mark.parametrize(
    ("name", "to", "key"),
    [
        ("glass_range", 99, "glass"),
        ("glass_warmth_range", 0.2, "glass"),
        ("glass_tint_range", 0.1, "glass"),
        ("illumination_range", 0.2, "illumination"),
        ("field_stop_range", 0.2, "field_stop"),
        ("point_spread_range", 0.11, "point_spread"),
        ("red_spread_range", 0.11, "point_spread"),
        ("blue_spread_range", 0.11, "point_spread"),
        ("colour_shift_range", 0.02, "colour_shift"),
        ("noise_range", 1, "noise"),
        ("read_noise_range", 1, "noise"),
        ("gamma_range", 1.2, "gamma"),
    ],
)
def test_one_range_changes_its_own_values_and_no_other(name, to, key):
    pairs = list(zip(drawn(), drawn(**{name: [to, to]}), strict=True))
    assert {k for a, b in pairs for k in a if a[k] != b[k]} == {key}


def test_glass_is_grey_with_a_white_balance_and_never_brighter_than_white():
    values = drawn(glass_range=[200, 200], glass_warmth_range=[0.1, 0.1], glass_tint_range=[0.02, 0.02])
    assert {v["glass"] for v in values} == {(210 * 256, 204 * 256, 190 * 256)}
    bright = drawn(glass_range=[250, 255], glass_warmth_range=[0.3, 0.5])
    assert column(bright, "glass").max() == 255 * 256
    assert min(min(v["glass"]) for v in drawn(glass_range=[1, 2], glass_warmth_range=[0.5, 0.5])) >= 256


def test_a_field_stop_is_as_frequent_as_asked():
    assert set(column(drawn(field_stop_chance=0), "field_stop", 2)) == {0}
    assert (column(drawn(field_stop_chance=1), "field_stop", 2) > 0).all()
    share = (column(drawn(field_stop_chance=0.3), "field_stop", 2) > 0).mean()
    assert 0.2 < share < 0.4


def test_red_and_blue_are_never_sharper_than_green():
    spread = np.array([v["point_spread"] for v in drawn()])
    assert (spread[:, 0] >= spread[:, 1] - 1).all()
    assert (spread[:, 2] >= spread[:, 1] - 1).all()
    sharp = drawn(red_spread_range=[0, 0], blue_spread_range=[0, 0], point_spread_range=[0.2, 0.2])
    assert {v["point_spread"] for v in sharp} == {(256, 256, 256)}


def test_each_cell_has_its_own_density_within_the_spread_of_its_smear():
    factors = np.array([v["cell_density"] for v in drawn(cell_density_spread_range=[0.2, 0.4])]) / ONE
    assert factors.shape == (DRAWS, CELLS)
    spread = np.abs(factors - 1).max(axis=1)
    assert 0.3 < spread.max() <= 0.4
    assert (np.ptp(factors, axis=1) > 0).all()
    assert abs(factors.mean() - 1) < 0.02
    assert set(np.ravel([v["cell_density"] for v in drawn(cell_density_spread_range=[0, 0])])) == {ONE}
