"""Parasite masks of scenes and sets: derived as a naive loop derives them, stored, verified, replayed and exported."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from grafted_bank import grafted
from naive_scene import naive_footprints
from PIL import Image
from small_set import RECIPE

from smearsynth.bank import bank_file
from smearsynth.bank.bank import Bank
from smearsynth.recipe.scene_options import SceneSpec
from smearsynth.scene.parasite_maps import derive_parasites
from smearsynth.scene.planner import Planner
from smearsynth.shards.format import sample_digest
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import INFECTED_RBC
from smearsynth.verbs.build import build
from smearsynth.verbs.export import export
from smearsynth.verbs.replay import replay
from smearsynth.verbs.verify import verify

SIZE = 120, 150


@pytest.fixture(scope="module")
def bank() -> Bank:
    return grafted()


@pytest.fixture(scope="module")
def made(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grafted")
    (folder / "small.yaml").write_text(RECIPE.replace("20, val: 5, test: 3", "3, val: 1, test: 1"))
    bank_file.save_bank(bank, folder / "bank.h5")
    build(folder / "small.yaml", out=folder / "set", bank=folder / "bank.h5", workers=1, progress=False)
    return folder


def naive_parasites(objects: np.ndarray, bank: Bank, size: tuple[int, int]) -> np.ndarray:
    """One cell after the other, in whole planes."""
    prints = naive_footprints(objects, bank, size)[:, 128:-128, 128:-128]
    found = np.zeros(size, np.uint8)
    ys, xs = np.mgrid[: size[0], : size[1]]
    for row, inside in zip(objects, prints, strict=True):
        class_id, cell, cx, cy, angle, flip, scale = (int(v) for v in row[:7])
        values = bank.parasite_map(cell)
        cos, sin = (int(np.rint(65536 * f(angle * np.pi / 32768))) for f in (np.cos, np.sin))
        a, b = (cos * 65536 + scale // 2) // scale, (sin * 65536 + scale // 2) // scale
        dx, dy = xs * 256 - cx, ys * 256 - cy
        u, v = a * dx + b * dy, -b * dx + a * dy
        column = ((-u if flip else u) + ((values.shape[1] - 1) << 23) + (1 << 23)) >> 24
        line = (v + ((values.shape[0] - 1) << 23) + (1 << 23)) >> 24
        own = np.zeros(size, np.uint8)
        own[inside] = values[line[inside], column[inside]]
        hidden = inside & (own == 0) & (found != 0) & (class_id >= INFECTED_RBC)
        found[inside] = own[inside]
        found[hidden] = 255
    return found


def test_masks_equal_the_naive_derivation(bank: Bank) -> None:
    spec = SceneSpec(overlap=0.5, overlapping_range=(0.5, 0.5), density_range=(0.5, 0.7), scale_range=(0.8, 1.2))
    planner, seen = Planner(spec, (), SIZE, 3, bank), set()
    for index in range(0, 108, 9):
        scene = planner.plan("train", index)
        assert scene.parasite is not None
        assert np.array_equal(scene.parasite, naive_parasites(scene.objects, bank, SIZE))
        assert not scene.parasite[scene.label < INFECTED_RBC].any()
        assert set(np.unique(scene.parasite[scene.label != INFECTED_RBC])) <= {0, 255}
        seen |= set(np.unique(scene.parasite).tolist())
    assert seen == {0, 1, 255}


def test_a_set_holds_them_and_is_verified_with_them(made: Path, bank: Bank) -> None:
    reader = ShardReader(made / "set" / "train-00000.h5")
    assert reader.header.has_parasites
    masks = [reader.read("parasite", row).view(np.uint8) for row in range(len(reader))]
    assert any((mask == 1).any() for mask in masks)
    for row, mask in enumerate(masks):
        assert np.array_equal(mask, derive_parasites(reader.objects(row), bank, mask.shape))
    assert not verify(made / "set", labels=True, workers=1, progress=False).errors


def test_a_mask_that_was_changed_is_named(made: Path, tmp_path: Path) -> None:
    forged = Path(shutil.copytree(made / "set", tmp_path / "set"))
    with h5py.File(forged / "train-00000.h5", "r+") as file:
        maps = [file[name][0] for name in ("image", "label", "instance", "parasite")]
        maps[3][5, 7] = 1 if maps[3][5, 7] != 1 else 0
        file["parasite"][0] = maps[3]
        file["digest"][0] = sample_digest(*maps).encode()
    errors = [str(error) for error in verify(forged, labels=True, workers=1, progress=False).errors]
    assert any("parasite is not what objects and bank give at 1 pixels, first at x=7, y=5" in what for what in errors)


def test_a_sample_is_replayed_and_exported_with_its_mask(made: Path, tmp_path: Path) -> None:
    assert not replay(made / "set", "train-00000001").differs
    export(made / "set", out=tmp_path / "png", format="png", progress=False)
    reader = ShardReader(made / "set" / "train-00000.h5")
    stored = np.asarray(Image.open(tmp_path / "png" / "train" / "parasite" / "train-00000001.png"))
    assert np.array_equal(stored, reader.read("parasite", 1))
