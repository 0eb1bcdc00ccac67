"""stats: every figure, against a recount by h5py and numpy alone."""

import json
import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from forged_set import forged_index, forged_shard
from hypothesis import assume, given
from hypothesis import strategies as st
from small_set import prepare, small_build

from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.dataset.distributions import SAMPLED, Distribution
from smearsynth.taxonomy import CLASSES, SPLITS
from smearsynth.verbs.stats import stats

KEYS = [c.key for c in CLASSES]
LOOKS = ("natural", "reference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bank.h5, and `set`: 20, 5 and 3 smears in two looks, in shards of three scenes."""
    path = tmp_path_factory.mktemp("stats")
    prepare(path)
    small_build(path, path / "set", f"looks=[{', '.join(LOOKS)}]")
    return path


@pytest.fixture
def out(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "set", tmp_path / "set"))


class Recount:
    """All rows of a set, read plainly."""

    def __init__(self, out: Path) -> None:
        self.split, self.look, self.objects = [], [], []
        images, labels, foreground = [], [], []
        for split in SPLITS:
            for path in sorted(out.glob(f"{split}-*.h5")):
                with h5py.File(path) as shard:
                    rows = len(shard["label"])
                    self.split += [split] * rows
                    self.look += shard["look"][:].tolist()
                    images.append(shard["image"][:])
                    labels.append(shard["label"][:])
                    foreground.append(shard["foreground"][:])
                    self.objects += [shard["objects"][i][: shard["object_count"][i]] for i in range(rows)]
        self.image, self.label = np.concatenate(images), np.concatenate(labels)
        self.foreground = np.concatenate(foreground)

    def tables(self, split: str | None = None) -> np.ndarray:
        """Object rows of the first look."""
        chosen = zip(self.objects, self.split, self.look, strict=True)
        return np.concatenate([o for o, s, look in chosen if look == 0 and split in (None, s)]).astype(np.int64)


@pytest.fixture(scope="module")
def recount(folder: Path) -> Recount:
    return Recount(folder / "set")


def test_pixels_objects_and_unused_cells_of_each_class_and_split(folder: Path, recount: Recount) -> None:
    found, bank = stats(folder / "set", progress=False), load_bank(folder / "bank.h5")
    for number, split in enumerate(SPLITS):
        mine = np.array(recount.split) == split
        pixels = np.bincount(recount.label[mine].ravel(), minlength=len(KEYS)).tolist()
        told = found.splits[split]
        assert told["samples"] == mine.sum()
        assert told["pixels"] == dict(zip(KEYS, pixels, strict=True))
        assert told["objects"] == dict(zip(KEYS[1:], recount.foreground[mine].sum(axis=0).tolist(), strict=True))
        placed = set(recount.tables(split)[:, 1].tolist())
        unused = Counter(int(c) for i, c in enumerate(bank.class_id) if bank.split[i] == number and i not in placed)
        assert told["unused"] == {c.key: unused[c.id] for c in CLASSES[1:]}
    assert sum(sum(told["unused"].values()) for told in found.splits.values()) > 0
    assert found.samples == len(recount.label) == 2 * found.scenes


def test_sizes_and_what_is_visible_of_each_class(folder: Path, recount: Recount) -> None:
    found, objects = stats(folder / "set", progress=False), recount.tables()
    for c in CLASSES[1:]:
        mine, one = objects[objects[:, 0] == c.id], found.classes[c.key]
        full, share = mine[:, 13], mine[:, 12] / mine[:, 13]
        assert one.area == c.area
        assert (one.size.n, one.visible.n) == (len(mine), len(mine))
        assert [one.size.mean, one.size.sd] == pytest.approx([full.mean(), full.std()])
        quantiles = np.quantile(full, (0.05, 0.25, 0.5, 0.75, 0.95), method="inverted_cdf").tolist()
        assert [one.size.p5, one.size.p25, one.size.median, one.size.p75, one.size.p95] == quantiles
        assert one.visible.mean == pytest.approx(share.mean(), abs=0.001)
        assert one.visible.median == pytest.approx(np.quantile(share, 0.5, method="inverted_cdf"), abs=0.001)
        assert one.whole == pytest.approx((mine[:, 12] == mine[:, 13]).mean())


def test_density_and_coverage(folder: Path, recount: Recount) -> None:
    found, first = stats(folder / "set", progress=False), np.array(recount.look) == 0
    per_smear = np.array([len(o) for o in recount.objects])[first]
    covered = (recount.label[first] != 0).mean(axis=(1, 2))
    for one, values in ((found.objects, per_smear), (found.coverage, covered)):
        assert one.n == len(values) == 28
        assert [one.mean, one.sd, one.p95] == pytest.approx(
            [values.mean(), values.std(), np.quantile(values, 0.95, method="inverted_cdf")]
        )


