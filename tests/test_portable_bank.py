"""The same cells on processors of other kinds: numpy and OpenCV choose their loops by what the processor can do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

TESTS = Path(__file__).parent
REAL = TESTS.parents[1] / "shared" / "sources"
PLAIN = {
    "numpy": {"NPY_DISABLE_CPU_FEATURES": " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])},
    "OpenCV": {"OPENCV_CPU_DISABLE": "AVX512-SKX", "OPENCV_IPP": "disabled"},
}
"""By library: what leaves numpy no more than any processor has, and OpenCV no more than AVX2."""
GRAFTED = "from grafted_bank import grafted; print(grafted().digest)"
REAL_BANK = f"""
from dataclasses import replace

from smearsynth.bank.make_bank import make_bank
from smearsynth.recipe.reading import load_recipe
from smearsynth.sources.listing import list_sources

recipe = load_recipe({str(TESTS.parent / "recipes" / "smear10-open.yaml")!r})
some = {{}}
for name, found in list_sources(recipe).items():
    images = set(list(dict.fromkeys(entry.path for entry in found.entries))[::25])
    some[name] = replace(found, entries=tuple(entry for entry in found.entries if entry.path in images))
print(make_bank(recipe, listings=some).bank.digest)
"""


def printed(program: str, **environment: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "SMEARSYNTH_SOURCES": str(REAL), **environment}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return run.stdout


@pytest.mark.parametrize("library", PLAIN)
def test_a_bank_with_grafts_is_the_same(library: str) -> None:
    assert printed(GRAFTED, **PLAIN[library]) == printed(GRAFTED)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real source databases in {REAL}")
def test_a_bank_of_real_cells_is_the_same() -> None:
    assert printed(REAL_BANK, **PLAIN["numpy"], **PLAIN["OpenCV"]) == printed(REAL_BANK)


def test_numpy_is_left_plain_loops_indeed() -> None:
    program = "import numpy._core._multiarray_umath as m; print(sum(m.__cpu_features__[d] for d in m.__cpu_dispatch__))"
    assert printed(program, **PLAIN["numpy"]) == "0\n"
