"""The samples of a dataset by number: what was written comes back, and what is damaged or inconsistent is refused."""

import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from shard_set import PER_SHARD, picture, write_set, write_shard

from segtrain.data.dataloader import Loader
from segtrain.data.samples import Shards
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES

SIZE, COUNT = (24, 24), 23


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "set", size=SIZE, train=COUNT, val=5)


@pytest.fixture
def shards(root: Path) -> Shards:
    return Shards(root, "train")


class TestShards:
    def test_gives_what_was_written_across_shards_in_any_order(self, shards: Shards) -> None:
        assert len(shards) == COUNT
        assert shards.size == SIZE
        for i in (22, 0, PER_SHARD - 1, PER_SHARD, 13, 3):
            image, label = shards.read(i)
            expected = picture("train", i, SIZE)
            np.testing.assert_array_equal(image, expected.image)
            np.testing.assert_array_equal(label, expected.label)
            assert shards.sample_id(i) == f"train-{i:08d}"
        for i in (-1, COUNT):
            with pytest.raises(IndexError, match="samples 0 to 22"):
                shards.read(i)

    def test_taxonomy_and_digest_are_those_of_the_files(self, shards: Shards) -> None:
        assert shards.classes.keys == tuple(c.key for c in CLASSES)
        assert shards.classes.colours[8] == "#ff0000"
        assert shards.digest == "ab" * 32
        assert shards.um_per_px == 0.2

    def test_pixels_are_counted_where_the_index_has_none_and_ignored_ones_are_not(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=9)
        written = Shards(root, "train").pixels_per_class()
        index = json.loads((root / "index.json").read_text())
        del index["splits"]
        (root / "index.json").write_text(json.dumps(index))
        np.testing.assert_array_equal(Shards(root, "train").pixels_per_class(), written)
        assert written.dtype == np.int64
        assert written.sum() == 9 * SIZE[0] * SIZE[1]
        first = picture("train", 0, SIZE)
        first.label[:5] = 255
        write_shard(root / "train-00000.h5", "train", [first] * PER_SHARD)
        assert Shards(root, "train").pixels_per_class().sum() == (9 * SIZE[0] - 5 * PER_SHARD) * SIZE[1]

    def test_serves_threads_and_pickles(self, shards: Shards) -> None:
        copy = pickle.loads(pickle.dumps(shards))
        numbers = list(range(COUNT)) * 5
        with ThreadPoolExecutor(4) as pool:
            for i, (image, label) in zip(numbers, pool.map(copy.read, numbers), strict=True):
                expected = picture("train", i, SIZE)
                np.testing.assert_array_equal(image, expected.image)
                np.testing.assert_array_equal(label, expected.label)

    def test_mistakes_are_one_sentence(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"index\.json is missing: .* is no finished dataset"):
            Shards(tmp_path, "train")
        with pytest.raises(UserError, match="no samples in its split 'test'"):
            Shards(root, "test")
        (tmp_path / "index.json").write_text("{")
        with pytest.raises(UserError, match=r"index\.json cannot be read"):
            Shards(tmp_path, "train")

    def test_images_of_several_sizes_are_refused(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=PER_SHARD + 1)
        write_shard(root / "train-00001.h5", "train", [picture("train", 0, (16, 32))])
        with pytest.raises(UserError, match=r"train-00001\.h5: 32 x 16 px.*import them as patches of one size"):
            Loader(Shards(root, "train"), batch=2, shuffle=True)

    def test_class_ids_with_gaps_are_refused(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=1)
        with h5py.File(root / "train-00000.h5", "r+") as file:
            file.attrs["class_ids"] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12]
        with pytest.raises(UserError, match="number them from 0"):
            _ = Shards(root, "train").classes

    @pytest.mark.parametrize(
        ("attribute", "value", "sentence"),
        [
            ("class_keys", ["a", "b"], "class_ids, class_keys and class_colours differ in length"),
            ("class_colours", ["red"] * 10, "write each as"),
            ("um_per_px", float("nan"), "um_per_px is nan; state micrometres per pixel"),
            ("um_per_px", "x", "attribute um_per_px is 'x', which the format does not allow"),
            ("split", None, "attribute split is None, which the format does not allow"),
            ("format_version", 3, "use the release that wrote it"),
        ],
    )
    def test_a_header_that_makes_no_sense_is_refused(
        self, tmp_path: Path, attribute: str, value: object, sentence: str
    ) -> None:
        root = write_set(tmp_path, train=1)
        with h5py.File(root / "train-00000.h5", "r+") as file:
            del file.attrs[attribute]
            if value is not None:
                file.attrs[attribute] = value
        shards = Shards(root, "train")
        with pytest.raises(UserError, match=sentence):
            _ = shards.classes, shards.um_per_px

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            ([], "holds no mapping"),
            ({"files": None}, "no list of `files`"),
            ({"files": [1]}, "no list of `files`"),
            ({"digest": None}, "no `digest`"),
            ({"files": [{"split": "train", "samples": -3, "name": "x"}]}, "lacks its name or number of samples"),
            ({"files": [{"split": "train", "samples": "3", "name": "x"}]}, "lacks its name or number of samples"),
            ({"files": [{"split": "train", "samples": 3}]}, "lacks its name or number of samples"),
        ],
    )
    def test_an_index_that_is_none_is_refused(self, tmp_path: Path, change: object, sentence: str) -> None:
        path = write_set(tmp_path, train=1) / "index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change if isinstance(change, dict) else change))
        with pytest.raises(UserError, match=rf"index\.json.*{sentence}.*resume the build of the set"):
            Shards(tmp_path, "train")

    @pytest.mark.parametrize("pixels", [{"background": 3}, [1, 2], "x"])
    def test_pixels_of_other_classes_than_the_shards_have_are_refused(self, tmp_path: Path, pixels: object) -> None:
        path = write_set(tmp_path, train=1) / "index.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"splits": {"train": {"pixels": pixels}}}))
        with pytest.raises(UserError, match=r"index\.json: splits\.train\.pixels is not a number for each class"):
            Shards(tmp_path, "train").pixels_per_class()

    def test_a_shard_that_is_not_as_the_index_says_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        def refusal(name: str, change: Callable[[h5py.File], None]) -> str:
            root = write_set(tmp_path / name, train=PER_SHARD + 2)
            with h5py.File(root / "train-00001.h5", "r+") as file:
                change(file)
            with pytest.raises(UserError, match=r"train-00001\.h5") as caught:
                Loader(Shards(root, "train"), batch=2, shuffle=True)
            return str(caught.value)

        def replace(file: h5py.File, name: str, values: np.ndarray) -> None:
            del file[name]
            file[name] = values

        assert "no dataset image" in refusal("no image", lambda f: f.pop("image"))
        assert "no dataset sample_id" in refusal("no names", lambda f: f.pop("sample_id"))
        of_two = "must be u1 (2, 24, 24, 3)"
        short = refusal("short", lambda f: replace(f, "image", f["image"][:1]))
        assert f"image is uint8 (1, 24, 24, 3), {of_two}" in short
        grey = refusal("grey", lambda f: replace(f, "image", f["image"][..., :1]))
        assert f"image is uint8 (2, 24, 24, 1), {of_two}" in grey
        floats = refusal("float", lambda f: replace(f, "image", f["image"][:].astype("f4")))
        assert f"image is float32 (2, 24, 24, 3), {of_two}" in floats

    def test_a_missing_shard_is_called_missing(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=1)
        (root / "train-00000.h5").unlink()
        with pytest.raises(UserError, match=r"train-00000\.h5 is missing: put it back"):
            _ = Shards(root, "train").size

    def test_a_label_of_no_class_is_refused_where_it_is_read(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=3)
        with h5py.File(root / "train-00000.h5", "r+") as file:
            label = file["label"][1]
            label[0, :2] = 255, 10
            file["label"][1] = label
        index = json.loads((root / "index.json").read_text())
        (root / "index.json").write_text(json.dumps({**index, "splits": {}}))
        shards = Shards(root, "train")
        assert shards.read(0)[1].shape == SIZE
        for reads in (lambda: shards.read(1), shards.pixels_per_class):
            with pytest.raises(UserError, match=r"train-00000\.h5: row 1 has the label 10.*\(0 to 9\) nor 255"):
                reads()

    def test_a_split_without_a_labelled_pixel_is_refused(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=2)
        with h5py.File(root / "train-00000.h5", "r+") as file:
            file["label"][...] = 255
        index = json.loads((root / "index.json").read_text())
        (root / "index.json").write_text(json.dumps({**index, "splits": {}}))
        with pytest.raises(UserError, match="no pixel of any class in its split 'train'"):
            Shards(root, "train").pixels_per_class()
