"""What `count` and `predict` write of fields: tables and files, pooled as a laboratory counts."""

import csv
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import roifile
import tifffile
from click.testing import CliRunner
from coloured_smears import NETWORKS, smear
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from segtrain.cli import main
from segtrain.counting.count import CountResult, count_with
from segtrain.counting.pooled_fields import groups_of
from segtrain.counting.summary import exact
from segtrain.inference.operating_point import OperatingPoint, Rate
from smearsynth.base.errors import UserError


@pytest.fixture
def blood(tmp_path: Path) -> Path:
    """Two slides of Jane Doe and one of a second patient: 1 of 4, 2 of 4, and 0 of 4 red cells infected; white cells
    are a neutrophil in the first, a lymphocyte in each of the others."""
    folder = tmp_path / "blood"
    corners = [(60, 60), (170, 60), (60, 170), (170, 170)]
    for name, infected, white in (("JaneDoe_s1", 1, 3), ("JaneDoe_s2", 2, 4), ("P2_s1", 0, 4)):
        (folder / name[:2]).mkdir(parents=True, exist_ok=True)
        places = [(x, y, 8 if n < infected else 9) for n, (x, y) in enumerate(corners)]
        pixels = smear([*places, (300, 110, white)], (240, 400))
        Image.fromarray(pixels).save(folder / name[:2] / f"{name}.png")
    return folder


def count(blood: Path, out: Path, **options: Any) -> CountResult:
    known = {"um_per_px": 0.1, "progress": False, **options}
    return count_with(NETWORKS, [blood / "Ja", blood / "P2"], out=out, **known)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


PATIENTS = "(?P<patient>[A-Za-z0-9]+)_(?P<slide>s[0-9])"


def test_all_formats_come_into_a_folder_and_say_the_same(blood: Path, tmp_path: Path) -> None:
    out = tmp_path / "counted"
    told = count(blood, out, formats="csv,xlsx,roi,geojson,coco,instances", group=PATIENTS)
    stems = ("JaneDoe_s1", "JaneDoe_s2", "P2_s1")
    each = {f"{stem}{end}" for stem in stems for end in ("_rois.zip", ".geojson", "_masks.tif")}
    assert {path.name for path in out.iterdir()} == {"cells.csv", "summary.csv", "count.xlsx", "coco.json", *each}

    cells, summary = rows(out / "cells.csv"), rows(out / "summary.csv")
    assert len(cells) == 15
    origin = {"network": "0123456789ab", "um_per_px": "0.10000", "operating_point": ""}
    assert all({name: cell[name] for name in origin} == origin for cell in cells)
    assert {row["version"].split()[0] for row in (*cells, *summary)} == {"segtrain"}
    book = openpyxl.load_workbook(out / "count.xlsx")
    assert book.sheetnames == ["summary", "cells", "about"]
    for name, table in (("summary", summary), ("cells", cells)):
        head, *lines = book[name].iter_rows(values_only=True)
        assert list(head) == list(table[0])
        for line, row in zip(lines, table, strict=True):
            for value, text in zip(line, row.values(), strict=True):
                assert float(text) == pytest.approx(value) if isinstance(value, int | float) else (value or "") == text
    for stem in stems:
        mask = tifffile.imread(out / f"{stem}_masks.tif")
        assert len(roifile.roiread(out / f"{stem}_rois.zip")) == mask.max() == 5
    coco = json.loads((out / "coco.json").read_text())
    assert (len(coco["images"]), len(coco["annotations"])) == (3, 15)
    assert told.figures["made_with"]["network"] == coco["info"]["network"] == "0123456789ab"


def test_counts_of_a_group_add_and_then_the_rates(blood: Path, tmp_path: Path) -> None:
    point = OperatingPoint(
        threshold=0.0,
        false_alarms=Rate(20, 1000),
        recall=Rate(300, 400),
        odds_of=(),
        healthy=(),
        infected=(),
        measured_on="others",
        epoch=1,
    )
    known = replace(NETWORKS, operating_point=point)
    told = count_with(
        known, [blood / "Ja", blood / "P2"], out=tmp_path / "c.csv", group=PATIENTS, um_per_px=0.1, progress=False
    )
    assert [(g.of, g.name, len(g.scales)) for g in told.groups] == [
        ("patient", "JaneDoe", 2),
        ("patient", "P2", 1),
        ("slide", "JaneDoe/s1", 1),
        ("slide", "JaneDoe/s2", 1),
        ("slide", "P2/s1", 1),
    ]
    jane = told.groups[0].summary
    assert (jane.red_cells, jane.parasitaemia.value) == (8, 3 / 8)
    assert jane.parasitaemia_corrected.value == pytest.approx((3 / 8 - 0.02) / (0.75 - 0.02))
    assert {key: share.value for key, share in jane.differential.items() if share.value} == {
        "neutrophil": 0.5,
        "lymphocyte": 0.5,
    }
    line = next(row for row in rows(tmp_path / "c_summary.csv") if row["name"] == "JaneDoe")
    assert (line["of"], line["images"], line["infected_rbc"], line["red_cells"]) == ("patient", "2", "3", "8")
    assert float(line["parasitaemia"]) == 0.375
    assert (line["false_alarms"], line["recall"]) == ("20 of 1000", "300 of 400")
    assert "JaneDoe" in str(told)


