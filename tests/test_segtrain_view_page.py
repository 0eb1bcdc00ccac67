"""view: the page in a real browser: an upload, what is shown of it, and every handle on it."""

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven import chromium, webdriver
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from viewed import drawn_field

from segtrain.counting.cell_measures import measure_cells
from segtrain.counting.summary import summarise
from segtrain.inference.field_prediction import predict_field
from segtrain.inference.image_reader import open_image
from segtrain.inference.ready_networks import load_networks
from segtrain.viewing.viewer import server_of
from smearsynth.fields.scale import RED_CELL_UM
from smearsynth.taxonomy import BY_KEY, CLASSES, HEALTHY_RBC, INFECTED_RBC, UM_PER_PX

pytestmark = pytest.mark.slow
Browser = webdriver.Chrome
NAME = "<img src=x onerror=window.injected=1>.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def field(folder: Path) -> Path:
    Image.fromarray(drawn_field()).save(folder / NAME)
    return folder / NAME


@pytest.fixture(scope="module")
def address(viewed: Path) -> Iterator[str]:
    with server_of(viewed, um_per_px=str(UM_PER_PX)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    (folder / "saved").mkdir()
    with chromium(folder / "saved") as driver:
        yield driver


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Browser]:
    """The page, newly opened; afterwards the browser must have had nothing to complain of."""
    browser.get(address)
    WebDriverWait(browser, 60).until(lambda b: text(b, "limits"))
    browser.get_log("browser")
    yield browser
    # It notes a refusal, which is an answer like another, and that a test reads from a canvas.
    noted = ("status of 422", "getImageData")
    said = [line["message"] for line in browser.get_log("browser")]
    assert [message for message in said if not any(note in message for note in noted)] == []


def text(page: Browser, name: str) -> str:
    return page.find_element(By.ID, name).text


def wait(page: Browser) -> None:
    WebDriverWait(page, 60).until(lambda b: not b.find_element(By.ID, "busy").is_displayed())


def upload(page: Browser, file: Path) -> None:
    entry = page.find_element(By.ID, "file")
    entry.send_keys(str(file))
    # The page takes a file and empties the field at once; before, it does not wait for anything yet.
    WebDriverWait(page, 60).until(lambda _: not entry.get_property("value"))
    wait(page)


def told(page: Browser, expression: str) -> Any:
    return page.execute_script(f"return {expression}")


def shown(page: Browser, x: float, y: float) -> list[int]:
    """RGB of the stage where the image has its pixel (x, y), of the whole image fitted."""
    return page.execute_script(
        """const stage = document.getElementById("stage"), [x, y, width, height] = arguments
        const scale = Math.min(stage.width / width, stage.height / height)
        const at = [(stage.width - width * scale) / 2 + x * scale, (stage.height - height * scale) / 2 + y * scale]
        return [...stage.getContext("2d").getImageData(...at.map(Math.round), 1, 1).data].slice(0, 3)""",
        x,
        y,
        320,
        240,
    )


def slide(page: Browser, value: int) -> None:
    page.execute_script(
        """const slider = document.getElementById("opacity")
        slider.value = arguments[0]
        slider.dispatchEvent(new Event("input", { bubbles: true }))""",
        value,
    )


def counts(page: Browser) -> dict[str, int]:
    rows = [row.text.rsplit(None, 1) for row in page.find_elements(By.CSS_SELECTOR, "#legend tr")]
    return {name: int(count) for name, count in rows}


def differs(pixel: list[int], other: list[int]) -> bool:
    return max(abs(a - b) for a, b in zip(pixel, other, strict=True)) > 12


def test_before_an_image_the_page_says_what_it_takes(page: Browser, viewed: Path) -> None:
    assert "Research only, not a diagnosis" in page.find_element(By.TAG_NAME, "header").text
    assert text(page, "run") == str(viewed)
    assert "TIFF" in text(page, "limits")
    assert "100 MiB and 40 megapixels" in text(page, "limits")
    names = [row.text for row in page.find_elements(By.CSS_SELECTOR, "#legend tr")]
    assert names == [c.name for c in CLASSES[1:]]


