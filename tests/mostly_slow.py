"""Of many cases that take the same way, the quick suite tries a few."""

from typing import Any

import pytest


def mostly_slow(*cases: tuple[Any, ...]) -> list[Any]:
    """The cases, for `parametrize`; all but every sixth are marked slow."""
    return [pytest.param(*case, marks=[pytest.mark.slow] if number % 6 else []) for number, case in enumerate(cases)]
