"""Augmentation: labels go where their pixels go, colours follow their law, on the host and on a device alike."""

from fractions import Fraction
from math import floor

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from shard_set import picture

from segtrain.data.albumentations_adapter import augment_sample
from segtrain.data.augmentation import AugmentSpec, Draws, augment_batch, blur_kernel, draw, od_table
from segtrain.data.keyed_random import noise, noise_on_device
from smearsynth.taxonomy import IGNORE

N = 12
SIZE = (37, 37)
PICTURES = [picture("x", i, SIZE) for i in range(N)]
IMAGES, LABELS = np.stack([p.image for p in PICTURES]), np.stack([p.label for p in PICTURES])
GEOMETRY = {"flips": True, "quarter_turns": True, "scale_range": (0.6, 1.6)}
COLOUR = {
    "od_gain_range": (0.6, 1.6),
    "od_offset_range": (-0.1, 0.2),
    "blur_range": (0.4, 2),
    "noise_range": (0, 10),
}
ONE_BY_ONE = [{key: value} for key, value in (GEOMETRY | COLOUR).items()]


def draws_for(spec: AugmentSpec, n: int = N, epoch: int = 0) -> Draws:
    return draw(spec, seed=5, epoch=epoch, index=np.arange(n))


def on_host(images: np.ndarray, labels: np.ndarray, spec: AugmentSpec) -> tuple[np.ndarray, np.ndarray]:
    draws = draws_for(spec, len(images))
    pairs = [augment_sample(images[i], {"label": labels[i]}, draws, i) for i in range(len(images))]
    return np.stack([image for image, _ in pairs]), np.stack([maps["label"] for _, maps in pairs])


def on_device(images: np.ndarray, labels: np.ndarray, spec: AugmentSpec) -> tuple[np.ndarray, np.ndarray]:
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    image, maps = augment_batch(planes, {"label": torch.from_numpy(labels)}, draws_for(spec, len(images)), spec)
    label = maps["label"]
    assert image.dtype == label.dtype == torch.uint8
    assert image.is_contiguous(memory_format=torch.channels_last)
    return image.permute(0, 2, 3, 1).numpy(), label.numpy()


both = pytest.mark.parametrize("apply", [on_host, on_device])


def naive_label(label: np.ndarray, draws: Draws, row: int) -> np.ndarray:
    """Mirrored and turned by numpy, zoomed pixel by pixel in exact fractions."""
    label = label[:, ::-1] if draws.flip_x[row] else label
    label = label[::-1] if draws.flip_y[row] else label
    label = np.rot90(label, draws.turns[row])
    scale, n = Fraction(float(draws.scale[row])), len(label)
    middle = Fraction(n - 1, 2)
    source = [floor((i - middle) / scale + middle + Fraction(1, 2)) for i in range(n)]
    inside = np.array([0 <= s < n for s in source])
    moved = label[np.ix_(np.clip(source, 0, n - 1), np.clip(source, 0, n - 1))]
    return np.where(inside[:, None] & inside, moved, IGNORE)


@both
def test_labels_go_to_the_nearest_pixel_of_the_naive_map(apply) -> None:  # type: ignore[no-untyped-def]
    spec = AugmentSpec(**GEOMETRY)
    draws = draws_for(spec)
    _, labels = apply(IMAGES, LABELS, spec)
    for row in range(N):
        np.testing.assert_array_equal(labels[row], naive_label(LABELS[row], draws, row))
    assert (draws.scale < 1).any()
    assert (labels == IGNORE).any()


@both
def test_without_zoom_every_pixel_keeps_its_label(apply) -> None:  # type: ignore[no-untyped-def]
    """The label is written into the picture: wherever a pixel goes, they must still agree."""
    marked = np.repeat((25 * LABELS)[..., None], 3, axis=3)
    spec = AugmentSpec(flips=True, quarter_turns=True)
    images, labels = apply(marked, LABELS, spec)
    np.testing.assert_array_equal(images, np.repeat((25 * labels)[..., None], 3, axis=3))
    images, _ = apply(marked[:1].repeat(60, 0), LABELS[:1].repeat(60, 0), spec)
    assert len({image.tobytes() for image in images}) == 8


