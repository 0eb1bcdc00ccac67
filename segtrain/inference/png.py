"""A PNG file of one byte a pixel, written as its rows come. Image libraries want all of them at once.

Format: PNG specification (third edition), W3C 2025: signature, then chunks of length, kind, data and CRC-32.
"""

import struct
import zlib
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from smearsynth.images import Pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_LEVEL = 2


class PngRows:
    """Writes rows of values, u1, as grey or as places in a palette."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int], palette: Pixels | None = None) -> None:
        """file: opened to write. shape: height and width, px. palette: u1 (n, 3) RGB, n up to 256."""
        self._file, self._width = file, shape[1]
        self._packer = isal_zlib.compressobj(level=_LEVEL)
        file.write(_SIGNATURE)
        kind = _GREY if palette is None else _PALETTE
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], 8, kind, 0, 0, 0))
        if palette is not None:
            self._chunk(b"PLTE", palette.tobytes())

    def add(self, rows: Pixels) -> None:
        """The next rows: u1 (n, width)."""
        unfiltered = np.pad(rows, ((0, 0), (1, 0)))
        self._chunk(b"IDAT", self._packer.compress(unfiltered.tobytes()))

    def finish(self) -> None:
        """After the last row."""
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        if data or kind == b"IEND":
            self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
