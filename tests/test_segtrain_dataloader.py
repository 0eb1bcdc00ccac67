"""Batches: what one holds is a function of (seed, epoch, step), for any workers, ranks or memory."""

import subprocess
import sys
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from shard_set import picture, write_set

from segtrain.data.augmentation import AugmentSpec
from segtrain.data.dataloader import Loader, default_workers
from segtrain.data.in_memory import InMemoryDataset, memory_for
from segtrain.data.sampler import Budget, shuffled_order
from segtrain.data.samples import Shards
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores
from smearsynth.taxonomy import INFECTED_RBC

SIZE, COUNT = (24, 24), 23
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
        assert numbers == shuffled_order(COUNT, 4, 2).tolist()
        assert len(loader) == 5
        assert loader.waited > 0
        loader.close()

    def test_its_length_is_known_without_a_shuffle(self, shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
        loader = Loader(shards, batch=5, shuffle=True)
        monkeypatch.setattr("segtrain.data.sampler.shuffled_order", None)
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
        resident = InMemoryDataset(shards, where, workers=2)
        assert not resident.on_gpu
        for workers in (0, 2):
            assert_same(
                contents(Loader(resident, batch=4, shuffle=True, augment=ALL, workers=workers), 1),
                contents(Loader(shards, batch=4, shuffle=True, augment=ALL), 1),
            )

    def test_maps_of_cells_and_parasites_come_where_they_are_asked_for(self, tmp_path: Path) -> None:
        shards = Shards(write_set(tmp_path / "set", size=SIZE, cells=True, train=COUNT), "train")
        maps = ("instance", "parasite")
        [plain] = Loader(shards, batch=COUNT, shuffle=False).epoch(0)
        assert plain.instance is plain.parasite is None
        [batch] = Loader(shards, batch=COUNT, shuffle=False, maps=maps).epoch(0)
        for i in range(COUNT):
            expected = picture("train", i, SIZE, cells=True)
            np.testing.assert_array_equal(batch.instance[i], expected.instance)
            np.testing.assert_array_equal(batch.parasite[i], expected.parasite)
        assert set(batch.parasite.unique().tolist()) == {0, 1, 255}
        resident = InMemoryDataset(shards, torch.device("cpu"), workers=2, maps=maps)
        first, second, alone = (
            next(Loader(source, batch=9, shuffle=True, augment=ALL, maps=asked, workers=0).epoch(1))
            for source, asked in ((shards, maps), (resident, maps), (shards, ()))
        )
        assert first.maps.keys() == second.maps.keys() == {"label", *maps}
        assert all(torch.equal(first.maps[name], second.maps[name]) for name in first.maps)
        # What is asked for beside image and label changes neither.
        assert torch.equal(first.image, alone.image)
        assert torch.equal(first.label, alone.label)
        # Wherever a cell went, its label and its parasite went with it.
        for instance, label, parasite, number in zip(
            first.instance, first.label, first.parasite, first.number.tolist(), strict=True
        ):
            kinds = picture("train", number, SIZE, cells=True).objects[:, 0]
            inside = (instance > 0).numpy()
            np.testing.assert_array_equal(label[inside], kinds[instance[inside].numpy() - 1])
            assert ((label[parasite == 1] == INFECTED_RBC) | (label[parasite == 1] == 255)).all()

    def test_a_parasite_mask_of_other_values_is_refused(self, tmp_path: Path) -> None:
        root = write_set(tmp_path / "set", size=SIZE, cells=True, train=3)
        with h5py.File(root / "train-00000.h5", "r+") as file:
            file["parasite"][1, 0, 0] = 2
        with pytest.raises(UserError, match=r"`parasite` of row 1 is neither 0, 1 nor 255"):
            Shards(root, "train").more_maps(1, ["parasite"])

    def test_a_set_too_large_for_the_memory_is_refused(self, shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("segtrain.data.in_memory._SHARE", 1e-9)
        with pytest.raises(UserError, match=r"split 'train' takes 0\.0 GB, .*leave `resident` out"):
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

    @pytest.mark.slow
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
        resident = InMemoryDataset(shards, memory_for(shards, self.DEVICE), workers=2)
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
            Loader(InMemoryDataset(shards, self.DEVICE, workers=2), **options)


def test_where_the_system_does_not_say_which_cores_are_free_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert usable_cores() == 6
    assert default_workers(torch.device("cuda")) == 3
    assert default_workers(torch.device("cpu")) == 1


def test_a_sample_that_comes_twice_in_an_epoch_is_varied_anew(tmp_path: Path) -> None:
    shards = Shards(write_set(tmp_path / "set", size=(16, 16), train=3, val=1), "train")
    spec = AugmentSpec(noise_range=(1.0, 20.0))
    loader = Loader(shards, batch=3, shuffle=True, augment=spec, budget=Budget(12, 1), workers=0)
    seen, again = ([i.numpy().tobytes() for b in loader.epoch(0, start) for i in b.image] for start in (0, 2))
    assert len(set(seen)) == 12
    assert again == seen[6:], "a resumed epoch goes on with the same batches"
