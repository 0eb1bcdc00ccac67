"""Compiled loops: they run where nothing can be kept on the disk, and never as plain Python."""

import os
import subprocess
import sys

import pytest
from numba.core import caching

from smearsynth.compiled import compiled


def double(x):
    return 2 * x


def test_without_a_place_to_keep_it_a_loop_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    function = compiled(error_model="numpy")(double)
    assert function(21) == 42
    assert function.signatures


def test_with_compilation_switched_off_nothing_runs() -> None:
    code = "from smearsynth.cli import main; main()"
    command = [sys.executable, "-c", code, "bench", "recipes/quickstart.yaml"]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "NUMBA_DISABLE_JIT is set, and without compilation labels would be wrong: unset it.\n"
