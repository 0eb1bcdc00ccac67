"""What docstrings and README show of Python runs as it stands there; every verb shows something, and says what its
arguments are."""

import doctest
import inspect
import os
import pathlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from workplace import ROOT, furnish

import segtrain
import smearsynth
from segtrain.cli import main as segtrain_commands
from segtrain.counting.load import CellCount, Network
from segtrain.counting.prediction import Prediction
from segtrain.pretrained import FINDER
from smearsynth.cli import main as smearsynth_commands
from smearsynth.dataset.smears import Sample, SmearSet, SmearSplit
from smearsynth.dataset.torch_smears import TorchSmears

OBJECTS = (Sample, SmearSplit, SmearSplit.torch, SmearSet, TorchSmears)
OBJECTS += (Prediction, CellCount, Network.predict, Network.count)
VERBS = [getattr(package, name) for package in (smearsynth, segtrain) for name in package.__all__]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("pandas", reason="pandas is not installed")
    torch.set_num_threads(1)
    folder, before = tmp_path_factory.mktemp("workplace"), Path.cwd()
    os.chdir(folder)
    try:
        furnish(folder)
        yield folder
    finally:
        os.chdir(before)


def test_every_command_is_a_function_of_its_name() -> None:
    for package, group in ((smearsynth, smearsynth_commands), (segtrain, segtrain_commands)):
        names = {{"import": "import_annotations"}.get(name, name.replace("-", "_")) for name in group.commands}
        assert names <= {*package.__all__}


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: f"{verb.__module__.split('.')[0]}.{verb.__name__}")
def test_a_verb_says_what_its_arguments_are_and_shows_an_example(verb: Any) -> None:
    text, _, example = inspect.getdoc(verb).partition(">>>")
    assert example
    assert [name for name in inspect.signature(verb).parameters if not re.search(rf"\b{name}\b", text)] == []


def test_types_are_shipped() -> None:
    for package in (smearsynth, segtrain):
        assert (Path(package.__file__).parent / "py.typed").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("shown", [*VERBS, *OBJECTS], ids=lambda shown: f"{shown.__module__}.{shown.__qualname__}")
def test_an_example_runs(here: Path, shown: Any) -> None:  # noqa: ARG001
    import pandas

    if shown is segtrain.weights and not FINDER.is_dir():
        pytest.skip("no network comes with the package yet")
    names = {"smearsynth": smearsynth, "segtrain": segtrain, "numpy": numpy, "torch": torch}
    names |= {"pandas": pandas, "pathlib": pathlib}
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(shown), names, shown.__qualname__, None, None)
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.slow
def test_the_tour_of_the_readme_runs(here: Path) -> None:  # noqa: ARG001
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## From Python\n")[2].partition("\n## ")[0]
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert {"image", "instance"} & {*names} == {"image"}
    assert (names["image"].dtype, names["label"].dtype) == (torch.float32, torch.int64)
    assert len(names["cells"]) == len(names["count"].cells)
    assert [seen.shape for seen in names["maps"]] == [(224, 224), (240, 320)]
