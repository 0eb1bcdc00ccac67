"""Faults in the tables of a source: each is named with file, line and remedy, and all of them at once."""

from pathlib import Path

import pytest
from PIL import Image

from smearsynth.base.errors import UserError
from smearsynth.base.tables import locate
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.listing import list_entries

HEADER = "file,class,x,y,width,height\n"


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    root = tmp_path / "mamic"
    root.mkdir()
    Image.new("RGB", (40, 30)).save(root / "a.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "secret.png")
    return root


def fault(root: Path, table: str | bytes, **keys: object) -> str:
    """The sentence for a table, after making sure that its folder is named in full and nothing else is raised."""
    (root / "t.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    with pytest.raises(UserError) as caught:
        list_entries(SourceSpec.model_validate({"kind": "mamic", "root": root, **keys}))
    text = str(caught.value)
    assert text.startswith(f"{root.resolve()}/t.csv")
    return text.removeprefix(f"{root.resolve()}/")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("a.png,platelet,one,2,3,4", "t.csv, line 2: x is 'one'; give a number"),
        ("a.png,platelet,1,2,nan,4", "t.csv, line 2: width is 'nan'; give a number"),
        ("a.png,platelet,1,2,1e999,4", "t.csv, line 2: width is '1e999'; give a number"),
        ("a.png,platelet,1,2,0,4", "t.csv, line 2: a box of 0x4 px holds nothing"),
        ("a.png,platelet,-1,2,3,4", "t.csv, line 2: the box x=-1 y=2 width=3 height=4 leaves the image of 40x30 px"),
        ("a.png,platelet,38,2,3,4", "t.csv, line 2: the box x=38"),
        ("a.png,platelet,0,27,3,4", "t.csv, line 2: the box x=0 y=27"),
        ("a.png,platelet,1,2,3", "t.csv, line 2: a value is missing"),
        ("a.png,,1,2,3,4", "t.csv, line 2: a value is missing"),
        ("b.png,platelet,1,2,3,4", "t.csv, line 2: no image b.png in"),
        ("../secret.png,platelet,1,2,3,4", "t.csv, line 2: ../secret.png leads out of the source's folder"),
        ("..\\secret.png,platelet,1,2,3,4", "t.csv, line 2: ..\\secret.png leads out of the source's folder"),
        ("x/../../secret.png,platelet,1,2,3,4", "t.csv, line 2: x/../../secret.png leads out"),
        ("/etc/passwd,platelet,1,2,3,4", "t.csv, line 2: /etc/passwd leads out"),
        ("C:\\a.png,platelet,1,2,3,4", "t.csv, line 2: C:\\a.png leads out"),
        ("a.png,plate,1,2,3,4", "t.csv, line 2: 'plate' names no class; map it under the source's `classes`"),
    ],
)
def test_a_faulty_box(fields: Path, row: str, expected: str) -> None:
    assert fault(fields, HEADER + row + "\n").startswith(expected)


def test_all_faults_come_at_once_but_not_without_end(fields: Path) -> None:
    lines = fault(fields, HEADER + "a.png,platelet,1,2,3,4\n" + "a.png,platelet,x,2,3,4\n" * 30).splitlines()
    assert len(lines) == 11
    assert "t.csv, line 3:" in lines[0]
    assert "t.csv, line 12:" in lines[9]
    assert lines[10] == "and 20 more of the kind"


def test_faulty_files(fields: Path) -> None:
    assert "the table is empty" in fault(fields, "\n\n")
    assert "line 1: no column x, y among 'file', 'class'" in fault(fields, "file,class\n")
    assert "save it as CSV in UTF-8" in fault(fields, "file;Zählung\n".encode("latin-1"))


def test_a_table_of_something_else_can_be_excluded(fields: Path) -> None:
    (fields / "platelet").mkdir()
    (fields / "a.png").rename(fields / "platelet/a.png")
    assert "no column" in fault(fields, "date,by\n")
    spec = SourceSpec.model_validate({"kind": "mamic", "root": fields, "exclude": ["t.csv"]})
    assert [entry.path for entry in list_entries(spec).entries] == ["platelet/a.png"]


def test_boxes_of_an_excluded_field_are_skipped(fields: Path) -> None:
    Image.new("RGB", (9, 9)).save(fields / "b.png")
    (fields / "t.csv").write_text(HEADER + "a.png,platelet,1,2,3,4\nb.png,platelet,1,2,300,4\n")
    spec = SourceSpec.model_validate({"kind": "mamic", "root": fields, "exclude": ["b.png"]})
    assert [entry.path for entry in list_entries(spec).entries] == ["a.png"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("id,class\n1,2\n1,3\n", "line 3: 1.png has another class in"),
        ("id,class\n007,2\n", "line 2: 007 fits 07.png, 7.png; write the whole file name"),
        ("id,class\n1,8\n", "'8' names no class; map it"),
        ("number,kind\n1,2\n", "line 1: no column id, class among 'number', 'kind'"),
    ],
)
def test_faulty_labels(tmp_path: Path, table: str, expected: str) -> None:
    for name in ("1", "7", "07"):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text(table)
    keys = {"kind": "crops", "root": tmp_path, "labels": "labels.csv"}
    classes = {"2": "monocyte", "3": "neutrophil"}
    used = {key: value for key, value in classes.items() if f",{key}\n" in table}
    with pytest.raises(UserError) as caught:
        list_entries(SourceSpec.model_validate({**keys, "classes": {} if "number" in table else used}))
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path.resolve()}/labels.csv")


def test_a_link_out_of_the_root_is_not_followed(fields: Path) -> None:
    (fields / "link.png").symlink_to(fields.parent / "secret.png")
    with pytest.raises(UserError, match=r"link\.png: leads out of the source's folder"):
        locate(fields, "link.png")
    assert locate(fields, "./a.png") == (fields / "a.png").resolve()
