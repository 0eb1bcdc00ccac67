"""The source kind `fields`: points and boxes of real fields, mapped to classes."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from source_folders import entries, put

from smearsynth.base.errors import UserError
from smearsynth.sources.entry import Method

FORMS = {"burr": "healthy_rbc", "odd": None}


class TestFields:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        put(tmp_path, "P1/a.png", "P1/b.png", "P2/c.png", "P2/d.png")
        (tmp_path / "t.csv").write_text(
            "file,class,x,y,width,height\nP1/a.png,burr,5.4,6,,\nP1/a.png,burr,5.4,6,,\nP1/a.png,odd,1,2,,\n"
            "P1/b.png,ring,1,2,4.4,5\nP2/c.png,odd,1,2,3,4\n"
        )
        return tmp_path

    def test_points_and_boxes(self, root: Path) -> None:
        listing = entries("fields", root, classes={**FORMS, "ring": "infected_rbc"}, um_per_px=0.19)
        assert [(e.path, e.class_key, e.name, e.box, e.group, e.method) for e in listing.entries] == [
            ("P1/a.png", "healthy_rbc", "burr", (5, 6, 0, 0), "P1/a.png", Method.FIELD),
            ("P1/a.png", None, "odd", (1, 2, 0, 0), "P1/a.png", Method.FIELD),
            ("P1/b.png", "infected_rbc", "ring", (1, 2, 4, 5), "P1/b.png", Method.FIELD),
        ], "nothing is wanted of c"
        assert listing.left_out == {
            "annotated twice": 1,
            "box of class 'odd', not used": 1,
            "image without a label": 1,
            "point of class 'odd', not used": 1,
        }
        assert listing.tables == ("t.csv",)
        assert listing.facts.calibrate == ("infected_rbc", "healthy_rbc")

    def test_the_rest_of_every_field_that_somebody_annotated(self, root: Path) -> None:
        (root / "P2/d.txt").write_text("")
        listing = entries("fields", root, classes={**FORMS, "ring": "infected_rbc"}, rest="healthy_rbc")
        assert {e.path for e in listing.entries if e.also_red} == {"P1/a.png", "P1/b.png", "P2/c.png", "P2/d.png"}
        assert [e.box for e in listing.entries if e.path == "P2/c.png"] == [(1, 2, 3, 4), None]
        assert listing.facts.calibrate == ("infected_rbc", "healthy_rbc")

    def test_a_group_is_found_in_the_path(self, root: Path) -> None:
        classes = {**FORMS, "ring": "infected_rbc"}
        listing = entries("fields", root, classes=classes, group="P([0-9])/", rest="healthy_rbc")
        assert {(e.path, e.group) for e in listing.entries} == {("P1/a.png", "1"), ("P1/b.png", "1"), ("P2/c.png", "2")}
        with pytest.raises(UserError, match=r"P1/a\.png: `group: Q` finds nothing in this name"):
            entries("fields", root, classes=classes, group="Q")

    def test_a_name_of_no_class_is_said_once(self, root: Path) -> None:
        with pytest.raises(
            UserError, match=r"t\.csv, line 5: 'ring' names no class; map it under .* or to null"
        ) as fault:
            entries("fields", root, classes=FORMS)
        assert len(str(fault.value).splitlines()) == 1

    def test_labels_are_those_that_the_recipe_names(self, root: Path) -> None:
        (root / "more").mkdir()
        (root / "more/a.txt").write_text("4 4 8\n")
        listing = entries("fields", root, labels="more", classes={"burr": "healthy_rbc"})
        assert [(e.path, e.box) for e in listing.entries] == [("P1/a.png", (4, 4, 0, 0))]
        assert listing.left_out == {"image without a label": 3, "not an image": 1}

    def test_a_scale_by_file_and_what_the_recipe_says_before_it(self, root: Path) -> None:
        (root / "t.csv").write_text("file,class,x,y,um_per_px\nP1/a.png,burr,5,6,0.1\nP1/b.png,burr,5,6,0.2\n")
        classes = {"burr": "healthy_rbc"}
        assert [e.um_per_px for e in entries("fields", root, classes=classes).entries] == [0.1, 0.2]
        assert {e.um_per_px for e in entries("fields", root, classes=classes, um_per_px=0.3).entries} == {None}
        with (root / "t.csv").open("a") as table:
            table.write("P1/a.png,burr,9,9,0.11\n")
        with pytest.raises(UserError, match=r"t\.csv, line 4: P1/a\.png has another um_per_px above"):
            entries("fields", root, classes=classes)

    def test_a_group_is_a_column_of_the_tables(self, root: Path) -> None:
        (root / "t.csv").write_text(
            "file,class,x,y,Patient\nP1/a.png,burr,5,6,7\nP1/b.png,burr,5,6,7\nP2/c.png,burr,1,2,8\n"
        )
        classes = {"burr": "healthy_rbc"}
        listing = entries("fields", root, classes=classes, group_column="patient")
        assert [(e.path, e.group) for e in listing.entries] == [("P1/a.png", "7"), ("P1/b.png", "7"), ("P2/c.png", "8")]
        assert (listing.facts.grouping, listing.facts.patients_known) == ("patient", True)
        with (root / "t.csv").open("a") as table:
            table.write("P1/a.png,burr,9,9,8\n")
        with pytest.raises(UserError, match=r"t\.csv, line 5: P1/a\.png has another group above; an image has one pat"):
            entries("fields", root, classes=classes, group_column="patient")
        (root / "t.csv").unlink()
        (root / "P1/a.txt").write_text("4 4 8\n")
        with pytest.raises(
            UserError, match=r"`group_column: slide` is a column of tables, and none of them has P1/a\.p"
        ):
            entries("fields", root, classes=classes, group_column="slide")

    def test_a_page_is_that_of_the_recipe(self, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 40, 60, 3), np.uint8), photometric="rgb")
        (tmp_path / "a.xml").write_text(
            "<annotation><object><name>burr</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
            "</bndbox></object></annotation>"
        )
        with pytest.raises(UserError, match="page"):
            entries("fields", tmp_path, classes=FORMS | {"odd": None})
        assert [e.box for e in entries("fields", tmp_path, classes={"burr": "healthy_rbc"}, page=2).entries] == [
            (1, 2, 8, 7)
        ]
        with pytest.raises(ValueError, match="only sources of kind crops or fields have it"):
            entries("kaggle", tmp_path, page=2)
