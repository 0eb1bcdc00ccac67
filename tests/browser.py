"""A headless Chromium that opens a file and tells what became of it."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ABSENT = "no Chromium is installed; Debian: apt-get install chromium"
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_PROBE = """<script>addEventListener("load", () => {
  const root = document.documentElement, told = document.createElement("pre")
  told.id = "told"
  told.textContent = JSON.stringify({
    broken: [...document.images].filter(i => !i.naturalWidth).length,
    images: document.images.length,
    wide: root.scrollWidth - root.clientWidth,
    injected: !!window.injected,
    hidden: [...document.querySelectorAll("table, img")].filter(e => !e.getBoundingClientRect().width).length,
  })
  document.body.append(told)
})</script></body>"""


@dataclass(frozen=True)
class Opened:
    """dom: the document after it was loaded. log: what the browser said of it. requested: addresses that the
    page asked for, beyond files. screen: u1 (h, w, 3)."""

    dom: str
    log: str
    requested: set[str]
    screen: np.ndarray


def open_page(page: Path, scratch: Path, *, width: int = 1000) -> Opened:
    """The page as it is, by a window of `width` px."""
    told = ("--dump-dom", f"--log-net-log={scratch / 'net.json'}", "--enable-logging=stderr")
    dom = _run(page, scratch, width, *told, f"--screenshot={scratch / 'page.png'}")
    with Image.open(scratch / "page.png") as picture:
        screen = np.asarray(picture.convert("RGB"))
    events = json.loads((scratch / "net.json").read_text(errors="replace"))["events"]
    asked = [e["params"] for e in events if {"url", "initiator"} <= e.get("params", {}).keys()]
    # What the browser asks for by itself has no origin.
    requested = {params["url"] for params in asked if params["initiator"] != "not an origin"}
    return Opened(dom.stdout, dom.stderr, {url for url in requested if not url.startswith(("data:", "file:"))}, screen)


def probe(page: Path, scratch: Path, *, width: int = 1000) -> dict[str, int]:
    """What the layout is like: a copy of the page is opened that allows scripts, and one asks it."""
    text, forbidding = _POLICY.subn("", page.read_text(encoding="utf-8"))
    assert forbidding == 1, "the page forbids nothing"
    copy = scratch / "probed.html"
    copy.write_text(text.replace("</body>", _PROBE), encoding="utf-8")
    dom = _run(copy, scratch, width, "--dump-dom").stdout
    return json.loads(dom.partition('<pre id="told">')[2].partition("</pre>")[0])


def _run(page: Path, scratch: Path, width: int, *words: str) -> subprocess.CompletedProcess[str]:
    # As root it runs without its sandbox alone; what it opens here, the tests have made.
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync")
    nowhere = ("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={scratch / 'profile'}")
    command = [str(CHROMIUM), *options, *quiet, *nowhere, f"--window-size={width},1400", *words, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
