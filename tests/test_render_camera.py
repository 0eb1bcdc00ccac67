"""Light, optics and camera of the natural look, each against a naive version of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_camera import naive_blur, naive_develop, naive_expose

from smearsynth.rendering.camera import SIDE, UNIT, deviations, expose, noise_tile, tone_curve
from smearsynth.rendering.optical_density import DARKEST, TRANSMITTANCE, add, lane, weigh
from smearsynth.rendering.optics import REACH, STEPS, TAPS, blur, develop, focus, kernel, profile

ONE = 65536
RNG = np.random.default_rng(4)


def framed(planes):
    """Planes in a frame of rubbish."""
    _, height, width = planes.shape
    picture = RNG.integers(0, 65536, (3, height + 2 * REACH, width + 2 * REACH)).astype(np.uint16)
    inner(picture)[:] = planes
    return picture


def inner(picture):
    return picture[:, REACH:-REACH, REACH:-REACH]


def planes(height=70, width=90, high=255 * 256):
    return RNG.integers(0, high + 1, (3, height, width)).astype(np.uint16)


three = st.tuples(*[st.integers(0, DARKEST)] * 3)


def word(densities):
    return sum(int(lane(d, c)) for c, d in enumerate(densities))


@settings(deadline=None)
@given(three, three, st.integers(0, 256))
def test_words_are_three_densities(a, b, share):
    assert int(add(np.uint64(word(a)), np.uint64(word(b)))) == word(
        min(p + q, DARKEST) for p, q in zip(a, b, strict=True)
    )
    assert int(weigh(np.uint64(word(a)), np.uint64(share))) == word((p * share + 128) >> 8 for p in a)


@pytest.mark.parametrize("axis", [(0, 0), (32768, 32768), (-16384, 81920)])
def test_develop_equals_the_naive_one(axis):
    words = np.zeros((50, 80), np.uint64)
    for c in range(3):
        words |= RNG.integers(0, DARKEST + 1, words.shape).astype(np.uint64) << np.uint64(21 * c)
    glass, light = np.array([255 * 256, 40000, 256]), profile(20000, 50000, 5000, 30000)
    picture = framed(planes(50, 80))
    develop(words, glass, light, *axis, picture)
    assert (inner(picture) == naive_develop(words, glass, light, axis, TRANSMITTANCE)).all()


def test_profile_falls_from_the_axis_and_stops_at_the_field_stop():
    assert (profile(0, 50000, 3000, 0) == ONE).all()
    fall = profile(ONE // 4, 50000, 3000, 0)
    assert fall[0] == ONE
    assert fall[STEPS] == ONE - ONE // 4
    distance = np.sqrt(np.arange(STEPS + 1) / STEPS)
    stop = profile(0, ONE // 2, ONE // 8, ONE // 2)
    assert (stop[distance < 0.499] == ONE).all()
    assert np.abs(stop[distance > 0.626] - ONE // 2).max() <= 1
    assert (np.diff(stop) <= 0).all()


@settings(deadline=None)
@given(st.integers(0, 450), st.integers(-256, 256))
def test_kernels_blur_and_shift(sigma, shift):
    weights = kernel(sigma, shift).astype(np.int64)
    assert weights.sum() == ONE
    if sigma <= 300:
        offset = np.arange(TAPS) - REACH
        mean = (weights * offset).sum() / ONE
        assert abs(mean + shift / 256) < 0.01
        variance = (weights * offset**2).sum() / ONE - mean**2
        assert -0.02 < variance - (sigma / 256) ** 2 < 0.26


def test_kernels_are_gaussians_over_a_row_that_is_linear_between_pixels():
    fine = np.linspace(-8, 8, 160001)
    for sigma, shift in ((0.5, 0.0), (0.8, 0.37), (1.3, -0.9)):
        bell = np.exp(-((fine + shift) ** 2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi)) * (fine[1] - fine[0])
        expected = [(np.maximum(1 - np.abs(fine - k), 0) * bell).sum() for k in range(-REACH, REACH + 1)]
        got = kernel(round(sigma * 256), round(shift * 256)) / ONE
        assert np.abs(got - expected)[1:-1].max() < 0.003
    assert kernel(0, 0).tolist() == [0] * REACH + [ONE] + [0] * REACH
    assert kernel(0, 64)[REACH - 1 : REACH + 1].tolist() == [ONE // 4, 3 * ONE // 4]


@pytest.mark.parametrize("shape", [(70, 90), (9, 33), (32, 8)])
def test_blur_equals_the_naive_one(shape):
    before = planes(*shape)
    kernels = np.array([[kernel(s, d) for d in xy] for s, xy in ((300, (40, -90)), (0, (0, 0)), (120, (-256, 256)))])
    picture = framed(before)
    blur(picture, kernels)
    assert (inner(picture) == naive_blur(before, kernels)).all()
    assert (inner(picture)[1] == before[1]).all()


def test_blur_keeps_a_flat_picture_flat_up_to_white():
    for level in (0, 1, 255 * 256):
        picture = framed(np.full((3, 20, 20), level, np.uint16))
        focus(picture, (100, 200, 300), (50, -50, 20, 77))
        assert (inner(picture) == level).all()


def test_a_colour_shift_moves_red_and_blue_and_never_green():
    dot = np.zeros((3, 21, 21), np.uint16)
    dot[:, 10, 10] = 25600
    picture = framed(dot)
    focus(picture, (0, 0, 0), (256, 0, 0, -256))
    assert np.argwhere(inner(picture)).tolist() == [[0, 10, 11], [1, 10, 10], [2, 9, 10]]


def test_the_noise_tile_is_normal_and_correlated_as_stated():
    tile = noise_tile().astype(float)
    assert tile.shape == (SIDE, SIDE)
    assert abs(tile.mean()) < 3
    assert abs(tile.std() / UNIT - 1) < 0.01
    # A value is a sum of 72 bytes or so: its tails are those of a normal one to three deviations.
    for sigmas, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert abs((np.abs(tile) < sigmas * UNIT).mean() - share) < 0.005
    correlation = [(tile * np.roll(tile, step, axis)).mean() / tile.var() for axis in (0, 1) for step in (1, 2, 3)]
    assert np.abs(np.array(correlation) - [6 / 11, 1 / 11, 0] * 2).max() < 0.03


def test_noise_grows_with_the_light_but_for_read_noise():
    shot = deviations(512, 0)
    assert (shot[0], shot[255]) == (0, 512)
    assert np.abs(shot - 512 * np.sqrt(np.arange(256) / 255)).max() < 2
    assert (deviations(300, ONE) == 300).all()
    assert (deviations(0, 30000) == 0).all()
    assert deviations(512, ONE // 4)[0] == pytest.approx(256, abs=2)


def naive_tone(gamma):
    def tone(light):
        level = np.clip(light / 16 + 1 / 32, 0, 255)
        return 255 * (level / 255) ** gamma

    return tone


@pytest.mark.parametrize("gamma", [0.5, 0.75, 1, 1.25, 2])
def test_tone_curves_are_powers(gamma):
    light = np.arange(-1024, 255 * 16 + 1024)
    got = tone_curve(round(gamma * 64))[light + 1024]
    assert (np.diff(got.astype(int)) >= 0).all()
    assert (got[0], got[-1]) == (0, 255)
    # Below grey level 20 the logarithm is replaced by its chords.
    bright = light > 20 * 16
    assert np.abs(got - naive_tone(gamma)(light))[bright].max() < 0.8
    if gamma == 1:
        assert (got == np.clip((light * 16 + 8 + 128) >> 8, 0, 255)).all()


@pytest.mark.parametrize("key", [0, 0x12345678, 0x3FFFF, 2**63 - 1])
def test_expose_equals_the_naive_one(key):
    scene, tile, deviation = planes(300, 270), noise_tile(), deviations(2048, 20000)
    curve = tone_curve(50)
    image = np.empty((300, 270, 3), np.uint8)
    expose(framed(scene), tile, key, deviation, curve, image)
    assert (image == naive_expose(scene, tile, key, deviation, lambda light: curve[light + 1024])).all()


def test_a_neutral_camera_only_rounds():
    scene = planes()
    picture, image = framed(scene), np.empty((70, 90, 3), np.uint8)
    focus(picture, (0, 0, 0), (0, 0, 0, 0))
    expose(picture, noise_tile(), 99, deviations(0, 0), tone_curve(64), image)
    assert (image == ((scene.astype(int) + 128) >> 8).transpose(1, 2, 0)).all()
