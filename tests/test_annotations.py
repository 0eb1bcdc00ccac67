"""Points and boxes of every form of file: the same cells come out of all, and what is wrong is named with its place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from smearsynth.base.errors import UserError
from smearsynth.fields.annotation_files import CHULA_TYPES
from smearsynth.fields.annotations import Annotations, read_annotations

WIDTH, HEIGHT = 80, 50
BOXES = [("a.png", "burr", (10, 5, 20, 30)), ("a.png", "ring", (40, 10, 32, 25)), ("b.png", "burr", (0, 0, 80, 50))]
NAMES = ["ring", "burr"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("images/a.png", "images/b.png", "images/c.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / path)
    (tmp_path / "labels").mkdir()
    return tmp_path


def read(root: Path) -> Annotations:
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    images = [path for path in paths if path.endswith(".png")]
    return read_annotations(root, images, [path for path in paths if path not in images])


def fault(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(root)
    return str(caught.value).replace(f"{root}/", "")


def csv(root: Path) -> None:
    rows = [f"../images/{file},{name},{','.join(map(str, box))}" for file, name, box in BOXES]
    (root / "labels/boxes.csv").write_text("\n".join(["file,class,x,y,width,height", *rows]))


def voc(root: Path) -> None:
    for stem in "ab":
        cells = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax>"
            f"<ymax>{y + h}</ymax></bndbox></object>"
            for file, name, (x, y, w, h) in BOXES
            if file == f"{stem}.png"
        )
        (root / f"labels/{stem}.xml").write_text(f"<annotation><filename>C:\\x.jpg</filename>{cells}</annotation>")


def coco(root: Path) -> None:
    images = [{"id": 0, "file_name": "/home/me/a.png"}, {"id": 1, "file_name": "C:\\me\\b.png"}]
    cells = [
        {"image_id": int(file == "b.png"), "category_id": NAMES.index(name), "bbox": list(box)}
        for file, name, box in BOXES
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES)]
    text = json.dumps({"images": images, "annotations": cells, "categories": categories})
    (root / "labels/coco.json").write_text(text)


def yolo(root: Path) -> None:
    for stem in "ab":
        rows = [
            f"{NAMES.index(name)} {(x + w / 2) / WIDTH} {(y + h / 2) / HEIGHT} {w / WIDTH} {h / HEIGHT}"
            for file, name, (x, y, w, h) in BOXES
            if file == f"{stem}.png"
        ]
        (root / f"labels/{stem}.txt").write_text("\n".join(rows))
    (root / "data.yaml").write_text(f"path: ../x\nnames: {NAMES}\n")


def yolo_polygons(root: Path) -> None:
    for stem in "ab":
        rows = [
            f"{NAMES.index(name)} "
            + " ".join(f"{u / WIDTH} {v / HEIGHT}" for u, v in ((x, y), (x + w, y), (x + w, y + h), (x, y + h)))
            for file, name, (x, y, w, h) in BOXES
            if file == f"{stem}.png"
        ]
        (root / f"labels/{stem}.txt").write_text("\n".join(rows))
    (root / "labels/classes.txt").write_text("\n".join(NAMES))


@pytest.mark.parametrize("write", [csv, voc, coco, yolo, yolo_polygons])
def test_every_form_gives_the_same_cells(root: Path, write: Callable[[Path], None]) -> None:
    write(root)
    found = read(root)
    cells = [(cell.file, cell.name, (cell.x, cell.y, cell.width, cell.height)) for cell in found.cells]
    assert cells == [(f"images/{file}", name, pytest.approx(box)) for file, name, box in BOXES]
    assert found.images == {"images/a.png", "images/b.png"}
    written = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix not in ("", ".png")}
    assert set(found.files) == written
    assert not +found.left_out


def test_points_of_a_table_and_of_chula(root: Path) -> None:
    (root / "labels/t.csv").write_text("file;class;x;y;um_per_px\n../images/a.png;burr;3.5;4;0.19\n")
    (root / "labels/b.txt").write_text("79 49 8\n0 0 0\n")
    (root / "labels/c.txt").write_text("")
    found = read(root)
    assert [(cell.file, cell.name, cell.x, cell.y, cell.width, cell.um_per_px) for cell in found.cells] == [
        ("images/b.png", "burr", 79, 49, 0, None),
        ("images/b.png", "normal", 0, 0, 0, None),
        ("images/a.png", "burr", 3.5, 4, 0, 0.19),
    ]
    assert "images/c.png" in found.images, "an empty file says that nothing is there"
    assert CHULA_TYPES[8] == "burr"


def test_a_file_belongs_to_the_image_with_which_it_has_most_folders_in_common(root: Path) -> None:
    for part in ("train", "test"):
        for folder in ("images", "labels"):
            (root / part / folder).mkdir(parents=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / part / "images/a.png")
        (root / part / "labels/a.txt").write_text("0 0.5 0.5 0.1 0.1")
    (root / "train/classes.txt").write_text("ring\n")
    assert [(cell.file, cell.name) for cell in read(root).cells] == [
        ("test/images/a.png", "0"),
        ("train/images/a.png", "ring"),
    ]
    (root / "labels/a.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert "a fits images/a.png, test/images/a.png, train/images/a.png" in fault(root)


def test_files_of_something_else_are_left_alone_and_labels_without_image_counted(root: Path) -> None:
    (root / "README.txt").write_text("Fields of 2021.\n")
    (root / "settings.json").write_text("{}")
    (root / "x.xml").write_text("<project/>")
    (root / "labels/gone.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1\n")
    (root / "labels/gone.xml").write_text("<annotation/>")
    found = read(root)
    assert found.left_out == {"label without an image": 2}
    assert found.files == ("labels/gone.txt", "labels/gone.xml")


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.txt", "1 2 3 4\n", "labels/a.txt: gives 4 numbers a line; give class, centre x"),
        ("a.txt", "1 2 3\n0 .5 .5 .1 .1\n", "labels/a.txt: gives 3 and 5 numbers a line"),
        ("a.txt", "5 5 1\n5 5 13\n", "labels/a.txt, line 2: 13 is no type of Chula RBC-12; they are 0 to 12"),
        ("a.txt", "80 5 1\n81 5 1\n", "labels/a.txt, line 2: the point x=81 y=5 leaves the image of 80x50 px"),
        ("a.txt", "nan 5 1\n", "labels/a.txt, line 1: x is nan; give a number"),
        ("a.txt", "0 40 25 10 10\n", "labels/a.txt, line 1: YOLO's values are shares of the image"),
        ("a.txt", "0 .5 .5 .2 nan\n", "labels/a.txt, line 1: YOLO's values are shares of the image"),
        ("a.txt", "0.5 .5 .5 .2 .2\n", "labels/a.txt, line 1: 0.5 is no number of a class"),
        ("a.txt", "0 .5 .5 0 .2\n", "labels/a.txt, line 1: a box of 0x10 px holds nothing"),
        ("a.xml", "<annotation><object>", "labels/a.xml: is no whole XML"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "it declares entities"),
        ("a.xml", "<annotation><object/></annotation>", "labels/a.xml, object 1: it has no <name>"),
        (
            "a.xml",
            "<annotation><object><name>x</name></object></annotation>",
            "object 1: <xmin> is None; give a number",
        ),
        ("a.json", '{"images": [', "labels/a.json: is no whole JSON"),
        ("a.json", '{"images": [{"id": 1}], "annotations": [], "categories": []}', "labels/a.json: is no whole COCO"),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "a.png"}], "categories": [],'
            ' "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}]}',
            "labels/a.json, annotations[0]: is no whole COCO (3)",
        ),
        ("t.csv", "file,class,x,y,width,height\n../images/a.png,burr,1,2,0,0\n", "a box of 0x0 px holds nothing"),
        ("t.csv", "file,class,x,y,um_per_px\n../images/a.png,burr,1,2,190\n", "line 2: um_per_px is 190; give micro"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(root: Path, path: str, text: str, expected: str) -> None:
    (root / "labels" / path).write_text(text)
    assert expected in fault(root)


def test_rows_of_an_image_that_is_not_there_are_told_once(root: Path) -> None:
    rows = ["images/a.png,burr,1,1,9,9", *["gone.png,burr,1,1,9,9"] * 3, "lost.png,burr,1,1,9,9"]
    (root / "boxes.csv").write_text("\n".join(["file,class,x,y,width,height", *rows]))
    first, second = fault(root).splitlines()
    assert first.startswith("boxes.csv, line 3: no image gone.png in ")
    assert first.endswith("; correct the name, or remove this row and 2 more")
    assert second.startswith("boxes.csv, line 6: no image lost.png in ")
    assert second.endswith("; correct the name, or remove the row")


def test_a_class_that_the_names_file_lacks(root: Path) -> None:
    yolo(root)
    (root / "data.yaml").write_text("names: {0: ring}\n")
    assert "labels/a.txt, line 1: 1 is no number of a class among the 1 of the names file; add it there" in fault(root)
    (root / "data.yaml").write_text("nc: 2\n")
    assert "data.yaml: names no classes (names)" in fault(root)


def test_a_box_that_overhangs_by_rounding_is_cut_to_the_image(root: Path) -> None:
    (root / "labels/a.xml").write_text(
        "<annotation><object><name>x</name><bndbox><xmin>60</xmin><ymin>-0.4</ymin><xmax>80.6</xmax><ymax>50.5</ymax>"
        "</bndbox></object></annotation>"
    )
    (cell,) = read(root).cells
    assert (cell.x, cell.y, cell.width, cell.height) == (60, 0, 20, pytest.approx(50))
