"""Checkpoints: whole or not there, safe to read, and every generator goes on where it stood."""

import errno
import io
import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segtrain.networks import checkpoint
from segtrain.training.generators import random_states, restore_random_states
from smearsynth.base.errors import UserError


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def draws() -> list[float]:
    normal = np.random.standard_normal()  # noqa: NPY002
    return [random.random(), random.gauss(0, 1), normal, *torch.rand(3).tolist()]


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    state = {"a": torch.arange(5.0), "b": {"c": (1, 2.5, "x", None, True)}, "rows": [{"e": 1}]}
    checkpoint.save(tmp_path / "last.pt", state)
    again = checkpoint.load(tmp_path / "last.pt")
    assert torch.equal(again.pop("a"), state.pop("a"))
    assert again == state
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain pickle", "torch's container"])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, wrapped: bool) -> None:
    target, file = tmp_path / "harm", tmp_path / "last.pt"
    if wrapped:
        torch.save({"model": Malicious(target)}, file)
    else:
        file.write_bytes(pickle.dumps(Malicious(target)))
    with pytest.raises(UserError, match=r"last\.pt holds more than weights and numbers"):
        checkpoint.load(file)
    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"PK\x03\x04 cut off"])
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "last.pt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.pt") as caught:
        checkpoint.load(file)
    assert "\n" not in str(caught.value)
    assert "()" not in str(caught.value), "there is a reason"


def test_a_half_written_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    checkpoint.save(file, {"a": torch.arange(1000.0)})
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(UserError, match=r"cannot be read|more than weights"):
        checkpoint.load(file)


def test_a_file_of_which_one_bit_has_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    weights = torch.arange(1000.0)
    checkpoint.save(file, {"a": weights})
    raw = bytearray(file.read_bytes())
    raw[raw.index(weights.numpy().tobytes()) + 100] ^= 1
    file.write_bytes(raw)
    with pytest.raises(UserError, match=r"last\.pt cannot be read \(its bytes are not those that were written\)"):
        checkpoint.load(file)


@pytest.mark.parametrize("room", [0, 64, 1000, 4096, 5000])
def test_a_full_disk_is_told_as_one_and_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() + memoryview(data).nbytes > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    file = tmp_path / "last.pt"
    checkpoint.save(file, {"epoch": 1})
    monkeypatch.setattr(Path, "open", lambda self, mode: Full(self, mode))
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(file, {"a": torch.arange(2000.0)})
    assert caught.value.errno == errno.ENOSPC
    assert [left.name for left in tmp_path.iterdir()] == ["last.pt"]
    assert checkpoint.load(file) == {"epoch": 1}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.pt is missing"):
        checkpoint.load(tmp_path / "gone.pt")


def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    checkpoint.save(file, {"epoch": 1})
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        checkpoint.save(file, {"epoch": 2, "cannot be saved": lambda: None})
    assert checkpoint.load(file) == {"epoch": 1}


def test_every_generator_goes_on_where_it_stood(tmp_path: Path) -> None:
    random.gauss(0, 1)
    np.random.standard_normal()  # noqa: NPY002  (leaves the second of its pair waiting)
    checkpoint.save(tmp_path / "s.pt", random_states())
    expected = draws()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    assert draws() != expected
    restore_random_states(checkpoint.load(tmp_path / "s.pt"))
    assert draws() == expected
