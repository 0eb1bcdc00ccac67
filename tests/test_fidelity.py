"""Fidelity: known differences between two sets are told in size and unit, and none where there is none."""

import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shard_set import write_shard

from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.realism.comparison import Fidelity, as_text, fidelity
from smearsynth.realism.distance_table import LINES, QUANTITIES
from smearsynth.realism.distances import Quantity, Tally, Weighted, earth_movers, halvings, mean, plain, spread
from smearsynth.realism.measures import CONTRAST_GLASS, DENSITY, DIAMETER, SPECTRUM, measure
from smearsynth.realism.views import EvenlyKept, View, starts
from smearsynth.shards import format

SIDE = 160
GLASS, STAIN = (225, 222, 230), (190, 150, 170)
Discs = tuple[np.ndarray, np.ndarray]


def discs(
    seed: int, *, radius: float = 16, glass: tuple[int, ...] = GLASS, blur: float = 1.0, side: int = SIDE
) -> Discs:
    """Image u1 and mask bool of about nine separate discs, drawn at eight times the size, on a jittered grid."""
    rng = np.random.default_rng(seed)
    fine = np.zeros((8 * side, 8 * side), np.uint8)
    pitch = side / 3
    for i in range(9):
        y, x = (pitch * (np.array(divmod(i, 3)) + 0.5) + rng.uniform(-4, 4, 2)) * 8
        cv2.circle(fine, (round(x), round(y)), round(8 * radius * rng.uniform(0.95, 1.05)), 255, -1)
    share = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask = share >= 0.5
    share = cv2.GaussianBlur(share, (0, 0), blur)[..., None]
    light = share * np.float32(STAIN) + (1 - share) * np.float32(glass) + rng.normal(0, 1, (side, side, 1))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8), mask


def write_fields(root: Path, fields: list[Discs], *, masks: bool = True, zoom: int = 1) -> Path:
    for kind in ("img", "mask") if masks else (".",):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for i, (image, mask) in enumerate(fields):
        image, mask = (np.kron(a, np.ones((zoom, zoom, 1)[: a.ndim], a.dtype)) for a in (image, mask))
        Image.fromarray(image).save(root / ("img" if masks else ".") / f"{i}.png")
        if masks:
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / "mask" / f"{i}.png")
    return root


def write_smears(root: Path, fields: list[Discs]) -> Path:
    root.mkdir(parents=True)
    samples = [
        format.ShardSample(
            image=image,
            label=mask.astype(np.uint8) * 9,
            instance=np.zeros(mask.shape, np.uint16),
            objects=np.zeros((0, 1), np.int32),
            background=1,
            scene=i,
            look=0,
            sample_id=format.sample_id("train", i, 0, ("natural",)),
            digest="0" * 64,
        )
        for i, (image, mask) in enumerate(fields)
    ]
    write_shard(root / "train-00000.h5", "train", samples)
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fields(tmp_path_factory.mktemp("real"), [discs(i) for i in range(6)])


def compared(root: Path, real: Path, **difference: object) -> Fidelity:
    smears = write_smears(root / "set", [discs(i, **difference) for i in range(6)])
    return fidelity(smears, real, um_per_px=0.2, progress=False)


def row(found: Fidelity, key: str):
    return next(r for r in found.rows if r.key == key)


def test_identical_sets_are_at_no_distance_and_halves_are(tmp_path: Path, real: Path) -> None:
    found = compared(tmp_path, real)
    assert [r.key for r in found.rows] == [line.key for line in LINES]
    for r in found.rows:
        assert r.distance == pytest.approx(0, abs=1e-9), r.key
        assert r.synthetic == pytest.approx(r.real)
        assert r.halves is not None
    assert row(found, "lab_cells_L").halves > 0
    assert (found.smears, found.images, found.crops, found.masks) == (6, 6, 6, True)


