"""Shards of somebody else: whatever a file points to or claims, readers refuse it in a sentence and stay inside it."""

import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from shard_set import picture, write_set, write_shard
from stored_elsewhere import SECRET, Change, linked, stored, viewed

from segtrain.data.samples import Shards
from smearsynth.base.errors import UserError
from smearsynth.base.hdf5 import is_contiguous, is_of
from smearsynth.dataset.contact_sheet import read_panels
from smearsynth.realism.views import take_smears
from smearsynth.shards.reader import ShardReader

SHARD = "train-00000.h5"
ROWS = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_set(tmp_path / "set", size=(128, 128), train=ROWS)
    write_shard(tmp_path / SECRET, "train", [picture("train", i + 9, (128, 128)) for i in range(ROWS)])
    return root


def read_everything(path: Path) -> None:
    reader = ShardReader(path)
    for row in range(len(reader)):
        for name in ("image", "label", "instance", "objects"):
            reader.read(name, row)
        reader.objects(row)
    for name in ("sample_id", "digest", "foreground", "background", "scene", "look", "object_count"):
        reader.column(name)


def read_for_training(root: Path) -> None:
    shards = Shards(root, "train")
    assert (shards.size, len(shards.classes)) == ((128, 128), 10)
    for i in range(len(shards)):
        shards.read(i), shards.sample_id(i)


def measure(root: Path) -> None:
    list(take_smears(root, None, ROWS).views(by_label=True))


def replace(name: str, make: Callable[[h5py.File, np.ndarray], Any]) -> Change:
    def change(file: h5py.File, folder: Path) -> None:  # noqa: ARG001
        data = file[name][()]
        del file[name]
        made = make(file, data)
        if made is not None:
            file[name] = made

    return change


def narrow(file: h5py.File, folder: Path) -> None:  # noqa: ARG001
    """Integers of four bits in a byte: HDF5 reads other values than the bytes are."""
    shape = file["label"].shape
    del file["label"]
    kind = h5py.h5t.STD_U8LE.copy()
    kind.set_precision(4)
    h5py.h5d.create(file.id, b"label", kind, h5py.h5s.create_simple(shape))


def many_objects(file: h5py.File, folder: Path) -> None:  # noqa: ARG001
    del file["objects"]
    file.create_dataset("objects", (ROWS, 70_000, 1), "<i4").attrs["fields"] = ["class"]


def created(name: str, **options: Any) -> Change:
    return replace(name, lambda file, data: file.create_dataset(name, **{"data": data, **options}) and None)


def attribute(name: str, value: Any) -> Change:
    def change(file: h5py.File, folder: Path) -> None:  # noqa: ARG001
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return change


BY_ROW = {"chunks": (1, 128, 128)}
CHANGES: dict[str, tuple[Change, str]] = {
    "a link to another file": (linked("label"), "has no dataset label of its own"),
    "a link to itself": (replace("label", lambda *_: h5py.SoftLink("/label")), "has no dataset label of its own"),
    "a link within": (replace("label", lambda *_: h5py.SoftLink("/look")), "has no dataset label of its own"),
    "bytes of another file": (stored("label"), "label lies in another file"),
    "a view of another file": (viewed("label"), "label lies in another file"),
    "a group": (replace("label", lambda file, _: file.create_group("label") and None), "label is no dataset"),
    "no label": (replace("label", lambda *_: None), "no shard"),
    "signed": (replace("label", lambda _, data: data.astype("i1")), "label is int8"),
    "another byte order": (replace("instance", lambda _, data: data.astype(">u2")), "instance is >u2"),
    "half bytes": (narrow, "label is uint8"),
    "text of any length": (
        replace("sample_id", lambda file, _: file.create_dataset("sample_id", (ROWS,), h5py.string_dtype()) and None),
        "sample_id is object",
    ),
    "long text": (replace("sample_id", lambda _, data: data.astype("S9999")), r"sample_id is \|S9999"),
    "references": (
        replace("label", lambda file, _: np.array([file.ref] * ROWS, h5py.ref_dtype)),
        "label is object",
    ),
    "one label": (replace("label", lambda _, data: data[0, 0, 0]), r"label is uint8 \(\), must be u1 \(N, H, W\)"),
    "fewer images": (replace("image", lambda _, data: data[:1]), r"image is uint8 \(1, 128, 128, 3\), must be"),
    "too many objects": (many_objects, r"objects is int32 \(3, 70000, 1\), must be <i4 \(3, 65534, 1\)"),
    "another filter": (created("label", **BY_ROW, compression="lzf"), "label is not stored as the format says"),
    "two filters": (created("instance", **BY_ROW, compression="gzip", shuffle=True), "instance is not stored as"),
    "a checksum": (created("label", **BY_ROW, compression="gzip", fletcher32=True), "label is not stored as"),
    "large chunks": (created("label", chunks=(3, 128, 128), compression="gzip"), "label is not stored as the format"),
    "text in ten": (replace("sample_id", lambda _, data: np.array([b"\xff"] * len(data))), "sample_id is damaged"),
    "a look that is none": (lambda file, _: file["look"].__setitem__(1, 7), "look is damaged .there is no look 7"),
    "objects beyond": (lambda file, _: file["object_count"].__setitem__(0, 9), "`object_count` of row 0 is 9"),
    "no split": (attribute("split", None), "attribute split is None"),
    "keys that move the cursor": (attribute("class_keys", ["\x1b[2J"] * 10), "attribute class_keys"),
    "a number for a list": (attribute("class_ids", 3), "attribute class_ids is 3"),
    "lists in a list": (attribute("class_ids", np.zeros((10, 10), int)), "attribute class_ids"),
    "bytes for text": (attribute("looks", np.array([b"natural"])), "attribute looks"),
    "no look": (attribute("looks", h5py.Empty("S1")), "attribute looks"),
    "an empty list of looks": (attribute("looks", np.zeros(0)), "attribute looks names none"),
    "another version": (attribute("format_version", [1, 1]), r"no shard of format version 1 or 2 \(it says \(1, 1\)\)"),
}