def test_an_upload_is_counted_as_the_count_functions_count(page: Browser, viewed: Path, field: Path) -> None:
    upload(page, field)
    networks = load_networks([viewed])
    found = predict_field(networks, open_image(field), UM_PER_PX)
    keys = networks.classes.keys
    cells = measure_cells(found.label, found.confidence, keys=keys, um_per_px=UM_PER_PX).cells
    told = summarise(cells, keys=keys)
    assert counts(page) == {BY_KEY[key].name: count for key, count in told.cells.items()}
    assert (told.cells["infected_rbc"], told.red_cells) == (7, 20)
    assert told.parasitaemia is not None
    low, high = (f"{100 * value:.1f}" for value in (told.parasitaemia.low, told.parasitaemia.high))
    summary = page.find_element(By.ID, "summary").text.split("\n")
    assert summary[:3] == ["95 % interval", "Red cells 20", f"Parasitaemia 35.0 % {low} to {high} %"]
    warnings = page.find_element(By.ID, "warnings").text
    assert [line.lower().rstrip(".") for line in warnings.split("\n")] == [line.lower() for line in told.warnings]


def test_the_slider_fades_the_overlay_and_the_boxes_switch_classes(page: Browser, field: Path) -> None:
    upload(page, field)
    image = drawn_field()
    slide(page, 0)
    for x, y in ((30, 30), (90, 30), (60, 60)):
        assert not differs(shown(page, x, y), image[y, x].tolist())
    slide(page, 100)
    assert text(page, "strength") == "100 %"
    assert shown(page, 30, 30) == list(CLASSES[INFECTED_RBC].rgb)
    assert shown(page, 90, 30) == list(CLASSES[HEALTHY_RBC].rgb)
    assert not differs(shown(page, 60, 60), image[60, 60].tolist())
    slide(page, 50)
    mixed = [(a + b) / 2 for a, b in zip(image[30, 90].tolist(), CLASSES[HEALTHY_RBC].rgb, strict=True)]
    assert not differs(shown(page, 90, 30), mixed)
    slide(page, 100)
    page.find_element(By.CSS_SELECTOR, f"#legend input[value='{HEALTHY_RBC}']").click()
    assert not differs(shown(page, 90, 30), image[30, 90].tolist())
    assert shown(page, 30, 30) == list(CLASSES[INFECTED_RBC].rgb)


def test_a_cell_tells_of_itself(page: Browser, field: Path) -> None:
    upload(page, field)
    hover(page, 30, 30)
    assert text(page, "tip").startswith("Infected RBC\n")
    assert "µm², confidence 0." in text(page, "tip") or "confidence 1.00" in text(page, "tip")
    hover(page, 60, 60)
    assert not page.find_element(By.ID, "tip").is_displayed()


def hover(page: Browser, x: int, y: int) -> None:
    """The pointer where the image, fitted, has its pixel (x, y)."""
    stage = page.find_element(By.ID, "stage")
    width, height = (stage.size[side] for side in ("width", "height"))
    scale = min(width / 320, height / 240)
    actions = webdriver.ActionChains(page)
    actions.move_to_element_with_offset(stage, round((x - 160) * scale), round((y - 120) * scale)).perform()


def test_zoom_goes_to_single_pixels_and_back(page: Browser, field: Path) -> None:
    upload(page, field)
    whole = text(page, "zoom")
    page.find_element(By.ID, "full").click()
    assert text(page, "zoom") == "100 %"
    for _ in range(5):
        page.find_element(By.ID, "in").click()
    assert text(page, "zoom") == "759 %"
    page.find_element(By.ID, "fit").click()
    assert text(page, "zoom") == whole


def drop(page: Browser, kind: str, file: Path) -> None:
    """A file, dropped or pasted on the page: only a person's hand can bring it from another program."""
    page.execute_async_script(
        """const [kind, bytes, name, done] = arguments, files = new DataTransfer()
        files.items.add(new File([Uint8Array.from(bytes)], name))
        const given = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: files, bubbles: true })
          : new DragEvent(kind, { dataTransfer: files, bubbles: true })
        document.body.dispatchEvent(given)
        done()""",
        kind,
        list(file.read_bytes()),
        file.name,
    )
    wait(page)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_may_be_dropped_or_pasted(page: Browser, field: Path, kind: str) -> None:
    drop(page, kind, field)
    assert text(page, "name") == f"{NAME}, 320 × 240 px"
    assert sum(counts(page).values()) > 0