def test_groups_are_of_folders_matches_or_columns(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("p1/a/1.png", "p1/a/2.png", "p2/a/3.png")]
    assert list(groups_of(paths, group="folder")["folder"].values()) == [
        str(tmp_path / "p1/a"), str(tmp_path / "p1/a"), str(tmp_path / "p2/a"),
    ]  # fmt: skip
    assert list(groups_of(paths, group="p[0-9]/a")["group"].values()) == ["p1/a", "p1/a", "p2/a"]
    table = tmp_path / "labels.csv"
    table.write_text("image;Slide;patient\n1.png;s1;A\n2;s1;B\n3.png;s1;B\n")
    found = groups_of(paths, group_column=["patient", "slide"], labels=table)
    assert list(found["slide"].values()) == ["A/s1", "B/s1", "B/s1"]
    table.write_text("image,patient\n1.png,A\n1.png,B\n2,B\n")
    for options, match in (
        ({"group": "x([0-9])"}, "finds no group in this path"),
        ({"group": "("}, "is no regular expression"),
        ({"group": "p", "group_column": ["patient"]}, "both say what is told together"),
        ({"group_column": ["patient"]}, "a column is one of a table"),
        ({"group_column": ["patient"], "labels": table}, "line 3: 1.png has another patient above"),
        ({"group_column": ["slide"], "labels": table}, "no column slide"),
    ):
        with pytest.raises(UserError, match=match):
            groups_of(paths, **options)
    table.write_text("image,patient\n1.png,A\n2,B\n")
    with pytest.raises(UserError, match=r"labels\.csv: no row for 3\.png"):
        groups_of(paths, group_column=["patient"], labels=table)
    with pytest.raises(UserError, match=r"labels\.csv: 1\.png could be .*p1/a/1\.png or .*p2/1\.png; write their"):
        groups_of([paths[0], tmp_path / "p2/1.png"], group_column=["patient"], labels=table)


def test_no_name_of_a_patient_is_in_what_is_written_with_a_key(blood: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "out", tmp_path / "apart" / "key.csv"
    key.parent.mkdir()
    pictures = tmp_path / "pictures"
    told = count(blood, out, formats="csv,xlsx,roi,geojson,coco,instances", group=PATIENTS, key=key, pictures=pictures)
    assert {row["number"]: Path(row["name"]).stem for row in rows(key)[:3]} == {
        "image-0001": "JaneDoe_s1", "image-0002": "JaneDoe_s2", "image-0003": "P2_s1",
    }  # fmt: skip
    assert [row["name"] for row in rows(key) if row["what"] == "patient"] == ["JaneDoe", "P2"]
    assert key.stat().st_mode & 0o077 == 0
    files = [*out.iterdir(), *pictures.iterdir()]
    assert len(files) == 4 + 3 * 4
    for file in files:
        content = file.read_bytes()
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as members:
                content = b"".join(name.encode() + members.read(name) for name in members.namelist())
        assert b"Jane" not in content
        assert b"J\x00a\x00n\x00e" not in content
        assert "Jane" not in file.name
    assert "Jane" not in str(told) + json.dumps(told.figures) + "".join(told.warnings)
    for where in (out / "key.csv", tmp_path / "none" / "key.csv"):
        with pytest.raises(UserError, match=r"would lie beside|its folder is not there"):
            count(blood, out, formats="csv", key=where, overwrite=True)
    with pytest.raises(UserError, match=r"key\.csv is there already"):
        count(blood, tmp_path / "other", formats="csv", key=key)


def test_a_name_says_the_format_or_gets_a_sentence(blood: Path, tmp_path: Path) -> None:
    jane = blood / "Ja" / "JaneDoe_s1.png"
    for name, formats in (("a.zip", ()), ("a.geojson", ()), ("a.xlsx", ()), ("a.json", "coco"), ("a.tif", "instances")):
        count_with(NETWORKS, [jane], out=tmp_path / name, formats=formats, um_per_px=0.1, progress=False)
        assert (tmp_path / name).stat().st_size
        with pytest.raises(UserError, match=rf"{name} is there already"):
            count_with(NETWORKS, [jane], out=tmp_path / name, formats=formats, um_per_px=0.1, progress=False)
    for name, formats, match in (
        ("b.csv", "qupath", r"There is no format 'qupath': choose of csv, xlsx"),
        ("b.csv", "csv,roi", r"b\.csv is the name of a file that does not hold csv, roi: name a folder"),
        ("b.geojson", (), "holds the cells of one image, and 3 are given: name a folder"),
        ("b.tif", (), "is the name of an image"),
        ("none/b.csv", (), "its folder is not there"),
    ):
        with pytest.raises(UserError, match=match):
            count(blood, tmp_path / name, formats=formats)
    field = tmp_path / "field.tif"
    Image.open(jane).save(field)
    with pytest.raises(UserError, match="is one of the images, and would be written over"):
        count_with(NETWORKS, [field], out=field, formats="instances", um_per_px=0.1, overwrite=True)
    assert not list(tmp_path.glob("b*.*"))


def test_excel_is_told_that_a_table_is_utf8_where_that_is_asked_for(blood: Path, tmp_path: Path) -> None:
    named = (blood / "P2" / "P2_s1.png").rename(blood / "P2" / "Ä.png")
    for bom in (True, False):
        out = tmp_path / f"{bom}.csv"
        count_with(NETWORKS, [named], out=out, bom=bom, um_per_px=0.1, progress=False)
        assert out.read_bytes().startswith(b"\xef\xbb\xbf") == bom
        assert rows(out)[0]["image"] == "Ä.png"


class TestDifferential:
    @given(st.integers(1, 400), st.floats(0, 1))
    @settings(max_examples=40, deadline=None)
    def test_its_intervals_are_those_of_another_library(self, total: int, share: float) -> None:
        from scipy.stats import binomtest

        hits = round(share * total)
        ours, theirs = exact(hits, total), binomtest(hits, total).proportion_ci(method="exact")
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)

    @pytest.mark.parametrize(
        ("total", "hits", "low", "high"),
        [(100, 0, 0, 4), (100, 1, 0, 6), (100, 5, 1, 12), (100, 10, 4, 18), (100, 50, 39, 61), (200, 0, 0, 2)],
    )
    def test_they_are_those_of_the_table_that_laboratories_use(
        self, total: int, hits: int, low: int, high: int
    ) -> None:
        """Per cent, outwards to whole ones."""
        found = exact(hits, total)
        assert (math.floor(100 * found.low), math.ceil(100 * found.high)) == (low, high)

    def test_an_examiner_stops_at_the_number_that_was_asked_for(self, blood: Path, tmp_path: Path) -> None:
        told = count(blood, tmp_path / "c.csv", white_cells=2).together
        assert (told.white_cells, told.differential_of) == (3, 2)
        assert (told.differential["neutrophil"].value, told.differential["lymphocyte"].value) == (0.5, 0.5)
        few = count(blood, tmp_path / "d.csv", white_cells=100).together
        assert (few.differential_of, few.differential["lymphocyte"].value) == (3, 2 / 3)
        assert "white cells counted: 3; a differential was asked of 100: mind its intervals" in few.warnings


