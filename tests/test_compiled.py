"""Compiled loops: they run where nothing can be kept on the disk, never as plain Python, and never as they were."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import smearsynth

OUTER = """
from smearsynth.base.compiled import compiled
from smearsynth.inner import of_inner

@compiled()
def twice():
    return 2 * of_inner()
"""
INNER = """
from smearsynth.base.compiled import compiled

@compiled()
def of_inner():
    return {value}
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.slow
def test_without_a_place_to_keep_it_a_loop_is_compiled_all_the_same() -> None:
    code = (
        "from smearsynth.base.fixed_point import ONE; from smearsynth.scene.warp import sine; print(sine(16384) == ONE)"
    )
    done = run(code, NUMBA_CACHE_DIR="/dev/null/nowhere")
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_with_compilation_switched_off_nothing_runs() -> None:
    code = "import sys; sys.argv[1:] = ['bench', 'recipes/quickstart.yaml']; from smearsynth.cli import main; main()"
    done = run(code, NUMBA_DISABLE_JIT="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "NUMBA_DISABLE_JIT is set, and without compilation labels would be wrong: unset it.\n"


@pytest.mark.slow
def test_a_loop_whose_inner_loop_was_edited_is_compiled_anew(tmp_path: Path) -> None:
    package = tmp_path / "smearsynth"
    (package / "base").mkdir(parents=True)
    for name in ("__init__.py", "base/__init__.py", "base/compiled.py", "base/errors.py"):
        shutil.copy(Path(smearsynth.__file__).parent / name, package / name)
    (package / "outer.py").write_text(OUTER)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from smearsynth.outer import twice; print(twice())"
    for value in (1, 21):
        (package / "inner.py").write_text(INNER.format(value=value))
        assert run(code, PYTHONDONTWRITEBYTECODE="1").stdout == f"{2 * value}\n"