@both
def test_zoom_keeps_picture_and_label_together(apply) -> None:  # type: ignore[no-untyped-def]
    """A ramp says where each pixel came from: within half a pixel of where its label came from."""
    ramp = np.broadcast_to(np.arange(0, 37 * 5, 5, dtype=np.uint8)[:, None], SIZE)
    images, labels = apply(
        np.repeat(ramp[None, ..., None], N, 0).repeat(3, 3), np.repeat(ramp[None], N, 0), AugmentSpec(**GEOMETRY)
    )
    inside = labels != IGNORE
    gap = np.abs(images[..., 0].astype(int) - labels)[inside]
    assert gap.max() <= 3
    assert inside.mean() > 0.7


@both
@pytest.mark.parametrize("ranges", [{key: value} for key, value in COLOUR.items()], ids=lambda r: next(iter(r)))
def test_colour_changes_pictures_and_no_label(apply, ranges: dict) -> None:  # type: ignore[no-untyped-def]
    images, labels = apply(IMAGES, LABELS, AugmentSpec(**ranges))
    np.testing.assert_array_equal(labels, LABELS)
    assert all((image != before).any() for image, before in zip(images, IMAGES, strict=True))


@both
def test_colour_is_a_gain_and_an_offset_of_optical_density(apply) -> None:  # type: ignore[no-untyped-def]
    spec = AugmentSpec(od_gain_range=(0.6, 1.6), od_offset_range=(-0.1, 0.2))
    draws = draws_for(spec)
    images, _ = apply(IMAGES, LABELS, spec)
    density = -np.log10(np.maximum(IMAGES, 1) / 255)
    changed = density * draws.gain[:, None, None] + draws.offset[:, None, None]
    expected = np.clip(255 * 10**-changed, 0, 255)
    assert np.abs(images - expected)[IMAGES > 0].max() <= 0.5 + 1e-6


def test_gain_leaves_glass_as_it_is_and_offset_darkens() -> None:
    gain, none = np.array([0.5, 1.0, 2.0]), np.zeros(3)
    assert od_table(gain, none)[[0, 255]].tolist() == [[0, 0, 0], [255, 255, 255]]
    np.testing.assert_array_equal(od_table(np.ones(3), none), np.arange(256)[:, None].repeat(3, 1))
    assert (np.diff(od_table(gain, none).astype(int), axis=0) >= 0).all()
    assert od_table(np.ones(3), np.full(3, np.log10(2)))[200].tolist() == [100, 100, 100]


@both
def test_blur_is_a_gaussian(apply) -> None:  # type: ignore[no-untyped-def]
    spec = AugmentSpec(blur_range=(0.4, 2))
    draws = draws_for(spec)
    images, _ = apply(IMAGES, LABELS, spec)
    for row in range(N):
        sigma = (draws.blur[row], draws.blur[row], 0)
        radius = (len(blur_kernel(draws.blur[row])) // 2,) * 2 + (0,)
        expected = gaussian_filter(IMAGES[row].astype(float), sigma, mode="mirror", radius=radius)
        assert np.abs(images[row] - expected).max() <= 1


def test_noise_is_normal_keyed_and_the_same_on_a_device() -> None:
    keys = np.array([3, 2**63 + 11], np.uint64)
    field = noise(keys[0], (101, 67, 3))
    assert field.mean() == pytest.approx(0, abs=0.02)
    assert field.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(field) < 1).mean() == pytest.approx(0.6827, abs=0.01)
    assert (np.abs(field) > 3).mean() == pytest.approx(0.0027, abs=0.0015)
    near = [
        np.corrcoef(field[1:].ravel(), field[:-1].ravel()),
        np.corrcoef(field[..., 0].ravel(), field[..., 1].ravel()),
    ]
    assert max(abs(c[0, 1]) for c in near) < 0.03
    assert abs(np.corrcoef(field.ravel(), noise(keys[1], field.shape).ravel())[0, 1]) < 0.03
    device = noise_on_device(keys, field.shape, torch.device("cpu"))
    for row, key in enumerate(keys):
        np.testing.assert_array_equal(device[row].numpy(), noise(key, field.shape))


