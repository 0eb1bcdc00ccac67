"""Checkpoints and weights in files: plain tensors, numbers and text, whole or not there at all.

A file is read with torch's `weights_only` unpickler and never with another, so that one from a stranger cannot run
code. What that unpickler does not know (numpy arrays, our own classes) must be tensors and plain data in a checkpoint.
"""

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from smearsynth.base.errors import UserError
from smearsynth.base.files import published

State = dict[str, Any]


def save(path: Path, state: State) -> None:
    """Writes `state` as a whole: a kill leaves the old file or the new one.

    state: dicts, lists and tuples of tensors, numbers, text, bool and None. OSError where the disk takes no more.
    """
    # One name for all, so that what a killed training left half-written, which can be large, is written over.
    with published(path, path.with_name(f"{path.name}.part")) as part, part.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # torch's writer, closed by a full disk, complains of its own state and hides what the disk said.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load(path: Path) -> State:
    """What `save` wrote, tensors on the CPU. UserError where the file is missing, broken, or holds anything else."""
    return _read(
        path,
        what="a checkpoint of segtrain",
        missing="name the folder of a run that has saved a checkpoint",
        broken="use another checkpoint of the run",
    )


def load_weights(path: Path, key: str) -> State:
    """Weights that others saved with torch, by name, on the CPU; read as safely as `load` does. UserError likewise.

    key: of the config that names the file."""
    return _read(path, what="a file of weights", missing=f"check `{key}`", broken="fetch it again")


def _read(path: Path, *, what: str, missing: str, broken: str) -> State:
    try:
        _check_sums(path)
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {missing}.") from None
    except pickle.UnpicklingError:
        raise UserError(f"{path} holds more than weights and numbers: it is not {what}.") from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or in_short(error)
        raise UserError(f"{path} cannot be read ({reason}): {broken}.") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is not {what}: it holds no mapping.")
    return state


def _check_sums(path: Path) -> None:
    """ValueError where bytes of a checkpoint have changed since it was written: torch writes sums and does not look."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                raise ValueError("its bytes are not those that were written")


def in_short(error: Exception) -> str:
    """The first sentence of an error, for a sentence of ours; many of torch's are pages long."""
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(" .:") or "it is cut off"