@pytest.mark.parametrize("darker", [10, 30])
def test_darker_glass_is_told_in_lightness_and_in_nothing_of_the_cells(tmp_path: Path, real: Path, darker: int) -> None:
    shades = np.array([GLASS, np.array(GLASS) - darker], np.float32)[:, None] / 255
    before, after = cv2.cvtColor(shades, cv2.COLOR_RGB2LAB)[:, 0]
    found = compared(tmp_path, real, glass=tuple(np.array(GLASS) - darker))
    for i, axis in enumerate("Lab"):
        told = row(found, f"lab_glass_{axis}")
        assert told.distance == pytest.approx(abs(after[i] - before[i]), abs=0.15)
        assert told.synthetic - told.real == pytest.approx(after[i] - before[i], abs=0.15)
    assert row(found, "lab_cells_L").distance < 0.3
    # A sliced distance of a pure shift is its length times the mean of |cos| over all directions, a half.
    assert row(found, "colour_glass").distance == pytest.approx(np.linalg.norm(after - before) / 2, rel=0.1)
    assert "glass" in as_text(found).splitlines()[-1]


@pytest.mark.parametrize("blur", [1.0, 1.6, 2.2])
def test_the_width_of_an_edge_is_that_of_its_gaussian(tmp_path: Path, real: Path, blur: float) -> None:
    # 10 to 90 % of an edge blurred by sigma takes 2.563 sigma; a pixel's own square adds 1/12 to the variance.
    ours, theirs = (2.563 * np.sqrt(sigma**2 + 1 / 12) for sigma in (blur, 1.0))
    told = row(compared(tmp_path, real, blur=blur), "edge_width")
    assert told.synthetic == pytest.approx(ours, rel=0.06)
    assert told.distance == pytest.approx(ours - theirs, abs=0.2)


def test_a_mask_that_is_a_pixel_off_does_not_blur_an_edge(tmp_path: Path) -> None:
    fields = [discs(i) for i in range(3)]
    frayed = [(image, np.roll(mask, (1, -1), (0, 1))) for image, mask in fields]
    folder = write_fields(tmp_path / "real", frayed)
    told = row(fidelity(write_smears(tmp_path / "set", fields), folder, um_per_px=0.2, progress=False), "edge_width")
    assert told.real == pytest.approx(told.synthetic, rel=0.03)


@pytest.mark.parametrize("radius", [14, 19])
def test_the_size_of_cells_is_told_in_micrometres(tmp_path: Path, real: Path, radius: float) -> None:
    found = compared(tmp_path, real, radius=radius)
    told = row(found, "cell_diameter")
    assert told.synthetic == pytest.approx(2 * radius * 0.2, rel=0.02)
    assert told.distance == pytest.approx(2 * abs(radius - 16) * 0.2, abs=0.1)
    covered = row(found, "covered")
    assert covered.synthetic / covered.real == pytest.approx((radius / 16) ** 2, rel=0.03)


@pytest.mark.parametrize("um_per_px", ["0.1", "auto"])
def test_fields_of_another_scale_are_brought_to_that_of_the_smears(tmp_path: Path, um_per_px: str) -> None:
    # As wide as `auto` takes a red cell to be, so it must find the true scale.
    smears = [discs(i, radius=18.25) for i in range(6)]
    twice = write_fields(tmp_path / "real", smears, zoom=2)
    found = fidelity(write_smears(tmp_path / "set", smears), twice, um_per_px=um_per_px, progress=False)
    assert found.um_per_px == pytest.approx((0.1, 0.1, 0.1), rel=0.04)
    assert row(found, "cell_diameter").distance < 0.25
    assert row(found, "lab_cells_L").distance < 0.2


def test_images_without_masks_are_told_by_otsu_on_both_sides(tmp_path: Path) -> None:
    fields = [discs(i) for i in range(5)]
    flat = write_fields(tmp_path / "real", fields, masks=False)
    wrong = [(image, np.zeros_like(mask)) for image, mask in fields]
    found = fidelity(write_smears(tmp_path / "set", wrong), flat, um_per_px=0.2, progress=False)
    assert not found.masks
    assert row(found, "cell_diameter").synthetic == pytest.approx(6.4, rel=0.03)
    assert all(r.distance == pytest.approx(0, abs=1e-9) for r in found.rows)


def test_samples_bound_smears_and_images_alike(tmp_path: Path, real: Path) -> None:
    smears = write_smears(tmp_path / "set", [discs(i) for i in range(6)])
    found = fidelity(smears, real, um_per_px=0.2, samples=1, progress=False)
    assert (found.smears, found.images) == (1, 1)
    assert all(r.halves is None and r.times is None for r in found.rows)
    assert "no halves" in as_text(found)


