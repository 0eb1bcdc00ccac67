"""Shards: what is written is what any HDF5 tool and the reader see, byte for byte the same in every run."""

import hashlib
import os
import pickle
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from isal import isal_zlib
from mostly_slow import mostly_slow

from smearsynth.base.errors import UserError
from smearsynth.base.files import published
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards import format
from smearsynth.shards.format import dataset_digest, sample_digest
from smearsynth.shards.reader import ShardReader
from smearsynth.shards.writer import ShardWriter, pack

H, W, K, ROWS = 20, 33, 6, 5
BIG = {name: kind for name, kind in format.BIG.items() if name != "parasite"}
HEADER = format.Header(
    split="val",
    looks=("natural", "reference"),
    recipe_hash="ab" * 32,
    bank_digest="cd" * 32,
    fields=OBJECT_FIELDS,
)


def make_sample(row: int) -> format.ShardSample:
    rng = np.random.default_rng(row)
    image = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
    label = rng.integers(0, 10, (H, W), dtype=np.uint8)
    instance = rng.integers(0, 65535, (H, W)).astype(np.uint16)
    objects = rng.integers(-(2**31), 2**31, (row, len(OBJECT_FIELDS))).astype(np.int32)
    objects[:, 0] = rng.integers(1, 10, row)
    return format.ShardSample(
        image=image,
        label=label,
        instance=instance,
        objects=objects,
        background=row % 4,
        scene=100 + row // 2,
        look=row % 2,
        sample_id=format.sample_id("val", 100 + row // 2, row % 2, HEADER.looks),
        digest=sample_digest(image, label, instance),
    )


def test_a_shard_that_a_notebook_holds_open_is_not_called_damaged(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    script = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, str(tmp_path / "a.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as notebook:
        assert notebook.stdout is not None
        assert notebook.stdout.readline() == b"open\n"
        with pytest.raises(UserError, match=r"a\.h5: another program.* has locked it.*HDF5_USE_FILE_LOCKING=FALSE"):
            len(ShardReader(tmp_path / "a.h5"))
        notebook.communicate()
    assert len(ShardReader(tmp_path / "a.h5")) == ROWS


def write(path: Path, codec: str = "gzip", rows: int = ROWS, stop_at: int | None = None) -> list[format.ShardSample]:
    samples = [make_sample(row) for row in range(rows)]
    with (
        published(path) as part,
        ShardWriter(part, header=HEADER, rows=rows, size=(H, W), max_objects=K, codec=codec) as writer,
    ):
        for row, sample in enumerate(samples):
            if row == stop_at:
                raise RuntimeError("stopped")
            writer.append(pack(sample, max_objects=K, codec=codec))
    return samples


@pytest.mark.parametrize("codec", format.CODECS)
def test_reader_and_plain_h5py_both_give_what_was_written(tmp_path: Path, codec: str) -> None:
    samples = write(tmp_path / "s.h5", codec)
    reader = ShardReader(tmp_path / "s.h5")
    assert len(reader) == ROWS
    assert reader.header == HEADER
    with h5py.File(tmp_path / "s.h5") as file:
        assert set(file) == {*BIG, *format.SMALL, "sample_id"} == set(reader.names)
        for row, sample in enumerate(samples):
            padded = np.zeros((K, len(OBJECT_FIELDS)), np.int32)
            padded[:row] = sample.objects
            expected = {
                "image": sample.image,
                "label": sample.label,
                "instance": sample.instance,
                "objects": padded,
            }
            for name, array in expected.items():
                for got in (file[name][row], reader.read(name, row)):
                    assert got.dtype == array.dtype
                    np.testing.assert_array_equal(got, array)
            np.testing.assert_array_equal(reader.objects(row), sample.objects)
            counts = [int((sample.objects[:, 0] == k).sum()) for k in range(1, 10)]
            assert file["foreground"][row].tolist() == counts
            assert file["object_count"][row] == row
            assert file["sample_id"][row].decode() == sample.sample_id
            assert file["digest"][row].decode() == sample.digest
            assert (file["scene"][row], file["look"][row]) == (sample.scene, sample.look)
            assert file["background"][row] == sample.background
        for name, dtype in {**BIG, **format.SMALL}.items():
            assert file[name].dtype == np.dtype(dtype)
            assert file[name].shape[0] == ROWS
    assert reader.column("sample_id").tolist() == [s.sample_id for s in samples]
    assert samples[1].sample_id == "val-00000100@reference"


def test_attributes_hold_the_taxonomy_for_a_reader_that_knows_nothing_of_us(tmp_path: Path) -> None:
    write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file.attrs["class_keys"].tolist()[9] == "healthy_rbc"
        assert file.attrs["class_colours"].tolist()[3] == "#fbbebe"
        assert file.attrs["class_ids"].tolist() == list(range(10))
        assert file.attrs["um_per_px"] == 0.2
        assert file.attrs["split"] == "val"
        assert file["objects"].attrs["fields"].tolist() == list(OBJECT_FIELDS)
        about = (file["objects"].attrs[name].tolist() for name in ("units", "meanings"))
        assert dict(zip(OBJECT_FIELDS, zip(*about, strict=True), strict=True)) == format.OBJECT_COLUMNS


def test_gzip_is_one_standard_chunk_per_sample_and_none_can_be_mapped(tmp_path: Path) -> None:
    samples = write(tmp_path / "gzip.h5")
    write(tmp_path / "none.h5", "none")
    with h5py.File(tmp_path / "gzip.h5") as file:
        for name in BIG:
            assert file[name].chunks == (1, *file[name].shape[1:])
            assert file[name].compression == "gzip"
    with h5py.File(tmp_path / "none.h5") as file:
        offset = file["image"].id.get_offset()
    mapped = np.memmap(tmp_path / "none.h5", np.uint8, "r", offset=offset, shape=(ROWS, H, W, 3))
    np.testing.assert_array_equal(mapped, np.stack([s.image for s in samples]))


def test_equal_content_gives_equal_bytes_in_another_process_at_another_time(tmp_path: Path) -> None:
    """Uncompressed: one deflated chunk in 100,000 may differ."""
    write(tmp_path / "here.h5", "none")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from test_shards import write\n"
        "write(Path(sys.argv[2]) / 'there.h5', 'none')"
    )
    time.sleep(1.1)  # timestamps in HDF5 are whole seconds
    subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)], check=True)
    assert (tmp_path / "here.h5").read_bytes() == (tmp_path / "there.h5").read_bytes()


