"""The lines of README.md that load a dataset without this package, run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_set import prepare, small_build

README = Path(__file__).parents[1] / "README.md"
DUMP = "\nimport numpy\nnumpy.savez('found.npz', image=image, label=label)\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset called quickstart, as in README.md."""
    path = tmp_path_factory.mktemp("loading")
    prepare(path)
    small_build(path, path / "quickstart", limit=8)
    return path


@pytest.mark.parametrize("package", ["h5py", pytest.param("datasets", marks=pytest.mark.slow)])
def test_the_lines_of_the_readme(folder: Path, package: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    section = README.read_text(encoding="utf-8").partition("\n## Shards\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (code,) = (block for block in blocks if f"import {package}\n" in block)
    # A process of its own, so that no other test meets what these packages do at their import; and no network.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    words = [sys.executable, "-c", code + DUMP]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = np.load(folder / "found.npz")
    with h5py.File(folder / "quickstart" / "train-00000.h5") as shard:
        for name in ("image", "label"):
            np.testing.assert_array_equal(found[name], shard[name][0])
            assert found[name].dtype == np.uint8