def view(image: np.ndarray, cells: np.ndarray) -> View:
    return View(image, cells, cells, 0)


def tallied(views: list[View]) -> Tally:
    tally = Tally(QUANTITIES, 1)
    for each in views:
        tally.add(measure(each), 0)
    return tally


def test_noise_is_told_by_its_variance_in_glass_and_at_every_frequency() -> None:
    grey = np.random.default_rng(1).normal(200, 4, (224, 224))
    image = np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, 2)
    noise = view(image, np.zeros((224, 224), bool))
    tally = tallied([noise])
    assert mean(CONTRAST_GLASS, tally.counts(CONTRAST_GLASS))[0] == pytest.approx(
        np.sqrt(24 / 25) * noise.lightness.std(), rel=0.03
    )
    decibels = mean(SPECTRUM, tally.counts(SPECTRUM))
    assert decibels[2:] == pytest.approx(10 * np.log10(noise.lightness.var()), abs=0.8)


@pytest.mark.slow
def test_sizes_and_density_of_cells_do_not_depend_on_how_much_a_view_shows() -> None:
    rng = np.random.default_rng(4)
    cells = np.zeros((1200, 1200), np.uint8)
    for y in range(0, 1200, 60):
        for x in range(0, 1200, 60):
            # Small and large ones: a small view would show too few of the large.
            centre = (x + int(rng.integers(25, 35)), y + int(rng.integers(25, 35)))
            cv2.circle(cells, centre, int(rng.choice([8, 24])), 1, -1)
    image = np.where(cells[..., None] > 0, 120, 230).astype(np.uint8).repeat(3, 2)
    whole = tallied([view(image, cells > 0)])
    boxes = [np.s_[y : y + 90, x : x + 90] for y, x in rng.integers(0, 1200 - 90, (300, 2))]
    small = tallied([view(image, cells > 0).piece(box) for box in boxes])
    for quantity in (DIAMETER, DENSITY):
        expected = mean(quantity, whole.counts(quantity))[0]
        assert mean(quantity, small.counts(quantity))[0] == pytest.approx(expected, rel=0.06)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_distance_and_moments_are_those_of_the_values(one: list[float], other: list[float]) -> None:
    from scipy.stats import wasserstein_distance  # which takes seconds to load

    quantity = Quantity(key="x", low=0, high=10)
    tally = Tally([quantity], 2)
    for group, values in enumerate((one, other)):
        tally.add({quantity: plain(np.array(values))}, group)
    a, b = (tally.counts(quantity, [group]) for group in (0, 1))
    assert earth_movers(quantity, a, b) == pytest.approx(wasserstein_distance(one, other), abs=10 / 511)
    assert mean(quantity, a)[0] == pytest.approx(np.mean(one))
    assert spread(quantity, a)[0] == pytest.approx(np.std(one), abs=10 / 511)


def test_weights_count_and_slices_stay_apart() -> None:
    quantity = Quantity(key="x", low=0, high=1, slices=2)
    tally = Tally([quantity], 1)
    tally.add({quantity: Weighted(np.array([[0.0, 1.0], [0.5, 2.0]]), np.array([3.0, 1.0]))}, 0)
    assert mean(quantity, tally.counts(quantity)) == pytest.approx([0.25, 0.625])


@pytest.mark.parametrize(("groups", "ways"), [(1, 0), (2, 1), (3, 3), (4, 3), (16, 12)])
def test_halves_part_all_groups_in_different_ways(groups: int, ways: int) -> None:
    found = halvings(groups)
    assert len(found) == ways
    assert len({frozenset([frozenset(one), frozenset(other)]) for one, other in found}) == ways
    for one, other in found:
        assert sorted(one + other) == list(range(groups))
        assert abs(len(one) - len(other)) <= 1


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2000), st.integers(64, 300))
def test_pieces_cover_a_field(side: int, piece: int) -> None:
    found = starts(side, piece)
    assert all(0 <= start <= max(side - piece, 0) for start in found)
    missed = set(range(side)) - {p for start in found for p in range(start, start + piece)}
    assert len(missed) <= 0.1 * piece


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 300), st.integers(1, 20))
def test_pictures_are_kept_evenly_of_any_number(count: int, wanted: int) -> None:
    kept = EvenlyKept[int](wanted)
    for i in range(count):
        kept.offer(i)
    chosen = kept.chosen()
    assert len(chosen) == len(set(chosen)) == min(count, wanted)
    gaps = np.diff([0, *chosen, count])
    assert count == 0 or gaps.max() <= max(4 * count / wanted, 2)