def test_a_field_that_is_none_to_count_in_is_said_to_be_one(tmp_path: Path) -> None:
    places = [(60 + 110 * x, 60 + 110 * y, 9) for x in range(4) for y in range(4)]
    good = Image.fromarray(smear(places, (450, 450)))
    thick = Image.fromarray(smear([(30 + 62 * x, 30 + 62 * y, 9) for x in range(7) for y in range(7)], (440, 440)))
    for image, um_per_px, expected in (
        (good, 0.1, []),
        (thick, 0.1, ["crowded"]),
        (good.filter(ImageFilter.GaussianBlur(9)), 0.1, ["blurred"]),
        (good, 0.16, ["off scale"]),
        (Image.fromarray(smear(places[:1], (450, 450))), 0.1, ["few cells"]),
    ):
        image.save(tmp_path / "field.png")
        told = count_with(
            NETWORKS, [tmp_path / "field.png"], out=tmp_path / "c.csv", um_per_px=um_per_px, overwrite=True
        )
        warned = [text.split(": ")[1] for text in told.warnings]
        assert warned == expected
        (line,) = [row for row in rows(tmp_path / "c_summary.csv") if row["of"] == "image"]
        assert all(name in line["warnings"] for name in expected)


@pytest.mark.usefixtures("one_thread")
def test_predict_writes_single_cells_beside_its_labels(tiny_run: Path, blood: Path, tmp_path: Path) -> None:
    out, image = tmp_path / "out", blood / "P2" / "P2_s1.png"
    asked = ["predict", str(tiny_run), str(image), "--out", str(out), "--um-per-px", "0.1"]
    result = CliRunner().invoke(main, [*asked, "--format", "instances,roi", "--format", "coco", "--json"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {
        "P2_s1_label.png", "P2_s1_colour.png", "P2_s1_overlay.png", "P2_s1_masks.tif", "P2_s1_rois.zip", "coco.json",
    }  # fmt: skip
    instances = tifffile.imread(out / "P2_s1_masks.tif")
    assert instances.shape == (240, 400)
    assert instances.max() == len(json.loads((out / "coco.json").read_text())["annotations"])
    refused = CliRunner().invoke(main, [*asked, "--format", "csv"])
    assert refused.exit_code == 2
    assert "There is no format 'csv': choose of roi, geojson, instances, coco (--format)" in refused.output
