"""What tests of verify have in common: its call, the names of a small set, and one changed byte."""

from pathlib import Path
from typing import Any

import smearsynth
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.verbs.verify import Verification

FIELD = {name: column for column, name in enumerate(OBJECT_FIELDS)}
TRAIN = "train-00000.h5"


def verify(out: Path, **options: Any) -> Verification:
    return smearsynth.verify(out, **{"workers": 1, "progress": False, **options})


def errors(out: Path, **options: Any) -> list[str]:
    return [str(error) for error in verify(out, **options).errors]


def flipped(path: Path, offset: int, mask: int) -> bytes:
    """Changes one byte; returns what the file held."""
    before = path.read_bytes()
    data = bytearray(before)
    data[offset] ^= mask
    path.write_bytes(data)
    return before