def test_a_grey_tiff_of_16_bits_is_shown_at_the_scale_of_its_red_cells(page: Browser, tmp_path: Path) -> None:
    cells = drawn_field().mean(axis=2) < 140
    grey = np.where(cells, 120, 240).astype(np.uint16) * 257
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    upload(page, tmp_path / "grey.tif")
    slide(page, 0)
    assert not differs(shown(page, 60, 60), [240, 240, 240])
    page.find_element(By.ID, "auto").click()
    wait(page)
    um_per_px = RED_CELL_UM / (2 * np.sqrt(cells.sum() / 20 / np.pi))
    told = "found by taking the median single red cell to be 7.3 µm wide."
    assert text(page, "scale") == f"{um_per_px:.3g} µm per pixel, {told}"


def test_a_file_that_is_no_image_gets_a_sentence_and_the_next_one_is_shown(
    page: Browser, field: Path, tmp_path: Path
) -> None:
    upload(page, field)
    (tmp_path / "broken.png").write_bytes(field.read_bytes()[:500])
    upload(page, tmp_path / "broken.png")
    assert text(page, "error").startswith("broken.png: cannot be read as an image")
    assert text(page, "name") == "broken.png"
    assert not page.find_element(By.ID, "found").is_displayed(), "it would be of the image before"
    upload(page, field)
    assert text(page, "error") == ""
    assert page.find_element(By.ID, "found").is_displayed()


def test_a_file_that_is_too_large_gets_a_sentence(page: Browser, tmp_path: Path) -> None:
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate((100 << 20) + 1)
    upload(page, tmp_path / "large.tif")
    assert text(page, "error").startswith("large.tif: the file is over 100 MiB")


def test_another_scale_can_be_entered(page: Browser, field: Path) -> None:
    upload(page, field)
    assert text(page, "scale") == "0.2 µm per pixel, as it was given."
    rescale(page, "0,4")
    assert text(page, "scale") == "0.4 µm per pixel, as it was given."
    hover(page, 30, 30)
    large = float(text(page, "tip").split("\n")[1].split()[0])
    assert large == pytest.approx(np.pi * 18**2 * 0.4**2, rel=0.1)
    rescale(page, "7")
    assert text(page, "error") == "The scale: 7 um/px is outside 0.01 to 2.0; give micrometres per pixel"
    assert text(page, "scale") == "0.4 µm per pixel, as it was given.", "that is what is shown still"


def test_an_image_of_unknown_scale_is_shown_once_it_is_entered(page: Browser, tmp_path: Path) -> None:
    Image.fromarray(drawn_field(120, 120)).save(tmp_path / "few.png")
    page.find_element(By.ID, "auto").click()
    upload(page, tmp_path / "few.png")
    assert "shows 4 single red cells and `auto` needs 5; give the scale in numbers" in text(page, "error")
    assert not page.find_element(By.ID, "found").is_displayed()
    rescale(page, "0.2")
    assert (text(page, "error"), text(page, "scale")) == ("", "0.2 µm per pixel, as it was given.")
    assert page.find_element(By.ID, "found").is_displayed()


def rescale(page: Browser, value: str) -> None:
    entry = page.find_element(By.ID, "um")
    entry.clear()
    entry.send_keys(value)
    page.find_element(By.CSS_SELECTOR, "#rescale [type=submit]").click()
    wait(page)


def test_objects_and_labels_can_be_saved(page: Browser, field: Path, folder: Path) -> None:
    upload(page, field)
    for name in ("csv", "png"):
        page.find_element(By.ID, name).click()
    saved = folder / "saved"
    WebDriverWait(page, 60).until(lambda _: len([p for p in saved.iterdir() if p.suffix in (".csv", ".png")]) == 2)
    [table], [label] = saved.glob("*_objects.csv"), saved.glob("*_label.png")
    with Image.open(label) as picture:
        assert (picture.mode, picture.size) == ("L", (320, 240))
        assert np.asarray(picture)[30, 30] == INFECTED_RBC
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(counts(page).values())


def test_a_name_is_never_markup(page: Browser, field: Path) -> None:
    upload(page, field)
    assert text(page, "name").startswith(NAME)
    assert told(page, "window.injected") is None
    assert told(page, "document.images.length") == 0
