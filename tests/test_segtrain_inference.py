"""Images of any size through a network: against the whole image at once, and against other libraries."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tifffile import TiffFile
from torch import Tensor

from segtrain.data.samples import Classes
from segtrain.inference import prediction_files
from segtrain.inference.field_prediction import NativeLabels, predict_field
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.prediction_files import new_files, targets, write_prediction
from segtrain.inference.ready_networks import Networks
from segtrain.inference.tiles import OVERLAP, TILE, Band, RescaledImage, predict_bands, starts, tile_count
from smearsynth.fields.scale import to_native, to_scale

Pixels = npt.NDArray[np.uint8]

ABC = Classes((0, 1, 2), ("background", "a", "b"), ("#000000", "#ff0000", "#00ff00"))


def noise(*shape: int, seed: int = 0) -> Pixels:
    """Smooth enough that it is the same smear at another scale."""
    coarse = np.random.default_rng(seed).integers(0, 256, (shape[0] // 8 + 2, shape[1] // 8 + 2, 3), np.uint8)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def by_colour(image: Tensor) -> Tensor:
    """A network that looks at one pixel."""
    return (image.float() / 40).softmax(dim=1)


def by_surroundings(image: Tensor) -> Tensor:
    """One that looks at 33 pixels around, and sees zeros beyond the edge."""
    down = torch.nn.functional.avg_pool2d(image.float(), (33, 1), 1, (16, 0))
    return (torch.nn.functional.avg_pool2d(down, (1, 33), 1, (0, 16)) / 40).softmax(dim=1)


def by_place(image: Tensor) -> Tensor:
    """One that knows up from down and left from right."""
    height, width = image.shape[-2:]
    x, y = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 2, width), indexing="ij")
    return (image.float() / 40 + torch.stack([x, y, x * y])).softmax(dim=1)


def networks(*members: object, **options: object) -> Networks:
    return Networks(members, ABC, 0.2, **options)  # type: ignore[arg-type]


def as_batch(image: Pixels) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def whole(predictor: Networks, image: ArrayReader) -> npt.NDArray[np.float32]:
    bands = [(band.top, band.probability.copy()) for band in predict_bands(predictor, image)]
    tops = [top for top, _ in bands]
    assert tops == list(np.cumsum([0, *(rows.shape[1] for _, rows in bands)])[:-1]), "without gaps"
    return np.concatenate([rows for _, rows in bands], axis=1)


@given(st.integers(1, 5000))
@settings(max_examples=200)
def test_tiles_cover_a_side_and_share_enough(length: int) -> None:
    found = starts(length)
    assert found[0] == 0
    assert found[-1] + min(TILE, length) == length
    assert all(0 < after - before <= TILE - OVERLAP for before, after in pairwise(found))
    assert len(found) == 1 or len(found) * (TILE - OVERLAP) < length + TILE, "and no more of them than needed"


@pytest.mark.parametrize("size", [(1, 1), (40, 700), (512, 512), (513, 100), (600, 900)])
@pytest.mark.parametrize("batch", [1, 3])
def test_blending_leaves_what_all_tiles_agree_on(size: tuple[int, int], batch: int) -> None:
    image = noise(*size)
    found = whole(networks(by_colour, batch=batch), ArrayReader(image))
    np.testing.assert_allclose(found, by_colour(as_batch(image))[0].numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, rtol=0, atol=1e-6)


def test_one_tile_equals_the_direct_result() -> None:
    image = noise(500, 512)
    found = whole(networks(by_surroundings), ArrayReader(image))
    np.testing.assert_allclose(found, by_surroundings(as_batch(image))[0].numpy(), rtol=0, atol=1e-6)


def test_where_tiles_meet_the_edge_of_neither_is_seen() -> None:
    """A tile sees zeros beyond its edge: cut without overlap, these would be in the middle of the field."""
    image = noise(300, 1300)
    direct = by_surroundings(as_batch(image))[0].numpy()
    found = whole(networks(by_surroundings), ArrayReader(image))
    assert np.abs(found - direct).max() < 0.01
    hard = np.concatenate([by_surroundings(as_batch(image[:, x : x + 400]))[0].numpy() for x in (0, 400, 800)], axis=2)
    assert np.abs(hard - direct[..., :1200]).max() > 0.2


def test_augmentation_averages_all_eight_views_and_no_other() -> None:
    image = noise(48, 80)
    total = np.zeros((3, 48, 80))
    for turns in range(4):
        for mirrored in (False, True):
            view = np.rot90(image[:, ::-1] if mirrored else image, turns)
            found = by_place(as_batch(view.copy()))[0].numpy().transpose(1, 2, 0)
            back = np.rot90(found, -turns)
            total += (back[:, ::-1] if mirrored else back).transpose(2, 0, 1) / 8
    np.testing.assert_allclose(networks(by_place, tta=True)(image[None])[0], total, rtol=0, atol=1e-6)
    assert np.abs(by_place(as_batch(image))[0].numpy() - total).max() > 0.05


def test_an_ensemble_is_the_mean_of_its_members() -> None:
    image = noise(40, 40)
    due = (by_place(as_batch(image)) + by_colour(as_batch(image))) / 2
    np.testing.assert_allclose(networks(by_place, by_colour)(image[None]), due.numpy(), rtol=1.3e-6, atol=1e-5)


@pytest.mark.parametrize("factor", [0.1, 0.335, 0.5, 0.77, 1.0, 1.31, 3.0])
def test_rows_at_another_scale_are_those_of_the_whole_image_resized(factor: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (211, 97, 3), np.uint8)
    scaled = RescaledImage(ArrayReader(image), factor)
    expected = to_scale(image, factor * 0.2)
    assert scaled.shape == expected.shape[:2]
    step = 13
    rows = [scaled.rows(top, min(top + step, scaled.shape[0])) for top in range(0, scaled.shape[0], step)]
    # OpenCV rounds cubic weights to 11 bits.
    assert np.abs(np.concatenate(rows).astype(int) - expected).max() <= (1 if factor > 1 else 0)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 150), st.integers(1, 150), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_labels_come_back_as_from_the_whole_probability(h: int, w: int, tall: int, wide: int, step: int) -> None:
    rng = np.random.default_rng([h, w, tall, wide])
    probability = rng.dirichlet([0.3] * 4, (h, w)).transpose(2, 0, 1).astype(np.float32)
    native = NativeLabels((h, w), (tall, wide))
    blocks = [
        block for top in range(0, h, step) for block in native.add(Band(top, probability[:, top : top + step].copy()))
    ]
    values = np.stack([to_native(plane, (tall, wide)) for plane in probability])
    label = np.concatenate(blocks)
    assert label.shape == (tall, wide)
    best, found = values.max(axis=0), np.take_along_axis(values, label[None].astype(int), 0)[0]
    # Probabilities are read at places of up to 60 px in fp32, which both sides round by 2 ** -24 of them.
    np.testing.assert_allclose(found, best, rtol=0, atol=4 * 60 * 2**-24)


def test_a_field_is_labelled_at_the_scale_of_the_network() -> None:
    image = noise(900, 1500)
    found = predict_field(networks(by_colour), ArrayReader(image), 0.1, probability=True)
    expected = by_colour(as_batch(to_scale(image, 0.1)))[0].numpy()
    np.testing.assert_allclose(found.probability, expected, rtol=0, atol=1e-6)
    assert (found.label == expected.argmax(axis=0)).mean() > 0.9999
    assert np.abs(found.confidence - expected.max(axis=0) * 255).max() <= 0.5001
    assert (found.native_shape, found.native_um_per_px, found.um_per_px) == ((900, 1500), 0.1, 0.2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_a_map_comes_back_by_the_nearest_pixel(dtype: type) -> None:
    found = predict_field(networks(by_colour), ArrayReader(noise(30, 50)), 0.1)
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (15, 25)).astype(dtype)
    np.testing.assert_array_equal(found.to_native(values), values.repeat(2, 0).repeat(2, 1))


def test_progress_counts_every_tile() -> None:
    told: list[int] = []
    image = ArrayReader(noise(600, 1300))
    predict_field(networks(by_colour, batch=2), image, 0.2, on_tile=told.append)
    assert sum(told) == tile_count(image.shape) == 2 * 4


@pytest.mark.parametrize("large", [False, True])
def test_files_of_a_small_and_of_a_large_image_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr(prediction_files, "MAX_PIXELS", 100_000 if large else 1_000_000)
    image, network = ArrayReader(noise(530, 700), "a.b.png"), networks(by_colour)
    direct = predict_field(network, image, 0.2, probability=True)
    wanted = targets(tmp_path, image, probability=True)
    assert wanted["label"].name == ("a.b_label.tif" if large else "a.b_label.png")
    with new_files(list(wanted.values())) as opened:
        files = dict(zip(wanted, opened, strict=True))
        pixels = write_prediction(files, image, predict_bands(network, image), image.shape, ABC)
    label = direct.label
    assert pixels.tolist() == np.bincount(label.ravel(), minlength=256).tolist()
    np.testing.assert_array_equal(np.load(wanted["probability"]), direct.probability.astype("<f2").transpose(1, 2, 0))
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    with Image.open(wanted["label"]) as ids, Image.open(wanted["label" if large else "colour"]) as coloured:
        assert (ids.mode, coloured.mode) == ("P" if large else "L", "P")
        np.testing.assert_array_equal(np.asarray(ids), label)
        np.testing.assert_array_equal(np.asarray(coloured.convert("RGB")), colours[label])
    with Image.open(wanted["overlay"]) as overlay:
        assert overlay.width == 700
    if large:
        np.testing.assert_array_equal(TiffFile(wanted["label"]).asarray(), label)
        assert TiffFile(wanted["label"]).pages.first.is_tiled


@pytest.mark.parametrize("rows", [[], [0], [2], [5], [1, 4], [0, 1, 2, 3, 4, 5]], ids=str)
def test_tiles_of_glass_are_blended_with_those_that_a_network_saw(rows: list[int]) -> None:
    height, width = 2400, 600
    image, occupied = ArrayReader(noise(height, width)), np.zeros((len(starts(height)), len(starts(width))), bool)
    occupied[rows, 1] = True
    network = networks(
        lambda image: torch.tensor([0.0, 1.0, 0.0])[None, :, None, None].expand(-1, -1, *image.shape[2:])
    )
    found = np.concatenate([b.probability.copy() for b in predict_bands(network, image, None, occupied)], axis=1)
    away = np.exp(-(((np.arange(TILE) - (TILE - 1) / 2) / (TILE / 8)) ** 2) / 2)
    due = np.zeros((3, height, width))
    for row, top in enumerate(starts(height)):
        for column, left in enumerate(starts(width)):
            due[int(occupied[row, column]), top : top + TILE, left : left + TILE] += away[:, None] * away
    np.testing.assert_allclose(found, due / due.sum(axis=0), rtol=0, atol=1e-5)


def test_an_image_is_read_by_rows_only() -> None:
    """What predicting asks of an image at one time is a row of tiles, however tall it is."""

    class Watched(ArrayReader):
        most = 0

        def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
            Watched.most = max(Watched.most, bottom - top)
            return super().rows(top, bottom, left, right)

    predict_field(networks(by_colour), Watched(noise(3000, 20)), 0.2)
    assert Watched.most == TILE