class References(HTMLParser):
    """Every address and script that a page names, and its pictures and rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


@pytest.mark.slow
def test_the_page_stands_alone_and_shows_both_sets(tmp_path: Path, real: Path) -> None:
    smears = write_smears(tmp_path / "set", [discs(i) for i in range(6)])
    page = tmp_path / "page.html"
    result = CliRunner().invoke(
        main, ["fidelity", str(smears), "--against", str(real), "--um-per-px", "0.2", "--out", str(page), "--json"]
    )
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert {"rows", "smears", "images", "crops", "um_per_px", "look", "masks", "page"} <= told.keys()
    assert {"key", "name", "unit", "synthetic", "real", "distance", "halves", "times"} == told["rows"][0].keys()
    text = page.read_text(encoding="utf-8")
    found = References(text)
    kinds = Counter(address.partition(";base64,")[0] for address in found.addresses)
    assert len(found.addresses) == found.tags.count("img")
    assert kinds["data:image/png"] == 12
    assert kinds["data:image/svg+xml"] == len(found.addresses) - 12 > 15
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert found.tags.count("tr") == 1 + len(LINES)


def broken_image(real: Path) -> None:
    (real / "img" / "3.png").write_bytes(b"no image")


def missing_mask(real: Path) -> None:
    (real / "mask" / "3.png").unlink()


def tiny_image(real: Path) -> None:
    write_fields(real, [discs(0, side=60)])


def empty(real: Path) -> None:
    for file in real.rglob("*.png"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (broken_image, "3.png: cannot be read as an image"),
        (missing_mask, "no mask for 3.png"),
        (tiny_image, "60x60 px at 0.20 um/px"),
        (empty, "holds no image"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], None], sentence: str
) -> None:
    smears = write_smears(tmp_path / "set", [discs(0)])
    folder = write_fields(tmp_path / "real", [discs(i) for i in range(4)])
    spoil(folder)
    result = CliRunner().invoke(main, ["fidelity", str(smears), "--against", str(folder), "--um-per-px", "0.2"])
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_no_set_no_look_or_no_folder_is_refused(tmp_path: Path, real: Path) -> None:
    with pytest.raises(UserError, match="holds no shards"):
        fidelity(tmp_path, real, progress=False)
    smears = write_smears(tmp_path / "set", [discs(0)])
    with pytest.raises(UserError, match=r"no look natura.*did you mean natural"):
        fidelity(smears, real, look="natura", progress=False)
    with pytest.raises(UserError, match="no such folder"):
        fidelity(smears, tmp_path / "nowhere", progress=False)
    with pytest.raises(UserError, match=r"small: its smears have 48x48 px"):
        fidelity(write_smears(tmp_path / "small", [discs(0, side=48, radius=5)]), real, progress=False)
    damaged = write_smears(tmp_path / "damaged", [discs(0)]) / "train-00000.h5"
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(UserError, match=r"train-00000\.h5"):
        fidelity(damaged.parent, real, progress=False)


def test_cells_that_the_border_cuts_count_though_no_mask_has_them(tmp_path: Path) -> None:
    image, mask = discs(0)
    for x in (0, SIDE - 1):
        cv2.circle(image, (x, SIDE // 3), 9, STAIN, -1)
    full = mask | (cv2.inRange(image, np.array(STAIN) - 8, np.array(STAIN) + 8) > 0)
    folder = write_fields(tmp_path / "real", [(image, mask)])
    told = row(
        fidelity(write_smears(tmp_path / "set", [(image, full)]), folder, um_per_px=0.2, progress=False), "covered"
    )
    assert told.real == pytest.approx(told.synthetic, rel=0.03)
    assert told.real > 100 * mask.mean() * 1.03
