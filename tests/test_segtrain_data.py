"""Reading and batching: what a batch holds is a function of (seed, epoch, step), for any workers, ranks or memory."""

import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shard_set import PER_SHARD, picture, write_set, write_shard

from segtrain.data.augmentation import AugmentSpec
from segtrain.data.dataloader import Loader, default_workers
from segtrain.data.in_memory import Resident, memory_for
from segtrain.data.keyed_noise import keys, uniforms
from segtrain.data.sampler import evaluation_batches, order, training_batches
from segtrain.data.samples import Shards
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores
from smearsynth.taxonomy import CLASSES

SIZE = (24, 24)
COUNT = 23
GOLDEN_ORDER = [0, 11, 9, 1, 6, 3, 5, 4, 10, 2, 8, 7]
GOLDEN_KEY = 15020427595393229491
ALL = AugmentSpec(
    flips=True,
    quarter_turns=True,
    scale_range=(0.8, 1.25),
    od_gain_range=(0.8, 1.25),
    od_offset_range=(-0.1, 0.1),
    blur_range=(0, 1.5),
    noise_range=(0, 8),
    jpeg_range=(60, 100),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "set", size=SIZE, train=COUNT, val=5)


@pytest.fixture
def shards(root: Path) -> Shards:
    return Shards(root, "train")


def contents(loader: Loader, epoch: int, start: int = 0) -> list[tuple[np.ndarray, np.ndarray, list[int]]]:
    batches = [(b.image.numpy(), b.label.numpy(), b.number.tolist()) for b in loader.epoch(epoch, start)]
    loader.close()
    return batches


def assert_same(one: list, other: list) -> None:
    assert len(one) == len(other)
    for (image, label, number), (image_2, label_2, number_2) in zip(one, other, strict=True):
        assert number == number_2
        np.testing.assert_array_equal(image, image_2)
        np.testing.assert_array_equal(label, label_2)


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
        numbers = list(range(COUNT)) * 20
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
            ("format_version", 2, "use the release that wrote it"),
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
        with pytest.raises(UserError, match=rf"index\.json.*{sentence}.*build the set again"):
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


class TestOrder:
    @given(n=st.integers(0, 300), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 10**6))
    def test_is_a_permutation_and_a_pure_function(self, n: int, seed: int, epoch: int) -> None:
        first = order(n, seed, epoch)
        assert sorted(first.tolist()) == list(range(n))
        np.testing.assert_array_equal(first, order(n, seed, epoch))

    def test_is_golden(self) -> None:
        """A resumed run must find the order it left, whatever numpy is installed."""
        assert order(12, 0, 0).tolist() == GOLDEN_ORDER
        assert keys(1, 2, np.array([3])).tolist() == [GOLDEN_KEY]

    def test_differs_by_seed_and_epoch_and_leaves_nothing_in_place(self) -> None:
        orders = {tuple(order(50, seed, epoch)) for seed in range(10) for epoch in range(10)}
        assert len(orders) == 100
        home = np.mean([order(50, 3, epoch) == np.arange(50) for epoch in range(200)])
        assert home == pytest.approx(1 / 50, abs=0.006)

    def test_draws_are_even_and_those_of_neighbours_unrelated(self) -> None:
        u = uniforms(keys(0, 0, np.arange(20_000)), 3)
        assert u.min() >= 0
        assert u.max() < 1
        np.testing.assert_allclose(np.histogram(u[:, 0], bins=10, range=(0, 1))[0], 2000, atol=200)
        related = np.corrcoef([u[:-1, 0], u[1:, 0], u[:-1, 1], u[:-1, 2]]) - np.eye(4)
        assert np.abs(related).max() < 0.03

    @given(n=st.integers(0, 200), batch=st.integers(1, 40), world=st.integers(1, 5), epoch=st.integers(0, 50))
    def test_training_ranks_share_evenly(self, n: int, batch: int, world: int, epoch: int) -> None:
        samples = np.arange(n) * 3
        ranks = [training_batches(samples, batch, seed=1, epoch=epoch, rank=rank, world=world) for rank in range(world)]
        assert len({tuple(map(len, batches)) for batches in ranks}) == 1
        seen = [int(i) for batches in ranks for step in batches for i in step]
        assert len(set(seen)) == len(seen) == n - n % world
        assert set(seen) <= set(samples.tolist())
        assert all(1 <= len(step) <= batch for step in ranks[0])
        one = training_batches(samples[: n - n % world], batch * world, seed=1, epoch=epoch)
        if n % world == 0:
            together = [np.concatenate(steps) for steps in zip(*ranks, strict=True)]
            assert [sorted(step.tolist()) for step in one] == [sorted(step.tolist()) for step in together]

    @given(n=st.integers(0, 200), batch=st.integers(1, 40), world=st.integers(1, 5))
    def test_evaluation_ranks_see_every_sample_once(self, n: int, batch: int, world: int) -> None:
        samples = np.arange(n) + 7
        ranks = [evaluation_batches(samples, batch, rank=rank, world=world) for rank in range(world)]
        assert [int(i) for batches in ranks for step in batches for i in step] == samples.tolist()