IN_ROWS = ("text in ten", "objects beyond", "a look that is none")
"""Seen only by those who read these rows."""


@pytest.mark.parametrize("kind", CHANGES)
def test_what_a_file_may_not_be_every_reader_refuses(root: Path, kind: str) -> None:
    change, message = CHANGES[kind]
    with h5py.File(root / SHARD, "r+") as file:
        change(file, root.parent)
    with pytest.raises(UserError, match=message) as caught:
        read_everything(root / SHARD)
    assert str(caught.value).startswith(str(root / SHARD))
    assert str(caught.value).isprintable()
    for use in (read_for_training, measure, read_panels) if kind not in IN_ROWS else ():
        with pytest.raises(UserError, match=message):
            use(root)


@pytest.mark.parametrize("chunks", [None, (1, 10_000, 10_000)])
def test_a_size_that_is_only_claimed_takes_no_memory(root: Path, chunks: tuple[int, ...] | None) -> None:
    """A row of 100 MB of which the file holds nothing: HDF5 alone would fill it with zeros."""
    with h5py.File(root / SHARD, "r+") as file:
        for name, colours in (("image", (3,)), ("label", ()), ("instance", ())):
            kind = file[name].dtype
            del file[name]
            shape = (ROWS, 10_000, 10_000, *colours)
            options = {"chunks": (1, *shape[1:]), "compression": "gzip"} if chunks else {}
            file.create_dataset(name, shape, kind, **options)
    tracemalloc.start()
    for read in (partial(read_everything, root / SHARD), partial(read_for_training, root), partial(measure, root)):
        with pytest.raises((UserError, AssertionError)):
            read()
    assert tracemalloc.get_traced_memory()[1] < 2 * 10**7
    tracemalloc.stop()


def test_a_row_larger_than_any_image_is_refused(root: Path) -> None:
    with h5py.File(root / SHARD, "r+") as file:
        for name, colours in (("image", (3,)), ("label", ()), ("instance", ())):
            kind = file[name].dtype
            del file[name]
            shape = (ROWS, 20_000, 20_000, *colours)
            file.create_dataset(name, shape, kind, chunks=(1, *shape[1:]), compression="gzip")
    with pytest.raises(UserError, match=r"image is uint8 .*, larger than any sample"):
        len(ShardReader(root / SHARD))


def test_an_index_that_says_more_than_is_true(root: Path) -> None:
    index = json.loads((root / "index.json").read_text())
    for name, samples in (
        (SHARD, ROWS + 1),
        (f"../{SECRET}", ROWS),
        (f"{root}/{SHARD}", ROWS),
        ("a/../b", 1),
        (SHARD, True),
    ):
        index["files"][0] |= {"name": name, "samples": samples}
        (root / "index.json").write_text(json.dumps(index))
        with pytest.raises(UserError, match=r"has 3 samples, and 4 in the index|lacks its name or number of samples"):
            read_for_training(root)
    for text in ("[" * 10**5, '{"digest": "a", "digest": "b"}', '{"digest": NaN}'):
        (root / "index.json").write_text(text)
        with pytest.raises(UserError, match=r"index\.json cannot be read"):
            read_for_training(root)
    with pytest.raises(UserError, match="has rows 0 to 2, not 3"):
        ShardReader(root / SHARD).read("label", 3)


def test_names_stay_in_the_folder(root: Path) -> None:
    (root / "inner.h5").write_bytes((root / SHARD).read_bytes())
    (root / SHARD).unlink()
    (root / SHARD).symlink_to("inner.h5")
    read_everything(root / SHARD)
    for target in (root.parent / SECRET, Path(f"../{SECRET}")):
        (root / SHARD).unlink()
        (root / SHARD).symlink_to(target)
        for read in (partial(read_everything, root / SHARD), partial(read_for_training, root), partial(measure, root)):
            with pytest.raises(UserError, match=r"train-00000\.h5 .* a link that leads out of its folder"):
                read()


def test_a_pipe_or_folder_in_place_of_a_shard_ends_at_once(root: Path) -> None:
    for make in (os.mkfifo, os.mkdir):
        (root / SHARD).rmdir() if (root / SHARD).is_dir() else (root / SHARD).unlink()
        make(root / SHARD)
        with pytest.raises(UserError, match="it is no file"):
            read_for_training(root)


def test_a_plain_file_that_says_where_its_bytes_are_is_read_there_and_nowhere_else(tmp_path: Path) -> None:
    """The two tests on which all else stands, on datasets made by h5py's defaults."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["whole"] = np.arange(6, dtype="<u2")
        file["none"] = np.zeros((0, 4), "u1")
        file.create_dataset("claimed", (1000, 1000), "u1")
        file.create_dataset("chunked", data=np.zeros(9, "u1"), chunks=(3,))
        found = {name: is_contiguous(data) for name, data in file.items()}
        assert found == {"whole": True, "none": True, "claimed": False, "chunked": False}
        assert is_of(file["whole"], "<u2")
        assert not is_of(file["whole"], ">u2")
        offset = file["whole"].id.get_offset()
    raw = (tmp_path / "a.h5").read_bytes()
    assert struct.unpack("<6H", raw[offset : offset + 12]) == (0, 1, 2, 3, 4, 5)
