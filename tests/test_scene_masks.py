"""Rows of bits against Python's own integers and numpy's own booleans."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from smearsynth.scene import masks

WORD = st.one_of(
    st.integers(0, 2**64 - 1), st.builds(lambda a, b: (2**a - 1) << b & 2**64 - 1, *[st.integers(0, 64)] * 2)
)


def row_of(pixels):
    """u8 words of a row of booleans, as `numpy` packs them."""
    padded = np.zeros(-(-len(pixels) // 64) * 64, bool)
    padded[: len(pixels)] = pixels
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64)


def pixels_of(row):
    return np.unpackbits(row.astype("<u8").view(np.uint8), bitorder="little").astype(bool)


@settings(deadline=None)
@given(word=WORD)
def test_count_lowest_highest(word):
    text = f"{word:064b}"
    assert masks.count(np.uint64(word)) == text.count("1")
    assert masks.lowest(np.uint64(word)) == (text[::-1].index("1") if word else 64)
    assert masks.highest(np.uint64(word)) == word.bit_length() - 1


@settings(deadline=None)
@given(word=WORD)
def test_runs_make_up_the_word(word):
    rest, found, end = np.uint64(word), 0, -1
    while rest != 0:
        start, stop, rest = masks.first_run(rest)
        assert end < start < stop <= 64, "runs are apart and ascend"
        found, end, rest = found + 2**stop - 2**start, stop, np.uint64(rest)
    assert found == word


@settings(max_examples=80, deadline=None)
@given(pixels=st.lists(st.booleans(), min_size=1, max_size=200), column=st.integers(-300, 300), erased=WORD)
def test_window_and_erase_at_any_column(pixels, column, erased):
    row = np.concatenate([[masks.ALL], row_of(pixels), [masks.ALL]]).astype(np.uint64)
    length = len(row) - 2
    plane = np.zeros(1000, bool)
    plane[400 : 400 + 64 * length] = pixels_of(row[1:-1])
    window = np.array([masks.window(row, 1, length, column)], np.uint64)
    assert (pixels_of(window) == plane[400 + column : 464 + column]).all()
    masks.erase(row, 1, length, column, np.uint64(erased))
    plane[400 + column : 464 + column] &= ~pixels_of(np.array([erased], np.uint64))
    assert (pixels_of(row[1:-1]) == plane[400 : 400 + 64 * length]).all()
    assert row[0] == row[-1] == masks.ALL, "the rows before and after are left alone"


@settings(deadline=None)
@given(start=st.integers(0, 199), length=st.integers(1, 200), before=st.lists(WORD, min_size=5, max_size=5))
def test_fill(start, length, before):
    row = np.array(before, np.uint64)
    stop = min(start + length, 256)
    expected = pixels_of(row)
    expected[64 + start : 64 + stop] = True
    masks.fill(row, 1, start, stop)
    assert (pixels_of(row) == expected).all()