def test_colours_of_cells_and_glass_in_each_look(folder: Path, recount: Recount) -> None:
    found = stats(folder / "set", progress=False)
    assert tuple(found.colours) == LOOKS
    for number, look in enumerate(LOOKS):
        mine = np.array(recount.look) == number
        image, label = recount.image[mine], recount.label[mine]
        assert found.colours[look].smears == mine.sum() < SAMPLED
        for colour, pixels in (
            (found.colours[look].cells, image[label > 0]),
            (found.colours[look].glass, image[label == 0]),
        ):
            assert colour.mean == pytest.approx(pixels.mean(axis=0))
            assert colour.sd == pytest.approx(pixels.std(axis=0))


def test_colours_are_taken_evenly_from_a_large_set(
    folder: Path, recount: Recount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smearsynth.dataset.distributions.SAMPLED", 4)
    colours = stats(folder / "set", progress=False).colours["reference"]
    rows = np.flatnonzero(np.array(recount.look) == 1)[[0, 9, 18, 27]]
    assert colours.smears == 4
    assert colours.cells.mean == pytest.approx(recount.image[rows][recount.label[rows] > 0].mean(axis=0))


@given(st.lists(st.lists(st.integers(0, 50), max_size=30), min_size=1, max_size=5), st.sampled_from([1, 10, 1000]))
def test_a_distribution_is_that_of_its_values(parts: list[list[int]], unit: int) -> None:
    distribution, values = Distribution(), np.array([v for part in parts for v in part], np.float64) / unit
    for part in parts:
        distribution.add(np.array(part, np.int64))
    one = distribution.quantiles(unit)
    assert (one is None) == (len(values) == 0)
    assume(one is not None)
    assert one.n == len(values) == distribution.counts.sum()
    assert [one.mean, one.sd] == pytest.approx([values.mean(), values.std()])
    due = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95), method="inverted_cdf")
    assert [one.p5, one.p25, one.median, one.p75, one.p95] == pytest.approx(due.tolist())


@pytest.mark.slow
def test_json_and_text_tell_the_same(folder: Path) -> None:
    told = json.loads(CliRunner().invoke(main, ["stats", str(folder / "set"), "--json"]).stdout)
    text = CliRunner().invoke(main, ["stats", str(folder / "set")]).stdout
    lines = [line.split() for line in text.splitlines()]
    assert f"small: {told['samples']} smears of 96x72 px" in text
    for key in KEYS[1:]:
        by_split, sizes = [line for line in lines if line[:1] == [key] and line[1] not in ("alpha", "beta")][:2]
        assert by_split[1::2] == [f"{told['splits'][split]['objects'][key]:,}" for split in SPLITS]
        assert sizes[1:4] == [
            f"{told['classes'][key]['size']['n']:,}",
            str(told["classes"][key]["area"]),
            f"{told['classes'][key]['size']['mean']:,.0f}",
        ]
        for source in ("alpha", "beta"):
            line = next(line for line in lines if line[:2] == [key, source])
            assert line[2:5] == [
                f"{told['splits'][split]['class_by_source'][key].get(source, 0):,}" for split in SPLITS
            ]


def test_what_the_index_knows_of_refusals_is_told_and_can_move_no_cursor(out: Path) -> None:
    with forged_index(out) as index:
        index["sources"] = [
            {"name": "al\x1b[2Jpha", "refused": {"basophil": {"cut": 7}}, "files_left_out": {"no mask": 3}},
            {"name": "beta"},
        ]
    found = stats(out, progress=False)
    assert (found.refused, found.files_left_out) == (
        {"al\x1b[2Jpha": {"basophil": {"cut": 7}}},
        {"al\x1b[2Jpha": {"no mask": 3}},
    )
    text = str(found)
    assert "\x1b" not in text
    assert "cut by the border of the image" in text


def test_an_index_that_its_shards_contradict_is_refused(out: Path) -> None:
    with forged_index(out) as index:
        index["splits"]["val"]["objects"]["monocyte"] += 1
    with pytest.raises(UserError, match=r"does not say what the shards of val hold: `smearsynth verify"):
        stats(out, progress=False)


@pytest.mark.parametrize(("column", "value"), [(0, 10), (0, 0), (12, 0), (12, 1 << 30)])
def test_objects_that_no_build_has_placed_are_refused(out: Path, column: int, value: int) -> None:
    with forged_shard(out, "val-00000.h5") as shard:
        shard["objects"][0, 1, column] = value
    with pytest.raises(UserError, match=r"val-00000\.h5: it has objects that no build has placed"):
        stats(out, progress=False)


def test_what_is_no_set_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["stats", str(tmp_path)])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
