"""A headless Chromium that a test clicks, types and drops files in."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import ABSENT, CHROMIUM

webdriver = pytest.importorskip("selenium.webdriver")
DRIVER = shutil.which("chromedriver")
if CHROMIUM is None:
    pytest.skip(ABSENT, allow_module_level=True)
if DRIVER is None:
    pytest.skip("no chromedriver is installed; Debian: apt-get install chromium-driver", allow_module_level=True)


@contextmanager
def chromium(downloads: Path) -> Iterator[webdriver.Chrome]:
    """The browser, which saves what it downloads in a folder and reaches this machine only."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # As root it runs without its sandbox alone; what it opens here, the tests have made.
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(word)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.add_argument("--window-size=1300,900")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
