"""verify: shards that were changed by somebody who made all digests good."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from forged_set import forged_index, forged_shard
from isal import isal_zlib
from mostly_slow import mostly_slow
from small_set import small_build
from verified_set import FIELD, TRAIN, errors

from smearsynth.dataset.verify.sample_check import count_maps


class TestLabels:
    """Changes that were made good by whoever made them: all digests fit, and what a shard shows agrees."""

    def test_one_pixel(self, out: Path) -> None:
        with forged_shard(out, TRAIN) as shard:
            row, x, y = pixel_inside_a_box(shard)
            shard["label"][1, y, x] = shard["instance"][1, y, x] = 0
            objects = shard["objects"][1]
            objects[row, FIELD["visible"]] -= 1
            shard["objects"][1] = objects
        assert errors(out) == []
        found = errors(out, labels=True)
        assert len(found) == 3
        start = f"{TRAIN}: train-00000001: "
        assert found[0].startswith(f"{start}object row {row}: visible is ")
        assert found[1].startswith(f"{start}label is not what objects and bank give at 1 pixels, first at x={x}, y={y}")
        assert found[1].endswith(f"by object row {row}")
        assert found[2].startswith(f"{start}instance is not what objects and bank give at 1 pixels")

    @pytest.mark.parametrize(
        ("field", "change", "message"),
        mostly_slow(
            ("cx", 300, "by the bank"),
            ("cy", -300, "by the bank"),
            ("angle", 9000, "by the bank"),
            ("scale", 3000, "by the bank"),
            ("full", 1, "full is"),
            ("cell", 10**6, "cell is .*, and no plan gives that, so its label cannot be derived"),
            ("cell", -(10**6), "no plan gives that"),
            ("cx", 2**31 - 2**20, "no plan gives that"),
            ("scale", -(10**5), "no plan gives that"),
            ("angle", 65536, "no plan gives that"),
            ("flip", 2, "no plan gives that"),
            ("cell", 30, "is of (class|split) . in the bank and of . here"),
        ),
    )
    def test_one_object_row(self, out: Path, field: str, change: int, message: str) -> None:
        with forged_shard(out, "val-00000.h5") as shard:
            objects = shard["objects"][2]
            objects[3, FIELD[field]] = np.int32(int(objects[3, FIELD[field]]) + change)
            shard["objects"][2] = objects
        with forged_index(out) as index:
            for split in index["splits"].values():
                split["class_by_source"] = split["cells"] = {}
        found = [error for error in errors(out, labels=True) if not error.startswith("index.json")]
        assert found
        assert all(error.startswith("val-00000.h5: val-00000002: ") for error in found)
        assert "object row 3: " in found[0]
        assert any(re.search(message, error) for error in found)

    @pytest.mark.slow
    def test_looks_of_a_scene_share_their_labels(self, built: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        small_build(built, out, "looks=[natural, reference]", limit=2)
        with forged_shard(out, TRAIN) as shard:
            shard["label"][1], shard["instance"][1] = shard["label"][2], shard["instance"][2]
            shard["objects"][1] = shard["objects"][2]
            for name in ("object_count", "foreground", "background"):
                shard[name][1] = shard[name][2]
        found = errors(out)
        assert (
            f"{TRAIN}: train-00000000@reference: its label and instance and objects are not those of train-00000000, "
            "the same scene in another look"
        ) in found


def pixel_inside_a_box(shard: h5py.File) -> tuple[int, int, int]:
    """Object row, x and y of a pixel of the second sample that decides no side of its object's box."""
    x, y, w, h = (int(v) for v in shard["objects"][1, 0, FIELD["x"] : FIELD["h"] + 1])
    inner = np.argwhere(shard["instance"][1, y + 1 : y + h - 1, x + 1 : x + w - 1] == 1)
    dy, dx = inner[len(inner) // 2]
    return 0, x + 1 + int(dx), y + 1 + int(dy)


def elsewhere(shard: h5py.File, out: Path) -> None:
    with h5py.File(out.parent / "other.h5", "w") as other:
        other["label"] = shard["label"][:]
    del shard["label"]
    shard["label"] = h5py.ExternalLink("../other.h5", "label")


def external(shard: h5py.File, out: Path) -> None:
    shape = shard["label"].shape
    del shard["label"]
    secret = str(out.parent / "secret")
    Path(secret).write_bytes(bytes(range(256)) * 1000)
    shard.create_dataset("label", shape, "u1", external=[(secret, 0, h5py.h5f.UNLIMITED)])


def virtual(shard: h5py.File, out: Path) -> None:
    layout = h5py.VirtualLayout(shard["label"].shape, "u1")
    layout[:] = h5py.VirtualSource(str(out / "val-00000.h5"), "label", shard["label"].shape)
    del shard["label"]
    shard.create_virtual_dataset("label", layout)


def replaced(name: str, **created: Any) -> Callable[[h5py.File, Path], None]:
    def replace(shard: h5py.File, out: Path) -> None:  # noqa: ARG001
        data = shard[name][:]
        del shard[name]
        shard.create_dataset(name, **{"data": data, **created})

    return replace


def bomb(shard: h5py.File, out: Path) -> None:  # noqa: ARG001
    shard["image"].id.write_direct_chunk((1, 0, 0, 0), isal_zlib.compress(bytes(10**8)))


def loop(shard: h5py.File, out: Path) -> None:  # noqa: ARG001
    del shard["label"]
    shard["label"] = h5py.SoftLink("/label")


HUGE = {"data": None, "shape": (3, 10**6, 10**6), "dtype": "u1", "chunks": (1, 1000, 1000), "compression": "gzip"}


class TestShards:
    @pytest.mark.parametrize(
        ("change", "message"),
        mostly_slow(
            (elsewhere, "has no dataset label of its own"),
            (loop, "has no dataset label of its own"),
            (external, "label lies in another file"),
            (virtual, "label lies in another file"),
            (replaced("label", **HUGE), r"label is uint8 \(3, 1000000, 1000000\), must be u1 \(3, 72, 96\)"),
            (replaced("label", data=np.zeros((3, 72, 96), "f4")), "label is float32"),
            (replaced("instance", data=np.zeros((3, 72, 96), ">u2")), "instance is >u2"),
            (replaced("label", chunks=(3, 72, 96)), "label is not stored as the format says"),
            (replaced("label", chunks=(1, 72, 96), compression="lzf"), "label is not stored as the format says"),
            (replaced("digest", data=["a", "b", "c"], dtype=h5py.string_dtype()), "digest is object"),
            (replaced("foreground", data=np.zeros((3, 8), "<u2")), r"foreground is uint16 \(3, 8\)"),
            (replaced("objects", data=np.zeros((3, 5, 3), "<i4")), r"objects is int32 \(3, 5, 3\)"),
            (bomb, "train-00000001: row 1 of image is damaged"),
            (lambda shard, _: shard.create_group("more"), 'holds "more", which is not of the format'),
            (lambda shard, _: shard.attrs.__setitem__("split", "val"), 'attribute split is "val", must be "train"'),
            (lambda shard, _: shard.attrs.__delitem__("looks"), "attribute looks is null"),
            (lambda shard, _: shard["objects"].attrs.__delitem__("fields"), "attribute `fields` of objects"),
            (lambda shard, _: shard["scene"].__setitem__(2, 9), "train-00000002: scene is 9, must be 2"),
            (lambda shard, _: shard["look"].__setitem__(1, 1), "train-00000001: look is 1, must be 0"),
            (lambda shard, _: shard["sample_id"].__setitem__(1, b"\x1b[2J"), "sample_id is b'.*', must be b'train"),
            (lambda shard, _: shard["object_count"].__setitem__(0, 65_000), "`object_count` is 65000"),
            (lambda shard, _: shard["object_count"].__setitem__(0, 1), "beyond `object_count` is not 0"),
            (lambda shard, _: shard["background"].__setitem__(0, 77), "`background` is 77, and its objects make it"),
            (lambda shard, _: shard["foreground"].__setitem__((0, 4), 9), "`foreground` is .*, and its objects are"),
            (
                lambda shard, _: shard["label"].__setitem__((2, 5, 7), 200),
                "label is not the class of the instance at 1 ",
            ),
            (lambda shard, _: shard["instance"].__setitem__((2, 5, 7), 65_535), "first at x=7, y=5: label ., instance"),
            (lambda shard, _: shard["objects"].__setitem__((2, 1, 0), 77), "object row 1: there is no class 77"),
            (lambda shard, _: shard["objects"].__setitem__((2, 1, 0), -7), "object row 1: there is no class -7"),
            (lambda shard, _: shard["objects"].__setitem__((2, 1, FIELD["w"]), 500), "object row 1: w is 500, and"),
        ),
    )
    def test_what_somebody_made_up_is_named_and_harms_nothing(
        self, out: Path, change: Callable[[h5py.File, Path], None], message: str
    ) -> None:
        with h5py.File(out / TRAIN, "r+") as shard:
            change(shard, out)
        with forged_index(out):
            pass
        found = [error for error in errors(out, labels=True) if error.startswith(TRAIN)]
        assert any(re.search(message, error) for error in found), found
        assert all(error.isprintable() for error in found)


def test_maps_are_counted_in_one_pass_as_by_numpy() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 6):
        classes = rng.integers(1, 10, n)
        instance = rng.integers(0, n + 2, (13, 17)).astype(np.uint16)
        label = np.concatenate([[0], classes, [0]])[np.minimum(instance, n + 1)].astype(np.uint8)
        label[4, 5] = 99
        found = count_maps(label, instance, classes)
        due = np.concatenate([[0], classes, [-1]])[instance]
        wrong = np.argwhere(due != label)
        assert (found.wrong, found.y, found.x) == (len(wrong), *wrong[0])
        assert found.pixels.tolist() == np.bincount(label.ravel(), minlength=256).tolist()
        for i in range(n):
            ys, xs = np.nonzero(instance == i + 1)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1] if len(xs) else [0] * 4
            assert found.visible[i].tolist() == [*box, len(xs)]
