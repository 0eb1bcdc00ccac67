"""`smearsynth.open`: a set and its recipe hold the same smears; splits are sequences; torch gets them as it wants."""

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from grafted_bank import grafted
from image_folders import imported_patches
from shard_set import write_set

import smearsynth
from smearsynth.bank.bank_file import save_bank
from smearsynth.base.errors import UserError
from smearsynth.dataset.smears import Sample, SmearSplit
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.taxonomy import CLASSES, SPLITS

Array = np.ndarray[Any, Any]


def stored(folder: Path, split: str, name: str) -> Array:
    with h5py.File(folder / f"{split}-00000.h5") as shard:
        return shard[name][:]


def assert_same(a: Sample, b: Sample) -> None:
    assert (a.id, a.digest) == (b.id, b.digest)
    for name in ("image", "label", "instance", "objects"):
        assert getattr(a, name).dtype == getattr(b, name).dtype
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_a_set_and_its_recipe_hold_the_same_smears(built: Path) -> None:
    of_set = smearsynth.open(built / "set")
    of_recipe = smearsynth.open(built / "small.yaml", bank=built / "bank.h5", overrides=["count.train=3"])
    assert list(of_set) == list(of_recipe) == list(SPLITS)
    assert (
        of_set.digest
        == smearsynth.build(
            built / "small.yaml", bank=built / "bank.h5", out=built / "again", limit=3, workers=1, progress=False
        ).digest
    )
    for split in SPLITS:
        assert [s.digest.encode() for s in of_set[split]] == stored(built / "set", split, "digest").tolist()
        for i, sample in enumerate(of_set[split]):
            assert sample.id.encode() == stored(built / "set", split, "sample_id")[i]
            assert_same(sample, of_recipe[split][i])
    # Beyond the count of a recipe too, for a sample depends on no other.
    alone = smearsynth.render(built / "small.yaml", "train", 2, bank=built / "bank.h5", overrides=["count.train=1"])
    assert_same(alone, of_set["train"][2])


@pytest.mark.slow
def test_looks_and_parasites_of_a_recipe_are_those_of_its_set(tmp_path: Path) -> None:
    recipe = tmp_path / "rings.yaml"
    recipe.write_text(
        "version: 1\nname: rings\nsize: 96\ncount: {train: 2, val: 0, test: 1}\nlooks: [natural, reference]\n"
        "sources: [{kind: crops, root: x}]\nscene: {combinations: [none/mixed]}\n"
    )
    save_bank(grafted(), tmp_path / "bank.h5")
    small = {"bank": tmp_path / "bank.h5", "workers": 1, "progress": False}
    smearsynth.build(recipe, out=tmp_path / "set", **small)
    of_set, of_recipe = smearsynth.open(tmp_path / "set"), smearsynth.open(recipe, **small)
    assert [s.id for s in of_recipe["train"]][::2] == ["train-00000000", "train-00000001"]
    assert {split: len(smears) for split, smears in of_recipe.items()} == {"train": 4, "test": 2}
    assert any((sample.parasite == 1).any() for sample in of_set["train"])
    for split, smears in of_set.items():
        for mine, theirs in zip(smears, of_recipe[split], strict=True):
            assert_same(mine, theirs)
            np.testing.assert_array_equal(mine.parasite, theirs.parasite)


def test_a_split_is_a_sequence_of_writable_samples(built: Path) -> None:
    smears = smearsynth.open(built / "set")["train"]
    assert len(smears) == 3
    assert [s.id for s in smears[::-1]] == [s.id for s in smears][::-1]
    assert smears[-1].id == smears[np.int64(2)].id == smears[1:][1].id == "train-00000002"
    assert isinstance(smears[1:], SmearSplit)
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"no sample {index}: these are 3 of split 'train'"):
            smears[index]
    with pytest.raises(TypeError):
        smears["0"]  # type: ignore[call-overload]
    sample = smears[0]
    for name in ("image", "label", "instance", "objects"):
        getattr(sample, name)[:] = np.zeros_like(getattr(sample, name))
    assert smears[0].label.any()
    assert "train-00000000: 96 x 72 px" in repr(smears[0])
    assert smears[0]._repr_png_().startswith(b"\x89PNG")


def test_objects_have_named_columns(built: Path) -> None:
    sample = smearsynth.open(built / "set")["val"][1]
    rows = stored(built / "set", "val", "objects")[1][: len(sample.objects)]
    assert sample.objects.dtype.names == OBJECT_FIELDS
    np.testing.assert_array_equal(sample.objects["visible"], rows[:, 12])
    for number, row in enumerate(sample.objects):
        mine = sample.instance == number + 1
        assert mine.sum() == row["visible"]
        assert (sample.label[mine] == row["class"]).all()
    assert sample.object_keys == [CLASSES[c].key for c in rows[:, 0]]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert pandas.DataFrame(sample.objects)["full"].tolist() == rows[:, 13].tolist()


