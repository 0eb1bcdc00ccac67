"""Cells corrected in napari: layers to files and back through `segtrain import`; the window, where napari is."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from segtrain.counting.load import load
from segtrain.data.samples import Classes
from segtrain.importing.import_annotations import import_annotations
from segtrain.viewing.napari_correction import FieldLayers, layers_of, open_viewer, save_layers
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, IGNORE, INFECTED_RBC

TEN = Classes(tuple(range(10)), tuple(c.key for c in CLASSES), tuple(c.colour for c in CLASSES))


@pytest.fixture
def layers() -> FieldLayers:
    """Two cells that touch, the second infected by most of its pixels; its third column has no class yet."""
    cells = np.zeros((40, 60), np.int32)
    cells[5:20, 5:20], cells[5:20, 20:35] = 7, 9
    classes = np.where(cells == 7, HEALTHY_RBC, np.where(cells == 9, INFECTED_RBC, 0)).astype(np.uint8)
    classes[5:20, 20:22], classes[5:20, 22] = HEALTHY_RBC, 0
    return FieldLayers(image=np.full((40, 60, 3), 230, np.uint8), cells=cells, classes=classes)


def test_what_is_saved_is_imported_cell_for_cell(layers: FieldLayers, tmp_path: Path) -> None:
    layers.cells[30:35, 50:55] = 11  # which nobody named
    (tmp_path / "img").mkdir()
    Image.fromarray(layers.image).save(tmp_path / "img/a.png")
    save_layers(layers, tmp_path / "corrected", "a", TEN)
    import_annotations(
        tmp_path / "img",
        tmp_path / "corrected",
        out=tmp_path / "set",
        classes=tmp_path / "corrected/classes.yaml",
        um_per_px=0.2,
        split="train=1",
        progress=False,
    )
    with h5py.File(next((tmp_path / "set").glob("*.h5"))) as shard:
        label, instance = shard["label"][0], shard["instance"][0]
    np.testing.assert_array_equal(label, np.array([0] * 7 + [HEALTHY_RBC, 0, INFECTED_RBC, 0, IGNORE])[layers.cells])
    for number in (7, 9):
        [found] = np.unique(instance[layers.cells == number])
        np.testing.assert_array_equal(instance == found, layers.cells == number)


def test_layers_are_what_was_counted(tiny_run: Path, layers: FieldLayers) -> None:
    network = load(tiny_run)
    counted = network.count(layers.image, um_per_px=0.1)
    shown = FieldLayers.of(layers.image, counted.found[0], network.networks.classes)
    np.testing.assert_array_equal(shown.cells, counted.map)
    kinds = ["background", *(cell["class"] for cell in counted.cells)]
    assert [network.classes[n] for n in shown.classes.ravel()] == [kinds[n] for n in shown.cells.ravel()]


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="needs a display with OpenGL, as xvfb-run gives it")
def test_a_window_gives_back_what_was_painted(layers: FieldLayers) -> None:
    napari = pytest.importorskip("napari", reason="needs the extra `napari`")
    viewer, shown = open_viewer(napari, layers, TEN, show=False)
    try:
        shown[2].fill((10, 25), 11)
        shown[2].data[5:20, 5:20] = 0
        back = layers_of(shown)
    finally:
        viewer.close()
    assert (back.cells[10, 25], back.cells[10, 10], back.cells[30, 50]) == (11, 0, 0)
    np.testing.assert_array_equal(back.image, layers.image)
    np.testing.assert_array_equal(back.classes, layers.classes)
