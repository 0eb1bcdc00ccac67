"""How loops are compiled: by numba, and kept for the next run where there is a place to keep them.

Their integers have the widths that numba gives them. Run as plain Python, the same sums over bytes would wrap, and
labels would be wrong in silence: so where compilation is switched off nothing runs.

numba reuses what it kept as long as the file of a function is unchanged, though the function may hold code and
constants of others. So it is kept in a folder named by the digest of the whole package: one edited file, and all is
compiled anew.
"""

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

from smearsynth.base.errors import UserError

Function = Callable[..., Any]
_PACKAGE = Path(__file__).parents[1]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Decorator: the function, compiled at its first call. options: as `numba.njit` takes them.

    Raises UserError where the environment switches compilation off.
    """
    if numba.config.DISABLE_JIT:
        raise UserError("NUMBA_DISABLE_JIT is set, and without compilation labels would be wrong: unset it.")

    def compile_it(function: Function) -> Function:
        usual, folder = numba.config.CACHE_DIR, _cache_folder()
        if folder is None:
            return numba.njit(**options)(function)
        numba.config.CACHE_DIR = str(folder)
        try:
            return numba.njit(cache=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = usual

    return compile_it


def must_be_compiled(function: Function) -> bool:
    """Whether no earlier run has kept what the function is compiled to, and this one can."""
    folder = _cache_folder()
    return folder is not None and not any(folder.rglob(f"*.{function.__qualname__}-*.nbi"))


@lru_cache(maxsize=1)
def _cache_folder() -> Path | None:
    """Where compiled loops of just this code are kept; None where neither beside the code nor in the user's folders a
    file may be written, so that every run compiles anew."""
    chosen: str = numba.config.CACHE_DIR
    for base in [Path(chosen)] if chosen else [_PACKAGE / "__pycache__", Path("~/.cache/smearsynth")]:
        try:
            folder = base.expanduser() / f"loops-{code_digest()}"
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # the latter where the user has no home
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


@lru_cache(maxsize=1)
def code_digest() -> str:
    """16 hex digits over name and content of every module."""
    sha = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        sha.update(f"{path.relative_to(_PACKAGE).as_posix()} {len(content)} ".encode())
        sha.update(content)
    return sha.hexdigest()[:16]