def test_an_imported_set_knows_no_cells(tmp_path: Path) -> None:
    split, smears = next(iter(smearsynth.open(imported_patches(tmp_path)).items()))
    sample = smears[0]
    assert (sample.instance, sample.objects, sample.parasite, sample.object_keys) == (None, None, None, [])
    assert smears.maps == ("image", "label")
    assert sample.digest.encode() == h5py.File(sorted(tmp_path.rglob(f"{split}-*.h5"))[0])["digest"][0]
    with pytest.raises(UserError, match=r"'instance' is no map that these smears have; they have neither .* \(maps\)"):
        smears.torch(maps=["instance"])


def test_what_is_not_there_is_named(built: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"set has no split 'training': name one of train, val, test\.|small has no"):
        smearsynth.open(built / "set")["training"]
    with pytest.raises(UserError, match=r"index\.json is missing"):
        smearsynth.open(tmp_path)
    with pytest.raises(UserError, match=r"nothing\.yaml"):
        smearsynth.open(tmp_path / "nothing.yaml")
    with pytest.raises(UserError, match=r"is a set, .*\(bank, overrides\)"):
        smearsynth.open(built / "set", bank=built / "bank.h5")
    for split, index, word in (("training", 0, "split"), ("train", -1, "index")):
        with pytest.raises(UserError, match=rf"\({word}\)"):
            smearsynth.render(built / "small.yaml", split, index, bank=built / "bank.h5")
    (tmp_path / "index.json").write_text('{"files": [{"split": "train", "samples": 3, "name": "../x.h5"}]}')
    with pytest.raises(UserError, match="no index of a set"):
        smearsynth.open(tmp_path)


def test_torch_gets_images_and_maps(tmp_path: Path) -> None:
    smears = smearsynth.open(write_set(tmp_path / "set", train=3, cells=True))["train"]
    image, label, instance, parasite = smears.torch(maps=["instance", "parasite"])[1]
    expected = smears[1]
    np.testing.assert_array_equal((image.numpy() * 255).round(), expected.image.transpose(2, 0, 1))
    for given, name in ((label, "label"), (instance, "instance"), (parasite, "parasite")):
        assert str(given.dtype) == "torch.int64"
        np.testing.assert_array_equal(given.numpy(), getattr(expected, name))


def stain(image: Array, mask: Array) -> dict[str, Array]:
    """A transform that draws from every generator that a user's may draw from."""
    import random

    import torch

    drawn = random.randrange(9), np.random.randint(9), int(torch.randint(9, ()))  # noqa: NPY002
    return {"image": image // np.array(drawn, np.uint8).clip(1), "mask": mask[:, ::-1]}


def albumentations() -> Any:
    import albumentations as A  # noqa: N812

    return A.Compose([A.D4(p=1), A.GaussNoise(p=0.5), A.RandomBrightnessContrast(p=0.5)])


@pytest.mark.parametrize(
    ("transform", "start"),
    [
        pytest.param(lambda: stain, "fork"),
        pytest.param(albumentations, "fork"),
        pytest.param(albumentations, "spawn", marks=pytest.mark.slow),
    ],
)
def test_a_transform_draws_the_same_in_any_worker(tmp_path: Path, transform: Any, start: str) -> None:
    import torch
    from torch.utils.data import DataLoader

    smears = smearsynth.open(write_set(tmp_path / "set", train=6))["train"]
    dataset = smears.torch(transform(), seed=5)
    load = partial(DataLoader, dataset, 2)
    several = load(num_workers=2, multiprocessing_context=start, persistent_workers=True)
    epochs = []
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        epochs.append([dataset[i] for i in range(6)])
        batches = [
            (torch.stack(images), torch.stack(labels))
            for images, labels in (zip(*epochs[-1][first : first + 2], strict=True) for first in (0, 2, 4))
        ]
        for expected, batch in zip(batches, several, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(expected, batch, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(*epochs, strict=True))
    dataset.set_epoch(0)
    # Of a view, the same: what is drawn belongs to the sample, not to its place.
    assert torch.equal(smears[3:].torch(transform(), seed=5)[1][0], epochs[0][4][0])
    assert not torch.equal(smears.torch(transform(), seed=6)[4][0], epochs[0][4][0])
    # And the caller's own generators are as they were.
    state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    assert torch.equal(dataset[4][0], epochs[0][4][0])
    assert np.array_equal(np.random.get_state()[1], state[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[1])


def test_a_transform_of_another_kind_is_refused(tmp_path: Path) -> None:
    smears = smearsynth.open(write_set(tmp_path / "set", train=1))["train"]
    with pytest.raises(UserError, match=r"the transform gave ndarray: .*image and mask.* \(transform\)"):
        smears.torch(lambda image, mask: image)[0]  # noqa: ARG005
    floats = smears.torch(lambda image, mask: {"image": image / np.float32(2), "mask": mask})[0][0]
    np.testing.assert_array_equal(floats.numpy(), smears[0].image.transpose(2, 0, 1) / np.float32(2))


@pytest.mark.slow
def test_smears_of_a_recipe_go_to_other_processes(built: Path) -> None:
    smears = smearsynth.open(built / "small.yaml", bank=built / "bank.h5")["test"]
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)[1].digest)"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(smears), capture_output=True, check=True)
    assert done.stdout.split() == [stored(built / "set", "test", "digest")[1]]


def test_smearsynth_is_light_to_import() -> None:
    code = "import sys, smearsynth; smearsynth.open; print(*{'torch', 'matplotlib'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == []
