"""How loops are compiled: by numba, and kept for the next run where there is a place to keep them.

Their integers have the widths that numba gives them. Run as plain Python, the same sums over bytes would wrap, and
labels would be wrong in silence: so where compilation is switched off nothing runs.
"""

from collections.abc import Callable
from typing import Any

import numba

from smearsynth.errors import UserError

Function = Callable[..., Any]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Decorator: the function, compiled at its first call. options: as `numba.njit` takes them.

    Raises UserError where the environment switches compilation off.
    """
    if numba.config.DISABLE_JIT:
        raise UserError("NUMBA_DISABLE_JIT is set, and without compilation labels would be wrong: unset it.")

    def compile_it(function: Function) -> Function:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:
            # Neither beside the code nor in the user's folders may a file be written: every run compiles anew.
            return numba.njit(**options)(function)

    return compile_it
