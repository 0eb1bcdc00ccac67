"""What pages are made of: names stay text, pictures come back as they were, curves lie where their values are."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smearsynth.base.html_page import Inline, coded, inline, inline_indexed, share, write_page
from smearsynth.base.svg_plots import Curve, Mark, distribution, limits, plot

PIXELS = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)


def decoded(shown: Inline) -> np.ndarray:
    kind, _, data = shown.data.partition(",")
    assert re.fullmatch(r"data:image/(png|jpeg);base64", kind)
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        assert picture.size == (shown.width, shown.height)
        return np.asarray(picture.convert("RGB"))


def points(svg: str, tag: str = "polyline") -> np.ndarray:
    """(n, 2) of the only line."""
    [line] = re.findall(rf'<{tag}[^>]* points="([^"]*)"', svg)
    return np.array([pair.split(",") for pair in line.split()], float)


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
    curve = plot(
        np.arange(3.0), [Curve(np.ones(3), "#fff")], title=evil, unit=evil, low=0, high=1, marks=[Mark(1, evil)]
    )
    assert "<script" not in curve
    facts = {"dataset": evil, "against": evil}
    values = {"told": evil, "differs_most": evil, "sets": [], "head": [evil], "rows": [[evil]], "far": [0]}
    colours = {"synthetic": "red", "real": "blue"}
    write_page(tmp_path / "x.html", "fidelity/page.html", facts=facts, colours=colours, plots=[curve], **values)
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 12
    assert text.startswith("<!doctype html>")


def test_code_in_a_sentence() -> None:
    assert coded("run `a <b>` on <i>") == "run <code>a &lt;b&gt;</code> on &lt;i&gt;"


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0 %"), (1e-6, "< 0.01 %"), (0.0123, "1.23 %"), (0.5, "50.0 %"), (1, "100 %")]
)
def test_shares(value: float, told: str) -> None:
    assert share(value) == told


def test_curves_lie_where_their_values_are() -> None:
    x, y = np.linspace(0, 10, 11), np.linspace(2, 4, 11)
    drawn = points(
        plot(x, [Curve(y, "#123456"), Curve(np.full(11, np.nan), "red")], title="t", unit="u", low=2, high=4)
    )
    across, up = drawn.T
    assert np.allclose(np.diff(across), (across[-1] - across[0]) / 10, atol=0.11)
    assert np.allclose(np.diff(up), (up[-1] - up[0]) / 10, atol=0.11)
    assert up[0] > up[-1]


def test_a_distribution_shows_where_its_weight_and_its_marks_are() -> None:
    at = np.linspace(0, 1000, 512)
    weights = np.exp(-0.5 * np.square((at - 300) / 20))
    svg = str(distribution(at, [Curve(weights, "#fff", filled=True)], title="t", unit="px", marks=[Mark(1000, "far")]))
    low, high = (float(text.replace(",", "")) for text in re.findall(r"<text[^>]*>([\d.,]+)</text>", svg))
    across, up = points(svg).T
    peak = low + (across[up.argmin()] - across[0]) / (across[-1] - across[0]) * (high - low)
    assert peak == pytest.approx(300, abs=4)
    assert 200 < low < 260
    assert high == 1000
    assert ">far<" in svg
    assert np.array_equal(points(svg, "polygon")[1:-1], points(svg))


def test_limits_of_nothing() -> None:
    assert limits([np.nan]) == (0, 1)
    assert limits([1, 2], [5, np.nan]) == pytest.approx((0.95, 5.05))
