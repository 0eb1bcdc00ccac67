"""`segtrain count` from images to a table, and what is said of its counts."""

import csv
import json
import math
import os
import re
import shutil
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from coloured_smears import CLASSES_OF, NETWORKS, smear
from drawn_labels import KEYS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segtrain.cli import main
from segtrain.counting.cell_measures import MeasuredCell
from segtrain.counting.count import CountResult, count_with
from segtrain.counting.summary import ENOUGH_RED, ENOUGH_WHITE, summarise, summary_table, wilson
from segtrain.data.samples import Classes
from segtrain.inference.prediction_files import draw_legend, draw_overlay
from smearsynth.base.errors import UserError


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Two fields at 0.1 um/px: 5 cells and one out at the right edge; 4 cells, two of which touch."""
    folder = tmp_path / "fields"
    folder.mkdir()
    one = [(60, 60, 9), (160, 60, 9), (260, 60, 8), (60, 160, 9), (160, 4, 9), (299, 160, 9)]
    two = [(60, 60, 9), (131, 60, 8), (60, 165, 9), (200, 165, 9)]
    for name, places in (("one", one), ("two", two)):
        Image.fromarray(smear(places, (220, 300))).save(folder / f"{name}.png")
    return folder


def test_cells_are_counted_from_the_image_to_the_table(fields: Path, tmp_path: Path) -> None:
    out, pictures = tmp_path / "cells.csv", tmp_path / "pictures"
    done = count_with(NETWORKS, [fields], out=out, pictures=pictures, um_per_px=0.1, progress=False)
    told = json.loads(json.dumps(done.figures))
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for image in told["images"]:
        seen = [row["class"] for row in rows if row["image"] == image["name"] and row["counted"] == "1"]
        assert image["cells"] == {key: seen.count(key) for key in KEYS[1:]}
    one, two = told["images"]
    assert (one["cells"]["healthy_rbc"], one["cells"]["infected_rbc"], one["not_counted"]) == (4, 1, 1)
    assert (two["cells"]["healthy_rbc"], two["cells"]["infected_rbc"], two["not_counted"]) == (3, 1, 0)
    assert told["all"]["red_cells"] == 9
    assert told["all"]["parasitaemia"]["value"] == pytest.approx(2 / 9)

    [sick] = [row for row in rows if row["image"] == "one.png" and row["class"] == "infected_rbc"]
    assert (float(sick["x"]), float(sick["y"])) == pytest.approx((260, 60), abs=3)
    assert float(sick["area_um2"]) == pytest.approx(math.pi * 3.6**2, rel=0.1)
    assert int(sick["left"]) == pytest.approx(260 - 36, abs=5)
    assert int(sick["bottom"]) == pytest.approx(60 + 37, abs=5)
    assert [row["border"] for row in rows if row["counted"] == "0"] == ["right"]
    assert "top" in [row["border"] for row in rows if row["counted"] == "1"]
    assert sorted(file.name for file in pictures.iterdir()) == ["one_cells.png", "two_cells.png"]


def test_a_person_is_told_the_counts_and_that_they_are_few(fields: Path, tmp_path: Path) -> None:
    text = str(count_with(NETWORKS, [fields / "one.png"], out=tmp_path / "c.csv", um_per_px=0.1, progress=False))
    assert "parasitaemia  20.00%" in text
    assert f"Warning: red cells counted: 5; a parasitaemia takes {ENOUGH_RED}" in text
    assert "differential" not in text.partition("Warning")[0]


def test_the_picture_shows_each_cell_in_its_colour_and_the_image_in_between(fields: Path, tmp_path: Path) -> None:
    count_with(NETWORKS, [fields / "two.png"], out=tmp_path / "c.csv", pictures=tmp_path, um_per_px=0.1, progress=False)
    drawn = np.asarray(Image.open(tmp_path / "two_cells.png")).astype(int)
    image = np.asarray(Image.open(fields / "two.png")).astype(int)
    assert drawn.shape[1] == 300
    assert (drawn[105:118, 105:180] == image[105:118, 105:180]).all()
    green = (drawn[:, :, 1] > 200) & (drawn[:, :, 0] < 60)
    red = (drawn[:, :, 0] > 200) & (drawn[:, :, 1] < 60)
    assert green[170:190, 15:105].any()
    assert not red[170:190, 15:105].any()
    assert red[20:100, 100:170].any()


def test_what_cannot_be_counted_is_refused_before_anything_is_written(fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.csv"
    image = fields / "one.png"
    with pytest.raises(UserError, match="named twice"):
        count_with(NETWORKS, [image, image], out=out, um_per_px=0.1, progress=False)
    with pytest.raises(UserError, match="`auto` needs"):
        count_with(NETWORKS, [image], out=out, progress=False)
    Image.new("L", (2000, 2000), 235).save(tmp_path / "big.png")
    with pytest.raises(UserError, match="megapixels at once"):
        count_with(NETWORKS, [tmp_path / "big.png"], out=out, um_per_px=2, progress=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no image"):
        count_with(NETWORKS, [tmp_path / "empty"], out=out, progress=False)
    with pytest.raises(UserError, match="named twice"):
        count_with(NETWORKS, [image, fields / "../fields/one.png"], out=out, um_per_px=0.1, progress=False)
    with pytest.raises(UserError, match=r"one\.png is a file, and a folder is needed there"):
        count_with(NETWORKS, [image], out=out, pictures=image, um_per_px=0.1, progress=False)
    assert not out.exists()


def counted(image: Path, out: Path, **options: object) -> CountResult:
    return count_with(NETWORKS, [image], out=out, um_per_px=0.1, progress=False, overwrite=True, **options)


def test_every_file_of_a_field_gives_the_cells_of_the_field(fields: Path, tmp_path: Path) -> None:
    """12 bits in 16, colours as pages, and a page of a stack: never a black image or the first page."""
    out, pixels = tmp_path / "c.csv", np.asarray(Image.open(fields / "one.png"))
    cells = counted(fields / "one.png", out).together.cells
    twelve, planes = np.rint(pixels * (4095 / 255)).astype(np.uint16), np.moveaxis(pixels, -1, 0).copy()
    field = tmp_path / "field.tif"
    tifffile.imwrite(field, twelve, photometric="rgb", extratags=[(341, 3, 3, (4095,) * 3, True)])
    assert counted(field, out).together.cells == cells
    tifffile.imwrite(field, twelve, photometric="rgb")
    with pytest.raises(UserError, match=r"field\.tif: its 16-bit values end at"):
        counted(field, out)
    tifffile.imwrite(field, planes, imagej=True, metadata={"axes": "CYX"})
    assert counted(field, out).together.cells == cells
    with tifffile.TiffWriter(field) as tiff:
        tiff.write(pixels[:50], photometric="rgb")
        tiff.write(pixels, photometric="rgb")
    with pytest.raises(UserError, match=r"field\.tif: has 2 pages.* \(page\)"):
        counted(field, out)
    assert counted(field, out, page=2).together.cells == cells


def test_an_image_that_no_name_can_be_relied_on_is_said_to_be_one(fields: Path, tmp_path: Path) -> None:
    one, out = fields / "one.png", tmp_path / "c.csv"
    assert not counted(one, out).warnings
    Image.open(one).convert("L").save(tmp_path / "grey.png")
    assert [w for w in counted(tmp_path / "grey.png", out).warnings if "grey.png: grey, and the network learnt" in w]
    Image.new("RGB", (300, 220), (120, 60, 150)).save(tmp_path / "blank.png")
    blank = counted(tmp_path / "blank.png", out)
    assert [w for w in blank.warnings if "blank.png: blank" in w]
    cells = replace(NETWORKS, grey=True)
    grey = count_with(cells, [tmp_path / "grey.png"], out=out, um_per_px=0.1, overwrite=True, progress=False)
    assert not [w for w in grey.warnings if "grey, and" in w]


def test_half_of_the_cells_infected_are_no_finding(tmp_path: Path) -> None:
    for infected, suspect in ((1, False), (2, True)):
        places = [(60, 60, 8), (60, 160, 8 if infected == 2 else 9), (160, 60, 9), (160, 160, 9)]
        Image.fromarray(smear(places, (220, 300))).save(tmp_path / "f.png")
        found = counted(tmp_path / "f.png", tmp_path / "c.csv").together
        assert bool([w for w in found.warnings if "called infected, which blood hardly ever holds" in w]) == suspect


def test_images_further_down_are_said_to_be_left_out(fields: Path, tmp_path: Path) -> None:
    out, deeper = tmp_path / "c.csv", fields / "plate/a"
    deeper.mkdir(parents=True)
    shutil.copy(fields / "one.png", deeper)
    (warning,) = counted(fields, out).warnings
    assert "1 images in folders inside it are left out" in warning
    assert str(deeper) in warning
    with pytest.raises(UserError, match=r"plate: 1 images in folders inside it are left out.*plate/a"):
        counted(fields / "plate", out)


def test_a_table_is_one_by_its_name_and_replaces_none_unasked(fields: Path, tmp_path: Path) -> None:
    images = [fields / "one.png"]
    for name in ("x.json", "x.tsv"):
        with pytest.raises(UserError, match=rf"{name}: \.{name[2:]} says no format: name it FILE\.csv"):
            count_with(NETWORKS, images, out=tmp_path / name, um_per_px=0.1, progress=False)
    out = tmp_path / "c.csv"
    out.write_text("mine")
    with pytest.raises(UserError, match=r"c\.csv is there already"):
        count_with(NETWORKS, images, out=out, um_per_px=0.1, progress=False)
    assert out.read_text() == "mine"


def test_a_table_never_takes_the_place_of_an_image(fields: Path) -> None:
    before = (fields / "one.png").read_bytes()
    with pytest.raises(UserError, match=r"one\.png is the name of an image"):
        count_with(NETWORKS, [fields / "two.png"], out=fields / "one.png", um_per_px=0.1, progress=False)
    assert (fields / "one.png").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"=cmd().png", "./=cmd().png"),
        (b"@a, b.png", "./@a, b.png"),
        (b"a\nb\x1b[31m.png", r"a\nb\x1b[31m.png"),
        (b"\xff.png", r"\udcff.png"),
        (b"<b>.png", "<b>.png"),
    ],
)
def test_the_name_of_an_image_is_a_name_in_the_table_and_no_more(
    fields: Path, tmp_path: Path, name: bytes, shown: str
) -> None:
    """No formula for a spreadsheet, no second line, no order to a terminal, and always text."""
    image = (fields / "one.png").rename(fields / os.fsdecode(name))
    done = count_with(NETWORKS, [image], out=tmp_path / "c.csv", um_per_px=0.1, progress=False)
    with (tmp_path / "c.csv").open(encoding="utf-8", newline="") as file:
        assert {row["image"] for row in csv.DictReader(file)} == {shown}
    assert len((tmp_path / "c.csv").read_text(encoding="utf-8").splitlines()) == 7
    assert str(done).isascii()
    assert "\x1b" not in str(done)


def test_what_is_kept_of_an_image_are_its_cells(fields: Path, tmp_path: Path) -> None:
    """Of 1,000 fields, maps would take gigabytes."""
    for name in ("three", "four", "five", "six"):
        shutil.copy(fields / "one.png", fields / f"{name}.png")

    def peak(images: list[Path]) -> int:
        tracemalloc.reset_peak()
        count_with(NETWORKS, images, out=tmp_path / "c.csv", um_per_px=0.2, overwrite=True, progress=False)
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        one, many = peak([fields / "one.png"]), peak([fields])
    finally:
        tracemalloc.stop()
    assert many - one < 220 * 300 * 4, "not even one more map of 32 bits a pixel"


def test_an_image_without_cells_gives_a_table_without_lines(tmp_path: Path) -> None:
    Image.new("RGB", (200, 150), (232, 230, 231)).save(tmp_path / "glass.png")
    done = count_with(NETWORKS, [tmp_path / "glass.png"], out=tmp_path / "c.csv", um_per_px=0.1, progress=False)
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 1
    assert done.together.warnings == ("no cell was counted",)
    assert done.together.parasitaemia is None
    assert "Warning: no cell was counted." in str(done)


@pytest.mark.usefixtures("one_thread")
def test_the_command_counts_with_a_run_and_tells_a_program(tiny_run: Path, fields: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.csv"
    asked = ["count", str(tiny_run), str(fields), "--out", str(out), "--um-per-px", "0.1", "--json"]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    with out.open(newline="") as file:
        kept = [row["class"] for row in csv.DictReader(file) if row["counted"] == "1"]
    assert told["all"]["cells"] == {key: kept.count(key) for key in KEYS[1:]}
    assert [image["name"] for image in told["images"]] == ["one.png", "two.png"]
    assert CliRunner().invoke(main, [*asked[:3], "--out", str(out), "--um-per-px", "0"]).exit_code == 2


@pytest.mark.slow
@given(st.integers(1, 5000), st.floats(0, 1))
@settings(max_examples=40)
def test_intervals_are_those_of_another_library(total: int, share: float) -> None:
    from scipy.stats import binomtest  # which takes seconds to load

    hits = round(share * total)
    ours, theirs = wilson(hits, total), binomtest(hits, total).proportion_ci(method="wilson")
    assert (ours.value, ours.low, ours.high) == pytest.approx((hits / total, theirs.low, theirs.high), abs=1e-9)


CELL = MeasuredCell(
    number=1, kind="", x=9, y=9, left=5, top=5, right=14, bottom=14, area_um2=40,
    confidence=0.9, eccentricity=0.1, borders=(), counted=True,
)  # fmt: skip


def cells_of_kinds(kinds: Sequence[str]) -> list[MeasuredCell]:
    return [replace(CELL, kind=kind) for kind in kinds]


def test_classes_of_which_the_network_is_mostly_unsure_are_named() -> None:
    unsure = [replace(cell, confidence=0.3) for cell in cells_of_kinds(["basophil"] * 2 + ["neutrophil"] * 2)]
    found = summarise([*unsure, *cells_of_kinds(["basophil"] + ["neutrophil"] * 2)], keys=KEYS)
    assert [text for text in found.warnings if "confidence" in text] == [
        "Basophil: of 3 counted, 2 have a confidence under 0.5; look at them"
    ]


def test_a_summary_of_enough_cells_warns_of_nothing() -> None:
    red = ["healthy_rbc"] * (ENOUGH_RED - 40) + ["infected_rbc"] * 40
    white = ["neutrophil"] * (ENOUGH_WHITE // 2) + ["lymphocyte"] * (ENOUGH_WHITE // 2)
    cut = [replace(cell, counted=False) for cell in cells_of_kinds(["neutrophil"] * 7)]
    found = summarise([*cells_of_kinds([*red, *white, *["thrombocyte"] * 100]), *cut], keys=KEYS)
    assert found.warnings == ()
    assert found.parasitaemia is not None
    assert found.parasitaemia.value == 40 / ENOUGH_RED
    assert {key: share.value for key, share in found.differential.items() if share.value} == {
        "neutrophil": 0.5,
        "lymphocyte": 0.5,
    }
    assert found.platelets_per_red_cell == 100 / ENOUGH_RED
    assert (found.red_cells, found.white_cells, found.not_counted) == (ENOUGH_RED, ENOUGH_WHITE, 7)


def test_what_a_network_does_not_tell_apart_is_not_reported() -> None:
    found = summarise(cells_of_kinds(["cell"] * 12), keys=("background", "cell"))
    assert (found.cells, found.parasitaemia, found.differential, found.warnings) == ({"cell": 12}, None, {}, ())
    clumps = summarise(cells_of_kinds(["platelet_clump"] * 2 + ["healthy_rbc"]), keys=KEYS)
    assert any(sentence.startswith("2 clumps of platelets are not in") for sentence in clumps.warnings)


def test_classes_bear_the_names_of_the_taxonomy_in_text_and_legend() -> None:
    found = summarise(cells_of_kinds(["healthy_rbc", "infected_rbc", "neutrophil"]), keys=KEYS)
    lines = summary_table({"one.png": found}, found).splitlines()
    named = [line for line in lines if line.split("  ")[0] == "Infected RBC"]
    assert [line.split()[-1] for line in named] == ["1"]
    assert "differential, of 1 white cell" in lines
    assert any(line.startswith("  Neutrophil  ") for line in lines)
    image, label = np.full((200, 400, 3), 230, np.uint8), np.zeros((200, 400), np.uint8)
    label[50:90, 50:90] = 8
    legend = draw_legend([("Infected RBC", "#ff0000")], label.shape)
    assert np.array_equal(draw_overlay(image, label, CLASSES_OF)[200:], legend)
    own = Classes((0, 1), ("glass", "red_cell"), ("#000000", "#ff0000"))
    legend = draw_legend([("red_cell", "#ff0000")], label.shape)
    assert np.array_equal(draw_overlay(image, label // 8, own)[200:], legend)


def test_what_an_interval_does_not_tell_is_said_beside_it() -> None:
    red = summarise(cells_of_kinds(["healthy_rbc", "infected_rbc"]), keys=KEYS)
    assert "not what the network takes a cell for" in summary_table({"one.png": red}, red)
    cells = summarise(cells_of_kinds(["cell"] * 12), keys=("background", "cell"))
    assert "ntervals" not in summary_table({"one.png": cells}, cells)


def test_a_scale_that_was_found_is_told_once_for_one_image_and_as_a_range_for_several(tmp_path: Path) -> None:
    sparse = smear([(60 + 110 * (i % 4), 60 + 110 * (i // 4), 9) for i in range(16)], (450, 450))
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    Image.fromarray(sparse).save(paths[0])
    Image.fromarray(cv2.resize(sparse, (900, 900))).save(paths[1])

    def told(images: list[Path]) -> str:
        return count_with(NETWORKS, images, out=tmp_path / "cells.csv", overwrite=True, progress=False).warnings[0]

    assert re.search(r": 0\.\d{4} um/px$", told(paths[:1]))
    assert re.search(r": 0\.05\d{2} to 0\.1\d{3} um/px$", told(paths))
