"""Pages and pictures about a set lie outside of it: its files are sealed, and none of them is replaced."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from smearsynth.cli import main

NAME = "train-00000.h5"


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.is_file()}


@pytest.mark.parametrize("name", [NAME, "new.html"])
@pytest.mark.parametrize(
    "command",
    ["preview set", "preview small.yaml", "report set", "replay set train-00000000", "fidelity set --against set"],
)
def test_nothing_is_written_into_a_set(built: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str) -> None:
    before = digests(built / "set")
    monkeypatch.chdir(built)
    told = CliRunner().invoke(main, [*command.split(), "--out", f"set/{name}"])
    assert told.exit_code == 2
    assert told.stderr == f"set/{name} lies in a dataset, whose files are sealed: name a file elsewhere (--out)\n"
    assert digests(built / "set") == before


def test_not_by_default_either(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digests(built / "set")
    monkeypatch.chdir(built / "set")
    for command in ("preview", "report"):
        assert CliRunner().invoke(main, [command, "."]).exit_code == 2
    assert digests(built / "set") == before
