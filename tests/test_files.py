"""Files that are published: the old one or the whole new one, and nothing beside it."""

import os
from pathlib import Path

import pytest

from smearsynth.base.files import published, write_text


@pytest.mark.parametrize("place", [None, "elsewhere.part"])
def test_a_file_gets_its_name_at_the_end_of_the_block(tmp_path: Path, place: str | None) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with published(path, tmp_path / place if place else None) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == tmp_path
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_raised_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with published(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(FileNotFoundError), published(path):
        pass
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, found = tmp_path / "file", []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        found.append(path.exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(path, "two\r\nlines\n")
    assert found == [False, True]  # the file, then its name in the folder
    assert path.read_bytes() == b"two\r\nlines\n"
