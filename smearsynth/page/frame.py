"""From a template and values to one file.

Whatever a template shows is escaped, so a name from a source, an index or a path can't become markup. Should that fail
one day, the frame also forbids the browser to run a script or to fetch anything.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

_PACKAGE = Path(__file__).parents[1]


def write_page(path: Path, template: str, *, package: Path = _PACKAGE, **values: Any) -> None:
    """Writes the page. template: relative to the folder `package`, such as "fidelity/page.html", which extends
    "page/frame.html" of this one."""
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
    made.filters["count"] = lambda number: f"{number:,}"
    made.filters["share"] = share
    made.filters["coded"] = coded
    return made


def coded(text: str) -> Markup:
    """A sentence, what stands `between backticks` in it as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def share(value: float) -> str:
    """A share in per cent with two or three digits; "0" only for nothing at all."""
    percent = 100 * value
    if percent == 0 or percent >= 10:
        return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"
    return f"{percent:.2f} %" if percent >= 0.005 else "< 0.01 %"
