"""A page on this machine on which a person drops an image and sees what a trained network finds in it."""

import json
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from segtrain.inference.networks import load_networks
from segtrain.viewing.answer import MOST_BYTES, Viewer, checked
from segtrain.viewing.server import File, Server
from smearsynth.fields.scale import AUTO
from smearsynth.page import frame

_PAGE, _STYLE = Path(__file__).parent / "viewing", Path(frame.__file__).parent / "style.css"


def view(
    run: Path,
    *,
    port: int = 0,
    um_per_px: str = AUTO,
    which: Literal["best", "last"] = "best",
    device: str = "auto",
    browser: bool = True,
    on_ready: Callable[[str], object] = print,
) -> None:
    """Serves the page on 127.0.0.1 until Ctrl-C, and nothing is written.

    port: 0 is one that is free. um_per_px: a number or `auto`, for images that are given no other on the page. browser:
    open it in the person's own. on_ready: is called with the page's address. Raises UserError.
    """
    with server_of(run, port=port, um_per_px=um_per_px, which=which, device=device) as server:
        on_ready(server.url)
        if browser:
            webbrowser.open(server.url)
        server.serve_until_interrupted()


def server_of(
    run: Path, *, port: int = 0, um_per_px: str = AUTO, which: Literal["best", "last"] = "best", device: str = "auto"
) -> Server:
    """The server of the page, bound to its port; arguments and errors as of `view`."""
    networks = load_networks([run], which=which, device=device)
    viewer = Viewer(networks, name=str(run), um_per_px=checked(um_per_px))
    return Server(port, _files(viewer), viewer.answer, most_bytes=MOST_BYTES)


def _files(viewer: Viewer) -> dict[str, File]:
    def text(kind: str, path: Path) -> File:
        return File(f"text/{kind}; charset=utf-8", path.read_bytes())

    return {
        "/": text("html", _PAGE / "page.html"),
        "/style.css": text("css", _STYLE),
        "/page.css": text("css", _PAGE / "page.css"),
        "/page.js": text("javascript", _PAGE / "page.js"),
        "/about": File("application/json", json.dumps(viewer.about()).encode()),
    }
