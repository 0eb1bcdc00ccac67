"""What a training says: to a person a bar and lines, to a file lines alone, from one process only."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from segtrain.training.epoch import Progress
from segtrain.training.run_folder import RunFolder


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(folder: Path, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, speaks: bool = True) -> str:
    """After eight of 40 steps of a second epoch, of 4 images each."""
    monkeypatch.setattr(sys, "stderr", stream)
    clock = SimpleNamespace(perf_counter=iter([10.0, 14.0, 18.0]).__next__)
    monkeypatch.setattr("segtrain.training.epoch.time", clock)
    progress = Progress(RunFolder(folder), speaks=speaks)
    progress.begin_epoch("epoch 2/4", step=10, steps=40)
    progress.trained(4, 16, 0.5)
    progress.trained(4, 16, 0.125)
    progress.say("half of it is done")
    assert progress.speed(2.0) == {
        "images": 32,
        "training_seconds": 8.0,
        "images_per_second": 4.0,
        "waiting_share": 0.25,
    }
    progress.close()
    return stream.getvalue()


def test_a_terminal_sees_loss_speed_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = next(line for line in reversed(said(tmp_path, Terminal(), monkeypatch).split("\r")) if "18/40" in line)
    assert "epoch 2/4" in bar
    assert "loss 0.125, 4.0 images/s" in bar
    assert "<" in bar, "time gone < time left"


def test_a_file_gets_lines_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, io.StringIO(), monkeypatch) == "half of it is done\n"
    assert (tmp_path / "log.txt").read_text() == "half of it is done\n"


def test_the_other_processes_are_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, Terminal(), monkeypatch, speaks=False) == ""
    assert list(tmp_path.iterdir()) == []