class TestLoader:
    def test_a_batch_holds_its_samples(self, shards: Shards) -> None:
        loader = Loader(shards, batch=5, shuffle=True, seed=4)
        numbers = []
        for batch in loader.epoch(2):
            assert batch.image.dtype == batch.label.dtype == torch.uint8
            assert batch.image.is_contiguous(memory_format=torch.channels_last)
            for image, label, i in zip(batch.image, batch.label, batch.number.tolist(), strict=True):
                expected = picture("train", i, SIZE)
                np.testing.assert_array_equal(image.permute(1, 2, 0), expected.image)
                np.testing.assert_array_equal(label, expected.label)
            numbers += batch.number.tolist()
        assert numbers == order(COUNT, 4, 2).tolist()
        assert len(loader) == 5
        assert loader.waited > 0
        loader.close()

    def test_its_length_is_known_without_a_shuffle(self, shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
        loader = Loader(shards, batch=5, shuffle=True)
        monkeypatch.setattr("segtrain.data.sampler.order", None)
        assert len(loader) == 5

    def test_workers_change_nothing(self, shards: Shards) -> None:
        one, *others = (
            contents(Loader(shards, batch=4, shuffle=True, augment=ALL, workers=workers), 3) for workers in (0, 1, 2)
        )
        for other in others:
            assert_same(one, other)

    def test_batch_size_and_rank_change_no_sample(self, shards: Shards) -> None:
        def by_number(**options: int) -> dict[int, bytes]:
            loader = Loader(shards, shuffle=True, augment=ALL, seed=9, **options)
            return {
                n: image[k].tobytes() + label[k].tobytes()
                for image, label, number in contents(loader, 1)
                for k, n in enumerate(number)
            }

        whole = by_number(batch=23)
        assert len(whole) == COUNT
        assert by_number(batch=1) == whole
        shared = by_number(batch=3, rank=0, world=2) | by_number(batch=3, rank=1, world=2)
        assert shared.items() <= whole.items()
        assert len(shared) == COUNT - 1

    def test_an_epoch_can_start_at_any_step_and_workers_outlast_epochs(self, shards: Shards) -> None:
        whole = contents(Loader(shards, batch=4, shuffle=True, augment=ALL), 5)
        for start in (0, 1, 4, 6):
            assert_same(
                contents(Loader(shards, batch=4, shuffle=True, augment=ALL, workers=2), 5, start), whole[start:]
            )
        loader = Loader(shards, batch=4, shuffle=True, augment=ALL, workers=2)
        next(loader.epoch(0))
        before = threading.active_count()
        assert_same([(b.image.numpy(), b.label.numpy(), b.number.tolist()) for b in loader.epoch(5)], whole)
        assert threading.active_count() == before
        loader.close()
        assert threading.active_count() < before

    def test_evaluation_is_in_order_and_a_choice_of_samples_is_kept_to(self, shards: Shards) -> None:
        numbers = [b.number.tolist() for b in Loader(shards, batch=10, shuffle=False).epoch(0)]
        assert numbers == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
        some = Loader(shards, batch=2, shuffle=True, samples=np.array([3, 11, 19]))
        assert {n for b in some.epoch(0) for n in b.number.tolist()} == {3, 11, 19}

    def test_resident_gives_the_same_batches(self, shards: Shards) -> None:
        where = memory_for(shards, torch.device("cpu"))
        resident = Resident(shards, where, workers=2)
        assert not resident.on_gpu
        for workers in (0, 2):
            assert_same(
                contents(Loader(resident, batch=4, shuffle=True, augment=ALL, workers=workers), 1),
                contents(Loader(shards, batch=4, shuffle=True, augment=ALL), 1),
            )

    def test_a_set_too_large_for_the_memory_is_refused(self, shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("segtrain.data.in_memory._SHARE", 1e-9)
        with pytest.raises(UserError, match=r"split 'train' takes 0\.0 GB as uint8.*leave --resident out"):
            memory_for(shards, torch.device("cpu"))

    def test_a_fault_in_a_worker_is_raised_where_its_batch_is_due(self, tmp_path: Path) -> None:
        root = write_set(tmp_path, train=COUNT)
        path = root / "train-00001.h5"
        with h5py.File(path) as file:
            chunk = file["image"].id.get_chunk_info(3)
        with path.open("r+b") as raw:
            raw.seek(chunk.byte_offset + chunk.size // 2)
            raw.write(bytes(60))
        loader = Loader(Shards(root, "train"), batch=4, shuffle=False, workers=2)
        batches = loader.epoch(0)
        assert [next(batches).number.tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
        with pytest.raises(UserError, match=r"train-00001\.h5: row 3 of image is damaged"):
            next(batches)
        loader.close()

    def test_an_epoch_that_is_left_early_leaves_no_work_behind(self, root: Path) -> None:
        class Counting(Shards):
            def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
                read.append(i)
                return super().read(i)

        read: list[int] = []
        loader = Loader(Counting(root, "train"), batch=1, shuffle=False, workers=1)
        batches = loader.epoch(0)
        next(batches)
        batches.close()
        loader.close()
        assert read == list(range(len(read)))
        assert len(read) <= 3

    def test_what_cannot_be_augmented_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        wide = Shards(write_set(tmp_path, size=(16, 24), train=2), "train")
        with pytest.raises(UserError, match="quarter_turns needs square images, these are 24 x 16 px"):
            Loader(wide, batch=2, shuffle=True, augment=AugmentSpec(quarter_turns=True))

    def test_without_augmentation_albumentations_is_not_loaded(self, root: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from segtrain.data.dataloader import Loader, Shards\n"
            f"list(Loader(Shards(Path({str(root)!r}), 'train'), batch=8, shuffle=True).epoch(0))\n"
            "print(not {'albumentations', 'cv2', 'scipy'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert done.stdout.strip() == "True"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnGpu:
    DEVICE = torch.device("cuda")
    SPEC = ALL.model_copy(update={"jpeg_range": (100, 100)})

    def test_streamed_and_resident_batches_are_the_same(self, shards: Shards) -> None:
        resident = Resident(shards, memory_for(shards, self.DEVICE), workers=2)
        assert resident.on_gpu
        options = {"batch": 4, "shuffle": True, "augment": self.SPEC, "device": self.DEVICE}
        for one, other in zip(
            Loader(shards, workers=3, **options).epoch(2), Loader(resident, **options).epoch(2), strict=True
        ):
            assert one.image.device.type == one.label.device.type == "cuda"
            assert one.image.is_contiguous(memory_format=torch.channels_last)
            assert one.number.tolist() == other.number.tolist()
            assert torch.equal(one.image, other.image)
            assert torch.equal(one.label, other.label)

    def test_augments_as_the_host_does(self, shards: Shards) -> None:
        options = {"batch": 8, "shuffle": True, "augment": self.SPEC}
        for gpu, cpu in zip(
            Loader(shards, device=self.DEVICE, **options).epoch(0), Loader(shards, **options).epoch(0), strict=True
        ):
            assert torch.equal(gpu.label.cpu(), cpu.label)
            assert (gpu.image.cpu().int() - cpu.image.int()).abs().max() <= 6

    def test_jpeg_is_done_on_the_host_and_refused_within_the_gpu(self, shards: Shards) -> None:
        options = {"batch": 8, "shuffle": True, "augment": ALL, "device": self.DEVICE}
        for gpu, cpu in zip(
            Loader(shards, **options).epoch(0), Loader(shards, **options | {"device": "cpu"}).epoch(0), strict=True
        ):
            assert torch.equal(gpu.image.cpu(), cpu.image)
        with pytest.raises(UserError, match="jpeg_range works on the host only"):
            Loader(Resident(shards, self.DEVICE, workers=2), **options)


def test_where_the_system_does_not_say_which_cores_are_free_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert usable_cores() == 6
    assert default_workers(torch.device("cuda")) == 3
    assert default_workers(torch.device("cpu")) == 1