@both
def test_noise_has_the_spread_that_was_drawn(apply) -> None:  # type: ignore[no-untyped-def]
    spec = AugmentSpec(noise_range=(2, 12))
    grey = np.full_like(IMAGES, 128)
    images, _ = apply(grey, LABELS, spec)
    np.testing.assert_allclose((images - 128.0).std(axis=(1, 2, 3)), draws_for(spec).noise, rtol=0.06)


def test_jpeg_is_that_of_opencv_with_its_channels_in_place() -> None:
    spec = AugmentSpec(jpeg_range=(30, 60))
    images, labels = on_host(IMAGES, LABELS, spec)
    np.testing.assert_array_equal(labels, LABELS)
    for row, quality in enumerate(draws_for(spec).quality.tolist()):
        _, code = cv2.imencode(".jpg", IMAGES[row][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        np.testing.assert_array_equal(images[row], cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])


@pytest.mark.parametrize("ranges", [*ONE_BY_ONE, GEOMETRY | COLOUR], ids=lambda r: "+".join(r))
def test_host_and_device_do_the_same(ranges: dict) -> None:
    spec = AugmentSpec(**ranges)
    host, device = on_host(IMAGES, LABELS, spec), on_device(IMAGES, LABELS, spec)
    np.testing.assert_array_equal(host[1], device[1])
    gap = np.abs(host[0].astype(int) - device[0])
    assert gap.max() <= 6  # OpenCV interpolates at 1/32 px; each step rounds
    assert gap.mean() < 0.1


def test_on_a_device_a_sample_does_not_depend_on_its_batch() -> None:
    spec = AugmentSpec(**GEOMETRY, **COLOUR)
    whole = on_device(IMAGES, LABELS, spec)
    draws = draws_for(spec)
    for row in range(N):
        one = Draws(**{name: values[row : row + 1] for name, values in vars(draws).items()})
        image, maps = augment_batch(
            torch.from_numpy(IMAGES[row : row + 1]).permute(0, 3, 1, 2),
            {"label": torch.from_numpy(LABELS[row : row + 1])},
            one,
            spec,
        )
        np.testing.assert_array_equal(image[0].permute(1, 2, 0), whole[0][row])
        np.testing.assert_array_equal(maps["label"][0], whole[1][row])


def test_wide_images_are_mirrored_and_zoomed_about_their_own_centre() -> None:
    wide = picture("x", 1, (20, 45))
    images, labels = wide.image[None].repeat(40, 0), wide.label[None].repeat(40, 0)
    spec = AugmentSpec(flips=True, scale_range=(0.5, 1.5))
    np.testing.assert_array_equal(on_host(images, labels, spec)[1], on_device(images, labels, spec)[1])
    turned = on_host(images, labels, AugmentSpec(flips=True))[1]
    flips = {label.tobytes() for label in turned}
    assert flips == {np.ascontiguousarray(wide.label[::y, ::x]).tobytes() for y in (1, -1) for x in (1, -1)}


class TestDraws:
    def test_are_a_function_of_seed_epoch_and_sample(self) -> None:
        spec = AugmentSpec(**GEOMETRY, **COLOUR)
        whole = draw(spec, seed=1, epoch=2, index=np.arange(50))
        some = draw(spec, seed=1, epoch=2, index=np.array([40, 7]))
        for name, values in vars(whole).items():
            np.testing.assert_array_equal(values[[40, 7]], vars(some)[name])
        for other in (
            draw(spec, seed=2, epoch=2, index=np.arange(50)),
            draw(spec, seed=1, epoch=3, index=np.arange(50)),
        ):
            assert (other.scale != whole.scale).all()

    @pytest.mark.parametrize("more", ONE_BY_ONE, ids=lambda r: next(iter(r)))
    def test_switching_one_on_leaves_the_others(self, more: dict) -> None:
        before = vars(draws_for(AugmentSpec(noise_range=(0, 3), jpeg_range=(50, 90))))
        after = vars(draws_for(AugmentSpec(**{"noise_range": (0, 3), "jpeg_range": (50, 90)} | more)))
        changed = {name for name in before if (before[name] != after[name]).any()}
        assert len(changed) == 1 or changed == {"flip_x", "flip_y"}

    def test_are_even_over_their_ranges_with_both_ends(self) -> None:
        draws = draws_for(AugmentSpec(**GEOMETRY, **COLOUR, jpeg_range=(60, 62)), n=6000)
        assert np.bincount(draws.turns).tolist() == pytest.approx([1500] * 4, abs=150)
        assert np.bincount(draws.quality - 60).tolist() == pytest.approx([2000] * 3, abs=150)
        assert draws.flip_x.mean() == pytest.approx(0.5, abs=0.03)
        assert (draws.flip_x & draws.flip_y).mean() == pytest.approx(0.25, abs=0.03)
        for values, (low, high) in ((draws.scale, (0.6, 1.6)), (draws.gain, (0.6, 1.6)), (draws.offset, (-0.1, 0.2))):
            assert low <= values.min() < low + 0.01 < high - 0.01 < values.max() <= high
            assert values.mean() == pytest.approx((low + high) / 2, abs=0.02)
        assert abs(np.corrcoef(draws.gain.T)[0, 1]) < 0.05

    def test_the_defaults_change_nothing(self) -> None:
        assert AugmentSpec().changes_nothing
        assert not AugmentSpec(flips=True).changes_nothing
        for images, labels in (on_host(IMAGES, LABELS, AugmentSpec()), on_device(IMAGES, LABELS, AugmentSpec())):
            np.testing.assert_array_equal(images, IMAGES)
            np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("scale_range", (1.2, 0.8), r"\[1.2, 0.8\] must ascend and lie within \[0.25, 4\]"),
        ("blur_range", (-1, 1), r"within \[0, 8\]"),
        ("jpeg_range", (50, 101), r"within \[5, 100\]"),
        ("noise_range", (0, float("nan")), "finite number"),
        ("rotate", True, "unknown key"),
    ],
)
def test_wrong_ranges_are_refused_under_their_key(key: str, value: object, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as caught:
        AugmentSpec(**{key: value})
    assert caught.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize("name", ["instance", "parasite"])
def test_maps_of_cells_and_parasites_go_where_the_labels_go(name: str) -> None:
    spec = AugmentSpec(**GEOMETRY)
    draws = draws_for(spec)
    beyond = 0 if name == "instance" else IGNORE
    kind = np.uint16 if name == "instance" else np.uint8
    given = np.arange(N)[:, None, None] * 5000 % 60_000 + LABELS if name == "instance" else LABELS % 2
    given = given.astype(kind)
    for row in range(N):
        _, maps = augment_sample(IMAGES[row], {"label": LABELS[row], name: given[row]}, draws, row)
        expected = naive_label(given[row].astype(int) + 1, draws, row).astype(int)  # 255 is beyond the border
        inside = maps["label"] != IGNORE
        assert maps[name].dtype == kind
        np.testing.assert_array_equal(maps[name][inside], expected[inside] - 1)
        assert (maps[name][~inside] == beyond).all()
    planes = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    wide = torch.from_numpy(given.astype(np.int32) if name == "instance" else given)
    _, moved = augment_batch(planes, {"label": torch.from_numpy(LABELS), name: wide}, draws, spec)
    host = [augment_sample(IMAGES[row], {name: given[row]}, draws, row)[1][name] for row in range(N)]
    np.testing.assert_array_equal(moved[name], np.stack(host))