def test_digests_are_those_of_numpy_and_hashlib() -> None:
    samples = [make_sample(row) for row in range(3)]
    for s in samples:
        naive = s.image.tobytes() + s.label.tobytes() + s.instance.astype("<u2").tobytes()
        assert s.digest == hashlib.sha256(naive).hexdigest()
    strided = np.asfortranarray(samples[0].label)
    assert sample_digest(samples[0].image, strided, samples[0].instance) == samples[0].digest
    raw = b"".join(bytes.fromhex(s.digest) for s in samples)
    assert dataset_digest(s.digest for s in samples) == hashlib.sha256(raw).hexdigest()


def test_a_shard_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        write(tmp_path / "s.h5", stop_at=3)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import os, resource, sys
from pathlib import Path
from test_shards import write
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, hard))
try:
    write(Path(sys.argv[1]) / "s.h5", sys.argv[2])
except OSError:
    os._exit(0)
os._exit(1)
"""
"""In a process of its own, which ends without a word more of HDF5: after such a failure it can crash."""


@pytest.mark.parametrize("codec", format.CODECS)
def test_a_disk_that_takes_no_more_leaves_nothing_and_is_an_oserror(tmp_path: Path, codec: str) -> None:
    subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path, codec], cwd=Path(__file__).parent, check=True)
    assert list(tmp_path.iterdir()) == []


FULL_FOR_A_MOMENT = """
import os, resource, sys
from pathlib import Path
import h5py
from test_shards import write
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
create = h5py.File.create_dataset

