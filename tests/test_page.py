"""What pages are made of: names stay text, pictures come back as they were, curves lie where their values are."""

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from browser import ABSENT, CHROMIUM, open_page
from PIL import Image

from smearsynth.base.html_page import (
    HtmlTable,
    Inline,
    bar,
    coded,
    in_lines,
    inline,
    inline_indexed,
    share,
    swatch,
    write_page,
)
from smearsynth.base.plots import Curve, Mark, curves, distribution

PIXELS = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)


def decoded(shown: Inline) -> np.ndarray:
    kind, _, data = shown.data.partition(",")
    assert re.fullmatch(r"data:image/(png|jpeg);base64", kind)
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        assert picture.size == (shown.width, shown.height)
        return np.asarray(picture.convert("RGB"))


def test_pictures_come_back() -> None:
    assert np.array_equal(decoded(inline(PIXELS, "x", exact=True)), PIXELS)
    smooth = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)[..., None].repeat(3, 2)
    assert np.abs(decoded(inline(smooth, "x")).astype(int) - smooth).max() < 6
    numbers = (PIXELS[..., 0] % 10).astype(np.uint8)
    numbers[0, 0] = 255
    palette = np.random.default_rng(2).integers(0, 256, (256, 3), np.uint8)
    assert np.array_equal(decoded(inline_indexed(numbers, palette, "x")), palette[numbers])


def test_whatever_a_template_shows_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    rows = [[swatch(evil, evil), evil, in_lines([evil, evil]), bar({evil: 0.5})]]
    values = {
        "facts": {"dataset": evil, "against": evil},
        "method": evil,
        "leakage": (evil, evil),
        "differs_most": evil,
        "sets": [(evil, evil, [])],
        "table": HtmlTable([evil], rows),
        "plots": [curves(np.arange(3.0), [Curve(np.ones(3), "red")], title=evil, unit=evil)],
    }
    write_page(tmp_path / "x.html", "realism/page.html", **values)
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 22
    assert text.startswith("<!doctype html>")


def test_code_in_a_sentence() -> None:
    assert coded("run `a <b>` on <i>") == "run <code>a &lt;b&gt;</code> on &lt;i&gt;"


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0 %"), (1e-6, "< 0.01 %"), (0.0123, "1.23 %"), (0.5, "50.0 %"), (1, "100 %")]
)
def test_shares(value: float, told: str) -> None:
    assert share(value) == told


def test_a_bar_has_a_part_for_each_colour_that_has_a_width() -> None:
    assert re.findall(r"width:([\d.]+)%;background:(\w+)", bar({"red": 0.25, "blue": 0, "green": 0.5})) == [
        ("25.00", "red"),
        ("50.00", "green"),
    ]


X = np.linspace(0, 1000, 512)


def screen_of(shown: Inline, scratch: Path) -> np.ndarray:
    """uint8 (h, w, 3): how a browser shows a plot, at four times its size."""
    page = scratch / "plot.html"
    policy = '<meta http-equiv="Content-Security-Policy" content="img-src data:">'
    page.write_text(f'{policy}<body style="margin:0"><img width="{4 * shown.width}" src="{shown.data}">')
    return open_page(page, scratch, width=4 * shown.width).screen[: 4 * shown.height, : 4 * shown.width]


def pixels_of(screen: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """bool (h, w): where it has the colour."""
    return np.abs(screen.astype(int) - colour).max(axis=2) < 40


def names_in(shown: Inline) -> list[str]:
    svg = base64.b64decode(shown.data.partition(",")[2]).decode()
    return [html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)
def test_curves_are_where_their_values_are(tmp_path: Path) -> None:
    rising, falling = Curve(X, "#ff0000"), Curve(1000 - X, "#0000ff")
    shown = curves(X, [rising, falling, Curve(np.full(512, np.nan), "#00ff00")], title="t", unit="u")
    screen = screen_of(shown, tmp_path)
    for colour, slope in (((255, 0, 0), -1), ((0, 0, 255), 1)):
        rows, columns = np.nonzero(pixels_of(screen, colour))
        assert np.corrcoef(columns, rows)[0, 1] * slope > 0.999
    assert not pixels_of(screen, (0, 255, 0)).any()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)
def test_a_distribution_shows_where_its_weight_and_its_marks_are(tmp_path: Path) -> None:
    weights = np.exp(-0.5 * np.square((X - 300) / 20))
    shown = distribution(X, [Curve(weights, "#ff0000")], title="t", unit="px", marks=[Mark(1000, "far")])
    rows, columns = np.nonzero(pixels_of(screen_of(shown, tmp_path), (255, 0, 0)))
    left, right = columns.min(), columns.max()
    peak = (np.mean(columns[rows == rows.min()]) - left) / (right - left)
    low = 1000 - (1000 - 300) / (1 - peak)  # what is shown ends with the mark
    assert 200 < low < 260
    assert "far" in names_in(shown)


def test_a_plot_keeps_names_as_they_are_and_gives_the_same_bytes_again() -> None:
    made = [curves(X, [Curve(X, "red")], title="a & <b>", unit="µm") for _ in range(2)]
    assert made[0] == made[1]
    assert {"a & <b>", "µm"} <= set(names_in(made[0]))
