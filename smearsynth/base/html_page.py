"""HTML pages: from a template and values to one file that needs no other, no network and no script.

All reports have one frame, one style and the same parts (`base/frame.html`, `style.css`, `parts.html`). Whatever a
template shows is escaped, so a name from a source, an index or a path can't become markup. Should that fail one day,
the frame also forbids the browser to run a script or to fetch anything.
"""

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from smearsynth.base.images import Pixels

_PACKAGE = Path(__file__).parents[1]


def write_page(path: Path, template: str, *, package: Path = _PACKAGE, **values: Any) -> None:
    """Writes the page. template: relative to the folder `package`, such as "realism/page.html", which extends
    "base/frame.html" of this one."""
    path.write_text(_environment(package).get_template(template).render(values), encoding="utf-8", errors="replace")


@cache
def _environment(package: Path) -> Environment:
    made = Environment(
        loader=FileSystemLoader([package, _PACKAGE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": "{:,}".format, "share": share, "coded": coded}
    return made


class HtmlTable(NamedTuple):
    """Rows under a head, as the macro `table` shows them: the first column names the rows. texts: so many columns from
    the left hold text, the others figures. marked: numbers of rows that stand out, from 0.
    """

    head: Sequence[str | Markup]
    rows: Sequence[Iterable[object]]
    texts: int = 1
    marked: Collection[int] = ()


def swatch(colour: str, name: str) -> Markup:
    """A name behind a patch of its colour, "#rrggbb"."""
    return Markup('<i class="swatch" style="background:{}"></i>{}').format(colour, name)


def bar(parts: Mapping[str, float]) -> Markup:
    """A bar of one or several parts: colour -> width, from 0 to 1."""
    part = Markup('<i style="width:{:.2f}%;background:{}"></i>')
    drawn = (part.format(100 * width, colour) for colour, width in parts.items() if width)
    return Markup('<span class="bar">{}</span>').format(Markup("").join(drawn))


def in_lines(lines: Iterable[str]) -> Markup:
    """Each on a line of its own."""
    return Markup("<br>").join(lines)


def coded(text: str) -> Markup:
    """A sentence, what stands `between backticks` in it as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def share(value: float) -> str:
    """A share in per cent with two or three digits; "0" only for nothing at all."""
    percent = 100 * value
    if percent == 0 or percent >= 10:
        return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"
    return f"{percent:.2f} %" if percent >= 0.005 else "< 0.01 %"


@dataclass(frozen=True, kw_only=True)
class Inline:
    """A picture as part of a page. data: a data URI. width, height: px. alt: what it shows, for who cannot see it."""

    data: str
    width: int
    height: int
    alt: str


def inline(picture: Pixels, alt: str, *, exact: bool = False) -> Inline:
    """uint8 (H, W, 3) RGB; as a PNG that is exact, or as a JPEG of about a fifth of its size."""
    if exact:
        return _inline(Image.fromarray(picture), alt, "png", optimize=True)
    return _inline(Image.fromarray(picture), alt, "jpeg", quality=88, subsampling=0, optimize=True)


def inline_indexed(numbers: Pixels, palette: Pixels, alt: str) -> Inline:
    """uint8 (H, W), each pixel in the colour of its number in `palette`, uint8 (n, 3); a PNG of a few kB."""
    picture = Image.fromarray(numbers)
    picture.putpalette(np.ascontiguousarray(palette).tobytes())
    return _inline(picture, alt, "png", optimize=True)


def _inline(picture: Image.Image, alt: str, kind: str, **options: Any) -> Inline:
    file = BytesIO()
    picture.save(file, kind, **options)
    data = f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
    return Inline(data=data, width=picture.width, height=picture.height, alt=alt)
