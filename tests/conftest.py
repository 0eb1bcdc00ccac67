"""Property tests draw the same examples every time: a change, and not chance, decides whether they pass. And a small
set, built once for all tests that damage copies of it."""

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`: three smears of each split, in one look."""
    from small_set import prepare, small_build  # what builds takes seconds to load

    path = tmp_path_factory.mktemp("built")
    prepare(path)
    small_build(path, path / "set", limit=3)
    return path


@pytest.fixture(scope="session")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, trained once for all tests of the page that shows what it sees."""
    from viewed import small_run

    return small_run(tmp_path_factory.mktemp("viewed"))


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A copy of the set."""
    return Path(shutil.copytree(built / "set", tmp_path / "set"))
