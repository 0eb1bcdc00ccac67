"""Names on annotated fields: boxes, points and folders against what was counted; figures as counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segtrain.counting.cell_measures import FieldCells, measure_cells
from segtrain.evaluation.named_cells import (
    NamedCell,
    NamedField,
    measure_names,
    names_table,
    read_named_fields,
)
from segtrain.importing.outlined_images import read_class_names
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES

KEYS = [c.key for c in CLASSES]
CLASS_OF = {
    "rbc": "healthy_rbc",
    "ring": "infected_rbc",
    "gametocyte": "infected_rbc",
    "eos": "eosinophil",
    "odd": None,
}
SIZE = 200, 300
"""Of an image, at twice the networks' scale."""


def disc(label: np.ndarray, y: int, x: int, radius: int, class_id: int) -> None:
    rows, columns = np.ogrid[: label.shape[0], : label.shape[1]]
    label[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = class_id


def counted(cells: list[tuple[int, int, int, int]]) -> FieldCells:
    """The cells of a field whose label map, of half the image's size, shows discs (y, x, radius, class)."""
    label = np.zeros((100, 150), np.uint8)
    for cell in cells:
        disc(label, *cell)
    sure = np.full_like(label, 255)
    return measure_cells(label, sure, keys=KEYS, um_per_px=0.2, native_shape=SIZE)


SEEN = {
    # A healthy cell called so, one called infected, a ring that is found, one that is not; one cell without a name.
    "a.png": counted([(30, 30, 17, 9), (30, 80, 17, 8), (75, 30, 17, 8), (75, 120, 17, 9)]),
    # A gametocyte called an eosinophil; an eosinophil called so.
    "b.png": counted([(35, 35, 25, 1), (60, 110, 35, 1)]),
}


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    for name in SEEN:
        Image.new("RGB", SIZE[::-1]).save(tmp_path / name)
    (tmp_path / "cells.csv").write_text(
        "file,class,x,y,width,height\n"
        "a.png,rbc,26,26,68,68\na.png,rbc,160,60,,\na.png,ring,20,116,74,68\na.png,ring,140,140,20,20\n"
        "a.png,odd,200,120,70,70\nb.png,gametocyte,20,20,100,100\nb.png,eos,220,120,,\n"
    )
    return tmp_path


def test_figures_are_those_counted_by_hand(fields: Path) -> None:
    named = read_named_fields(fields, CLASS_OF)
    assert [(field.path.name, len(field.cells)) for field in named] == [("a.png", 4), ("b.png", 2)]
    figures = measure_names(named, lambda path: SEEN[path.name], progress=False)
    infection = figures["infection"]
    assert (figures["images"], figures["cells"]) == (2, 6)
    assert (infection["healthy"], infection["infected"]) == (2, 3)
    assert infection["false_alarms_per_1000"]["value"] == 500
    assert infection["recall"]["value"] == pytest.approx(1 / 3)
    assert infection["recall_by_name"] == {
        "gametocyte": {"found": 0, "cells": 1},
        "ring": {"found": 1, "cells": 2},
    }
    assert infection["parasitaemia_true"]["value"] == pytest.approx(3 / 5)
    # Called red are the two healthy cells and the ring that was found, of which two are called infected.
    assert infection["parasitaemia"]["value"] == pytest.approx(2 / 3)
    assert figures["white_cells"]["confusion"] == {"eosinophil": {"eosinophil": 1}}
    assert figures["white_cells"]["balanced_accuracy"]["value"] == 1
    text = names_table(figures)
    assert "false alarms per 1,000 healthy" in text
    assert "500.0" in text


def test_in_folders_of_classes_the_largest_white_cell_is_meant(tmp_path: Path) -> None:
    for name, folder in (("a.png", "eos"), ("b.png", "eos")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(tmp_path / folder / name)
    named = read_named_fields(tmp_path, CLASS_OF)
    figures = measure_names(named, lambda path: SEEN[path.name], progress=False)
    # In the first image no white cell was found at all.
    assert figures["white_cells"]["confusion"] == {"eosinophil": {"not found": 1, "eosinophil": 1}}
    assert figures["white_cells"]["balanced_accuracy"]["value"] == 0.5
    assert figures["infection"]["recall"]["value"] is None


@pytest.mark.slow
@given(st.data())
def test_recall_at_ten_of_a_thousand_is_that_of_sorted_odds(data: st.DataObject) -> None:
    """Of whole odds, so that no two cells share a bin of the histogram without being equal."""
    odds = st.none() | st.integers(-12, 12).map(float)
    cells = data.draw(st.lists(st.tuples(st.booleans(), odds), min_size=2, max_size=60))
    some = SEEN["a.png"].cells[0]
    found = FieldCells(
        map=np.arange(1, len(cells) + 1, dtype=np.int32)[None].repeat(3, axis=0),
        cells=tuple(replace(some, number=i, infected_odds=value) for i, (_, value) in enumerate(cells, 1)),
        native_shape=(3, len(cells)),
    )
    keys = ["infected_rbc" if infected else "healthy_rbc" for infected, _ in cells]
    named = NamedField(
        path=Path("a"), cells=tuple(NamedCell(key, "", (i - 0.4, 0, 0.2, 2)) for i, key in enumerate(keys))
    )
    value = measure_names([named], lambda _: found, progress=False)["infection"]["recall_at_10_per_1000"]["value"]
    of = {flag: [-99.0 if o is None else o for i, o in cells if i is flag] for flag in (False, True)}
    if not of[False] or not of[True] or all(o is None for _, o in cells):
        assert value is None
        return
    # With so few healthy cells, none may be as high as the threshold.
    best = max(np.mean([o >= t for o in of[True]]) for t in (-50, *range(-12, 14)) if max(of[False]) < t)
    assert value == pytest.approx(best)


def test_names_are_read_from_a_file_and_all_that_name_no_class_are_told(tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("rbc: healthy_rbc\n12: infected_rbc\nodd: null\n")
    assert read_class_names(tmp_path / "names.yaml") == {"rbc": "healthy_rbc", "12": "infected_rbc", "odd": None}
    (tmp_path / "names.yaml").write_text("rbc: healthy\nring: infected_rbc\nodd: 3\n")
    with pytest.raises(UserError) as told:
        read_class_names(tmp_path / "names.yaml")
    first, second = str(told.value).splitlines()
    assert first.startswith(f"{tmp_path}/names.yaml:1: rbc: there is no class 'healthy'")
    assert second.startswith(f"{tmp_path}/names.yaml:3: odd: there is no class 3: the classes are eosinophil, ")


def test_a_neighbour_that_reaches_into_a_box_is_not_what_it_names(fields: Path) -> None:
    (fields / "cells.csv").write_text("file,class,x,y,width,height\na.png,ring,194,26,68,68\na.png,ring,0,0,,\n")
    figures = measure_names(read_named_fields(fields, CLASS_OF), lambda path: SEEN[path.name], progress=False)
    # At a point in the corner there is no cell either.
    assert figures["infection"]["recall_by_name"] == {"ring": {"found": 0, "cells": 2}}


def test_classes_that_are_none_are_told_whoever_names_them(fields: Path, tmp_path: Path) -> None:
    (tmp_path / "names.yaml").write_text("ring: [a]\nrbc: background\n")
    with pytest.raises(UserError, match=r"there is no class \['a'\][\s\S]*there is no class 'background'"):
        read_class_names(tmp_path / "names.yaml")
    with pytest.raises(UserError, match="rbc: there is no class 'healthy'"):
        read_named_fields(fields, CLASS_OF | {"rbc": "healthy"})


def test_yolo_names_its_classes_in_a_file_of_their_own(fields: Path) -> None:
    (fields / "cells.csv").unlink()
    (fields / "data.yaml").write_text("names: [rbc, ring]\n")
    (fields / "a.txt").write_text("1 0.2 0.3 0.22 0.34\n")
    [field] = read_named_fields(fields, CLASS_OF)
    assert [(cell.key, cell.name) for cell in field.cells] == [("infected_rbc", "ring")]


def test_what_is_not_said_is_asked_for(fields: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="what 'gametocyte', 'odd' stands for is not said"):
        read_named_fields(fields, {"rbc": "healthy_rbc", "ring": "infected_rbc", "eos": "eosinophil"})
    with pytest.raises(UserError, match="no annotated cell is of a class"):
        read_named_fields(fields, dict.fromkeys(CLASS_OF))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no image"):
        read_named_fields(tmp_path / "empty", CLASS_OF)


def test_outlines_are_held_against_the_cells_that_are_found(fields: Path) -> None:
    (fields / "cells.csv").unlink()
    # Half of a cell of radius 17 at twice the scale; a whole one; one where nothing is; and a box of another image.
    square = "<polygon label='rbc' points='25,25;60,25;60,96;25,96'/>"
    whole = ";".join(f"{160.5 + 35 * np.cos(a):.2f},{60.5 + 35 * np.sin(a):.2f}" for a in np.arange(0, 6.28, 0.1))
    nothing = "<polygon label='ring' points='120,150;130,150;130,160'/>"
    (fields / "annotations.xml").write_text(
        f"<annotations><image name='a.png' width='300' height='200'>{square}"
        f"<polygon label='rbc' points='{whole}'/>{nothing}</image>"
        "<image name='b.png'><box label='eos' xtl='150' ytl='50' xbr='290' ybr='190'/></image>"
        "<image name='gone.png'/></annotations>"
    )
    warnings: list[str] = []
    figures = measure_names(read_named_fields(fields, CLASS_OF, warnings), lambda path: SEEN[path.name], progress=False)
    assert warnings == ["left out of the annotations: label without an image (1)"]
    assert figures["outlines"]["cells"] == 3
    half = np.pi * 35**2 / 2
    ious = [half / (35 * 71 + half), 1, 0]
    # A disc of the map is a pixel wider than its radius, so its area is 6 % more.
    assert figures["outlines"]["iou"]["value"] == pytest.approx(sum(ious) / 3, abs=0.05)
    assert figures["outlines"]["found_at_half"]["value"] == pytest.approx(1 / 3)
    assert figures["white_cells"]["confusion"] == {"eosinophil": {"eosinophil": 1}}
    assert "IoU of 3 outlined cells" in names_table(figures)
