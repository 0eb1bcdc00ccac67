"""Cells of whose class a network is not sure: they are of no class in a map, in no count of one, and called so in every
table, file and picture."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import roifile
from coloured_smears import CLASSES_OF
from drawn_labels import KEYS, counted, disc, glass
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segtrain.counting.cell_files import CocoFile, OutlinedField, write_geojson, write_rois
from segtrain.counting.cell_measures import FieldCells
from segtrain.counting.cell_names import decided
from segtrain.counting.count_tables import record, summary_row
from segtrain.counting.counted_picture import draw_cells
from segtrain.counting.named_labels import can_be_named, named_labels
from segtrain.counting.summary import summarise, summary_table
from segtrain.data.samples import Classes, Shards
from segtrain.evaluation.named_cells import measure_names, read_named_fields
from segtrain.evaluation.submission import Submission
from segtrain.importing.import_annotations import import_annotations
from segtrain.importing.palettes import read_palette
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.operating_point import EDGES, OperatingPoint, Rate
from segtrain.inference.prediction_files import draw_legend, write_labels
from segtrain.inference.ready_networks import Networks
from segtrain.viewing.napari_correction import FieldLayers, cell_classes
from segtrain.viewing.viewer import count_data
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import HEALTHY_RBC, IGNORE, INFECTED_RBC, UNSURE

RED_CELL = "healthy_rbc"
Writer = Callable[[BinaryIO, OutlinedField], None]
GREY = (128, 128, 128)
RED = (INFECTED_RBC, HEALTHY_RBC)
_NAMES = (("Neutrophil", "neutrophil"), ("Healthy RBC", "healthy_rbc"))


@pytest.fixture
def found() -> FieldCells:
    """A healthy red cell, a neutrophil, and a white cell that has no name."""
    label = disc(disc(disc(glass(), "healthy_rbc", 50, 50), "neutrophil", 150, 60, 30), "monocyte", 120, 160, 35)
    cells = counted(label)
    named = [replace(c, kind=UNSURE, confidence=0.4) if c.kind == "monocyte" else c for c in cells.cells]
    return replace(cells, cells=tuple(named))


@given(
    arrays(np.float64, (7, 10), elements=st.floats(-12, 0)),
    arrays(np.float64, 7, elements=st.floats(0, 30)),
    st.floats(-2, 2),
)
def test_a_cell_has_no_name_where_none_has_half_and_a_red_one_is_sure_as_either(
    named: np.ndarray, parasite: np.ndarray, threshold: float
) -> None:
    cells = decided(named, RED, parasite, threshold)
    for row, area, kind, sure, odds in zip(
        named, parasite, cells.ids, cells.confidence, cells.infected_odds, strict=True
    ):
        share = np.exp(row[1:]) / np.exp(row[1:]).sum()
        best, of_class = 1 + int(share.argmax()), share.max()
        both, other = share[INFECTED_RBC - 1] + share[HEALTHY_RBC - 1], share[: INFECTED_RBC - 1].max()
        if abs(both - other) < 1e-9:
            continue
        if both > other:
            own = row[INFECTED_RBC] - row[HEALTHY_RBC] + np.log(np.sqrt(min(area, 4) + 0.05))
            best = INFECTED_RBC if own > threshold else HEALTHY_RBC
            of_class, certain = both / (1 + np.exp(-own if best == INFECTED_RBC else own)), both
        else:
            own, certain = np.nan, of_class
        if abs(certain - 0.5) < 1e-9:
            continue
        assert sure == pytest.approx(of_class)
        assert kind == (best if certain > 0.5 else IGNORE)
        assert odds == pytest.approx(own if certain > 0.5 else np.nan, nan_ok=True)


def test_it_is_255_in_the_map_and_grey_wherever_it_is_shown(found: FieldCells) -> None:
    [unsure] = [cell.number for cell in found.cells if cell.kind == UNSURE]
    label = np.concatenate(list(named_labels(found, KEYS)))
    np.testing.assert_array_equal(label == IGNORE, found.map == unsure)
    np.testing.assert_array_equal(label == KEYS.index("neutrophil"), found.map == found.map[60, 150])
    image = np.full((224, 224, 3), 230, np.uint8)
    files = {name: io.BytesIO() for name in ("label", "colour", "overlay")}
    pixels = write_labels(files, ArrayReader(image, "a"), [label], CLASSES_OF)
    assert (pixels[IGNORE], pixels.sum()) == ((found.map == unsure).sum(), label.size)
    colour, overlay = (np.asarray(Image.open(files[name]).convert("RGB")) for name in ("colour", "overlay"))
    assert {tuple(c) for c in colour[found.map == unsure]} == {GREY}
    legend = [(name, CLASSES_OF.colours[KEYS.index(key)]) for name, key in _NAMES] + [(UNSURE, "#808080")]
    np.testing.assert_array_equal(overlay[224:], draw_legend(legend, label.shape))
    picture = draw_cells(image, 0.2, found, CLASSES_OF)
    legend = [(f"1 {name}", shade) for name, shade in legend]
    shape = (2 * 224, 2 * 224)
    np.testing.assert_array_equal(picture[shape[0] :], draw_legend(legend, shape))


def test_it_is_counted_apart(found: FieldCells) -> None:
    summary = summarise(found.cells, keys=KEYS)
    assert (summary.red_cells, summary.white_cells, summary.unsure) == (1, 1, 1)
    assert sum(summary.cells.values()) == 2
    assert summary.differential["neutrophil"].value == 1
    assert any(line.split() == ["unsure", "1"] for line in summary_table({"a": summary}, summary).splitlines())
    assert summary_row("image", "a", [0.2], summary, {})["unsure"] == 1
    assert sorted(record("a", cell)["class"] for cell in found.cells) == ["healthy_rbc", "neutrophil", "unsure"]
    alone = summarise([cell for cell in found.cells if cell.kind == UNSURE], keys=KEYS)
    assert not any("no cell was counted" in sentence for sentence in alone.warnings)
    sure = summarise([cell for cell in found.cells if cell.kind != UNSURE], keys=KEYS)
    assert "unsure" not in summary_table({"a": sure}, sure)


def test_other_tools_and_the_page_read_it_by_name(found: FieldCells) -> None:
    [unsure] = [cell.number for cell in found.cells if cell.kind == UNSURE]
    made_with = {"version": "0"}
    one = OutlinedField(name="a.png", found=found, um_per_px=0.2, classes=CLASSES_OF, made_with=made_with)
    rois, geojson, file, coco = io.BytesIO(), io.BytesIO(), io.BytesIO(), CocoFile()
    write_rois(rois, one)
    write_geojson(geojson, one)
    coco.add(one)
    coco.write(file)
    names = [feature["properties"]["classification"] for feature in json.loads(geojson.getvalue())["features"]]
    assert names[unsure - 1] == {"name": "unsure", "color": list(GREY)}
    told = json.loads(file.getvalue())
    [category] = [c["id"] for c in told["categories"] if c["name"] == "unsure"]
    assert [a["cell"] for a in told["annotations"] if a["category_id"] == category] == [unsure]
    with zipfile.ZipFile(rois) as members:
        region = roifile.ImagejRoi.frombytes(members.read(f"{unsure:05d}-unsure.roi"))
    assert (region.group, region.name) == (IGNORE, f"{unsure} unsure")
    page = count_data(found, CLASSES_OF, "a", {})
    assert page["objects"][unsure - 1]["class"] == IGNORE
    assert page["counts"][IGNORE] == 1
    layers = FieldLayers.of(np.zeros((224, 224, 3), np.uint8), found, CLASSES_OF)
    assert cell_classes(layers, 10)[unsure] == 0, "nobody named it"


def test_where_it_is_held_against_a_name_it_is_not_right_and_said_to_be_unsure(
    found: FieldCells, tmp_path: Path
) -> None:
    Image.new("RGB", (224, 224)).save(tmp_path / "a.png")
    (tmp_path / "cells.csv").write_text("file,class,x,y\na.png,mono,120,160\na.png,neutro,150,60\na.png,red,50,50\n")
    classes = {"mono": "monocyte", "neutro": "neutrophil", "red": "healthy_rbc"}
    figures = measure_names(read_named_fields(tmp_path, classes), lambda _: found, progress=False)
    white = figures["white_cells"]
    assert white["confusion"] == {"monocyte": {"unsure": 1}, "neutrophil": {"neutrophil": 1}}
    assert white["balanced_accuracy"]["value"] == 0.5
    (tmp_path / "cells.csv").unlink()
    (tmp_path / "mono").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "mono/a.png")
    figures = measure_names(read_named_fields(tmp_path, classes), lambda _: found, progress=False)
    # A clump may be as large and as unsure: a white cell that has a name is sooner meant.
    assert figures["white_cells"]["confusion"] == {"monocyte": {"neutrophil": 1}}
    alone = replace(found, cells=tuple(c if c.kind == UNSURE else replace(c, kind=RED_CELL) for c in found.cells))
    figures = measure_names(read_named_fields(tmp_path, classes), lambda _: alone, progress=False)
    assert figures["white_cells"]["confusion"] == {"monocyte": {"unsure": 1}}


def test_a_map_that_is_scored_has_no_cell_there(found: FieldCells, tmp_path: Path) -> None:
    label = np.concatenate(list(named_labels(found, KEYS)))
    Image.fromarray(label).save(tmp_path / "x_label.png")
    given = Submission.open(tmp_path, ["x"])
    np.testing.assert_array_equal(given.read("x", label.shape, 10).label, np.where(label == IGNORE, 0, label))
    Image.fromarray(np.where(label == IGNORE, 254, label).astype(np.uint8)).save(tmp_path / "x_label.png")
    with pytest.raises(UserError, match="holds 254, which is none of the classes 0 to 9"):
        given.read("x", label.shape, 10)


@pytest.mark.parametrize("write", [write_geojson, write_rois])
def test_an_import_of_what_was_counted_has_255_there(found: FieldCells, tmp_path: Path, write: Writer) -> None:
    one = OutlinedField(name="a.png", found=found, um_per_px=0.2, classes=CLASSES_OF, made_with={"version": "0"})
    (tmp_path / "img").mkdir()
    Image.new("RGB", (224, 224)).save(tmp_path / "img/a.png")
    name = "a.geojson" if write is write_geojson else "a_rois.zip"
    with (tmp_path / name).open("wb") as file:
        write(file, one)
    known = import_annotations(
        tmp_path / "img", tmp_path / name, out=tmp_path / "set", um_per_px=0.2, split="train=1", progress=False
    )
    label = Shards(known.out, "train").read(0)[1]
    np.testing.assert_array_equal(label, np.concatenate(list(named_labels(found, KEYS))))


def test_its_name_is_no_class_s_and_needs_no_word_where_it_is_read_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'unsure', which is what a cell without a name is called: rename it"):
        Classes((0, 1), ("background", "unsure"), ("#000000", "#ffffff"))
    (tmp_path / "p.yaml").write_text("classes: [{key: background, values: [0]}, {key: unsure, values: [1]}]\n")
    with pytest.raises(UserError, match=r"p\.yaml: classes: unsure is what a cell without a name is called"):
        read_palette(str(tmp_path / "p.yaml"))
    Image.new("RGB", (224, 224)).save(tmp_path / "a.png")
    (tmp_path / "cells.csv").write_text("file,class,x,y\na.png,unsure,120,160\na.png,neutro,150,60\n")
    [field] = read_named_fields(tmp_path, {"neutro": "neutrophil"})
    assert [cell.name for cell in field.cells] == ["neutro"]


def test_what_no_operating_point_can_say_is_not_guessed() -> None:
    few = OperatingPoint(
        threshold=1.0,
        false_alarms=Rate(1, 900),
        recall=Rate(9, 12),
        odds_of=("pixels",),
        healthy=(1,) * len(EDGES),
        infected=(9,) * len(EDGES),
        measured_on="my fields",
        epoch=1,
    )
    with pytest.raises(UserError, match=r"on 12 infected cells \(my fields\), and to move it takes 200"):
        few.at_prevalence(0.01)
    moved = replace(few, prevalence=0.01)
    networks = Networks(members=(), classes=CLASSES_OF, um_per_px=0.2, names_cells=True, operating_point=moved)
    assert can_be_named(networks, (8000, 8000))
    with pytest.raises(UserError, match="is predicted pixel by pixel, which it does not move"):
        can_be_named(networks, (8000, 8001))
    assert not can_be_named(replace(networks, operating_point=few), (8000, 8001))
