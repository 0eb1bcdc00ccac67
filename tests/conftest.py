"""Property tests draw the same examples every time, however long one takes: a change, and not chance, decides whether
they pass. Sets and runs that many tests read are made once. Two processes do not both compile the loops. What was
skipped is counted in one line."""

import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from smearsynth.verbs.build import BuildResult


settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
# The suite runs in a process per core: more threads would only wait for those of the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # of xdist, which would sort the files by their number of tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process compiles all loops, which takes a minute after each edit, with the tests of builds; the other begins
    with tests of segtrain, most of which need none of them. What follows finds them compiled."""

    def turn(item: pytest.Item) -> int:
        name = item.path.name
        return 0 if name == "test_build.py" else 1 if name.startswith("test_segtrain") else 2

    items.sort(key=turn)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"{reasons.total()} skipped: {listed}")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, of uncompressed shards, since one deflated chunk in 100,000 may differ from build to build; and
    bank.h5."""
    from small_set import prepare  # what builds takes seconds to load

    path = tmp_path_factory.mktemp("recipe")
    prepare(path, codec="none")
    return path


@pytest.fixture(scope="session")
def straight(folder: Path) -> "BuildResult":
    """An undisturbed build of small.yaml; never written to."""
    from small_set import small_build

    return small_build(folder, folder / "straight")


@pytest.fixture
def copy(straight: "BuildResult", tmp_path: Path) -> Path:
    """A copy of the undisturbed build."""
    return Path(shutil.copytree(straight.out, tmp_path / "set"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`: three smears of each split, in one look, compressed; never written to."""
    from small_set import prepare, small_build

    path = tmp_path_factory.mktemp("built")
    prepare(path)
    small_build(path, path / "set", limit=3)
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the smallest network, which has learnt next to nothing; never written to."""
    import torch
    from shard_set import write_set

    from segtrain.experiments.fit import fit

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tiny")
    short = ("model.name=compact", "model.width=2", "epochs=1", "batch=4", "amp=off")
    return fit(write_set(root / "set", train=4, val=2), overrides=short, run=root / "run", pictures=False).run


@pytest.fixture(scope="session")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, trained once for all tests of the page that shows what it sees."""
    from viewed import small_run

    return small_run(tmp_path_factory.mktemp("viewed"))


@pytest.fixture
def out(built: Path, tmp_path: Path) -> Path:
    """A copy of that set."""
    return Path(shutil.copytree(built / "set", tmp_path / "set"))


@pytest.fixture
def one_thread() -> None:
    """What torch computes is the same on every machine, and tests that run at the same time do not hinder another."""
    import torch

    torch.set_num_threads(1)