def create_dataset(file, name, *args, **options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    made = create(file, name, *args, **options)
    if name == sys.argv[2]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    return made

h5py.File.create_dataset = create_dataset
try:
    write(Path(sys.argv[1]) / "s.h5")
except OSError:
    os._exit(9)
"""
"""The disk takes nothing from the moment that a dataset is made to the moment that the next one is."""


@pytest.mark.parametrize("name", mostly_slow(("sample_id",), ("object_count",), ("scene",), ("look",)))
def test_a_disk_that_is_full_for_a_moment_loses_nothing_in_silence(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", FULL_FOR_A_MOMENT, tmp_path, name]
    done = subprocess.run(command, cwd=Path(__file__).parent)
    if done.returncode == 9:
        assert list(tmp_path.iterdir()) == []
    else:
        write(tmp_path / "twin.h5")
        with h5py.File(tmp_path / "s.h5") as file, h5py.File(tmp_path / "twin.h5") as twin:
            assert file.keys() == twin.keys()
            assert all((file[name][:] == twin[name][:]).all() for name in twin)


def test_too_many_objects_are_refused_and_never_cut_off() -> None:
    with pytest.raises(ValueError, match="holds 7 objects; the shard has rows for 6"):
        pack(make_sample(7), max_objects=K, codec="gzip")


def test_reader_serves_threads_forks_and_pickles(tmp_path: Path) -> None:
    samples = write(tmp_path / "s.h5")
    reader = ShardReader(tmp_path / "s.h5")
    expected = [s.image for s in samples]
    with ThreadPoolExecutor(4) as pool:
        for row, image in enumerate(pool.map(lambda r: reader.read("image", r % ROWS), range(200))):
            np.testing.assert_array_equal(image, expected[row % ROWS])
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(reader.read("image", 3), expected[3]) else 1)
    assert os.waitpid(child, 0)[1] == 0
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.read("image", 4), expected[4])


def test_rows_outside_the_shard_are_errors(tmp_path: Path) -> None:
    write(tmp_path / "s.h5")
    for row in (-1, ROWS):
        with pytest.raises(IndexError, match="has rows 0 to 4"):
            ShardReader(tmp_path / "s.h5").read("image", row)


def test_a_damaged_row_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    samples = write(path)
    with h5py.File(path) as file:
        chunk = file["label"].id.get_chunk_info_by_coord((2, 0, 0))
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(data)
    reader = ShardReader(path)
    with pytest.raises(UserError, match=r"s\.h5: row 2 of label is damaged .*resume its build"):
        reader.read("label", 2)
    for row in (0, 1, 3, 4):
        assert np.array_equal(reader.read("label", row), samples[row].label)


@pytest.mark.parametrize("forged", [isal_zlib.compress(bytes(10**8)), isal_zlib.compress(bytes(H * W))[:-1], b"x"])
def test_a_chunk_that_inflates_to_another_size_is_refused(tmp_path: Path, forged: bytes) -> None:
    write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["label"].id.write_direct_chunk((1, 0, 0), forged)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"s\.h5: row 1 of label is damaged"):
        ShardReader(tmp_path / "s.h5").read("label", 1)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_files_that_are_no_shards_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 cannot be read as a shard"):
        len(ShardReader(tmp_path / "text.h5"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["label"] = np.zeros((1, 2, 2), np.uint8)
    with pytest.raises(ValueError, match=r"other\.h5 is no shard of format version 1"):
        len(ShardReader(tmp_path / "other.h5"))


def test_the_room_is_light() -> None:
    code = "import sys, smearsynth.shards.reader, smearsynth.shards.writer; print(' '.join(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"cv2", "numba", "scipy", "skimage", "PIL", "pydantic", "yaml", "torch", "matplotlib"}
    assert not heavy & set(modules)
    ours = {m for m in modules if m.startswith("smearsynth.") and not m.startswith("smearsynth.shards")}
    assert ours == {f"smearsynth.{name}" for name in ("taxonomy", "base", "base.errors", "base.hdf5")}
