"""Masks as rows of bits, 64 pixels to a word, the lowest bit leftmost: overlaps are counted 64 pixels at a time.

Words are uint64 and stay uint64: numba turns a sum of a signed and an unsigned integer into a float.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled

NONE = np.uint64(0)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_1, _2, _4, _8, _16, _32, _56 = (np.uint64(k) for k in (1, 2, 4, 8, 16, 32, 56))
_PAIRS, _NIBBLES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_BYTES, _SUM = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


class FreeMask(NamedTuple):
    """The pixels of a field that no cell covers yet. height, width: of the field, px. rows: uint64
    (height * words(width),), 1 where a pixel is free; bits beyond the width are 0."""

    height: int
    width: int
    rows: npt.NDArray[np.uint64]


@compiled()
def free_mask(height, width):  # type: ignore[no-untyped-def]
    """The mask of an empty field."""
    free = FreeMask(height, width, np.empty(height * words(width), np.uint64))
    free_all(free)
    return free


@compiled()
def free_all(free):  # type: ignore[no-untyped-def]
    """Makes all pixels free."""
    free.rows[:] = NONE
    length = words(free.width)
    for y in range(free.height):
        fill(free.rows, y * length, np.int64(0), free.width)


@compiled()
def count_free(free):  # type: ignore[no-untyped-def]
    """How many pixels are free."""
    pixels = 0
    for word in free.rows:
        pixels += count(word)
    return pixels


@compiled()
def is_free(free, x, y):  # type: ignore[no-untyped-def]
    """Whether no cell covers a pixel; outside the field, where nothing is recorded, none does."""
    if not (0 <= x < free.width and 0 <= y < free.height):
        return True
    word = free.rows[y * words(free.width) + (x >> 6)]
    return (word >> np.uint64(x & 63)) & _1 != NONE


@compiled()
def words(width):  # type: ignore[no-untyped-def]
    """Words that hold a row of `width` pixels."""
    return (width + 63) >> 6


@compiled()
def count(word):  # type: ignore[no-untyped-def]
    """Set bits of a word, int64: sums of ever wider fields, which compilers know as the population count."""
    word = word - ((word >> _1) & _PAIRS)
    word = (word & _NIBBLES) + ((word >> _2) & _NIBBLES)
    word = (word + (word >> _4)) & _BYTES
    return np.int64((word * _SUM) >> _56)


@compiled()
def lowest(word):  # type: ignore[no-untyped-def]
    """Position of the lowest set bit, 64 where none is set."""
    return count(~word & (word - _1))


@compiled()
def highest(word):  # type: ignore[no-untyped-def]
    """Position of the highest set bit, -1 where none is set."""
    for step in (_1, _2, _4, _8, _16, _32):
        word |= word >> step
    return count(word) - 1


@compiled()
def first_run(word):  # type: ignore[no-untyped-def]
    """Where the lowest run of set bits starts and stops, and the word without it; at least one must be set."""
    start = lowest(word)
    stop = start + lowest(~(word >> np.uint64(start)))
    rest = NONE if stop == 64 else (word >> np.uint64(stop)) << np.uint64(stop)
    return start, stop, rest


@compiled()
def window(rows, first, length, column):  # type: ignore[no-untyped-def]
    """64 pixels from `column` on of the row that is rows[first : first + length]; those outside it are 0."""
    word, shift = column >> 6, np.uint64(column & 63)
    low = rows[first + word] if 0 <= word < length else NONE
    high = rows[first + word + 1] if -1 <= word < length - 1 else NONE
    # A shift by 64 is undefined: so it goes in two steps.
    return (low >> shift) | ((high << _1) << (np.uint64(63) - shift))


@compiled()
def fill(rows, first, start, stop):  # type: ignore[no-untyped-def]
    """Sets the pixels from `start` up to `stop`, at least one, of the row that begins at rows[first]."""
    head, tail = ALL << np.uint64(start & 63), ALL >> np.uint64(63 - ((stop - 1) & 63))
    begin, end = first + (start >> 6), first + ((stop - 1) >> 6)
    if begin == end:
        rows[begin] |= head & tail
        return
    rows[begin] |= head
    rows[begin + 1 : end] = ALL
    rows[end] |= tail


@compiled()
def erase(rows, first, length, column, pixels):  # type: ignore[no-untyped-def]
    """Clears the set bits of `pixels`, a word, from `column` on in the row that is rows[first : first + length]."""
    word, shift = column >> 6, np.uint64(column & 63)
    if 0 <= word < length:
        rows[first + word] &= ~(pixels << shift)
    if -1 <= word < length - 1:
        rows[first + word + 1] &= ~((pixels >> _1) >> (np.uint64(63) - shift))
