"""Single cells as other tools take them, read back by the other tool's own library."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from coloured_smears import CLASSES_OF
from PIL import Image
from pycocotools.coco import COCO
from skimage.draw import polygon2mask

from segtrain.counting.cell_files import CocoFile, OutlinedField, write_geojson, write_instances, write_rois
from segtrain.counting.cell_measures import FieldCells, MeasuredCell
from smearsynth.base.instance_outlines import outlines
from smearsynth.fields.annotations import read_annotations
from smearsynth.taxonomy import CLASSES

CELL = MeasuredCell(
    number=1, kind="infected_rbc", x=9, y=9, left=5, top=5, right=14, bottom=14, area_um2=40,
    confidence=0.9, eccentricity=0.1, borders=(), counted=True,
)  # fmt: skip
ORIGIN = {"network": "0123456789ab", "version": "segtrain 0"}


def outlined(instance: np.ndarray) -> OutlinedField:
    """A field of cells of all classes in turn."""
    kinds = [CLASSES_OF.keys[1 + n % 9] for n in range(int(instance.max()))]
    cells = tuple(replace(CELL, number=n, kind=kind) for n, kind in enumerate(kinds, start=1))
    found = FieldCells(map=instance.astype(np.int32), cells=cells, native_shape=instance.shape)
    return OutlinedField(name="a.png", found=found, um_per_px=0.2, classes=CLASSES_OF, made_with=ORIGIN)


def awkward() -> np.ndarray:
    """Two that touch, one in another, one in two parts, one of a pixel in the corner, and one along an edge."""
    y, x = np.mgrid[:40, :60]
    instance = np.zeros((40, 60), np.int32)
    instance[(x - 15) ** 2 + (y - 15) ** 2 < 100] = 1
    instance[(x - 30) ** 2 + (y - 16) ** 2 < 64] = 2
    instance[(x - 15) ** 2 + (y - 13) ** 2 < 9] = 3
    instance[25:32, 5:11] = instance[30:38, 14:20] = 4
    instance[39, 59] = 5
    instance[0:9, 40:60] = 6
    return instance


def drawn(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres an odd number of rings enclose, by scikit-image."""
    return sum(polygon2mask(shape, np.asarray(ring)[:, ::-1] - 0.5).astype(int) for ring in rings) % 2 == 1


def as_files(one: OutlinedField, folder: Path) -> dict[str, Path]:
    files = {"rois": folder / "a_rois.zip", "geojson": folder / "a.geojson", "masks": folder / "a_masks.tif"}
    for path, write in zip(files.values(), (write_rois, write_geojson, write_instances), strict=True):
        with path.open("wb") as file:
            write(file, one)
    return files


class TestReadBack:
    def test_imagej(self, tmp_path: Path) -> None:
        instance, one = awkward(), outlined(awkward())
        regions = roifile.roiread(as_files(one, tmp_path)["rois"])
        assert len(regions) == 6
        for cell, region in zip(one.found.cells, regions, strict=True):
            rings = region.coordinates(multi=True) if region.composite else [region.coordinates()]
            np.testing.assert_array_equal(drawn(rings, instance.shape), instance == cell.number)
            known = next(c for c in CLASSES if c.key == cell.kind)
            assert (region.name, region.group) == (f"{cell.number} {known.name}", known.id)
            assert region.stroke_color == bytes((255, *known.rgb))
            assert "network: 0123456789ab\n" in region.props

    def test_qupath(self, tmp_path: Path) -> None:
        """By the layout that QuPath's manual states, for QuPath itself is no library."""
        instance, one = awkward(), outlined(awkward())
        told = json.loads(as_files(one, tmp_path)["geojson"].read_text())
        assert told["type"] == "FeatureCollection"
        assert [f["geometry"]["type"] for f in told["features"]].count("MultiPolygon") == 1
        for cell, feature in zip(one.found.cells, told["features"], strict=True):
            parts = feature["geometry"]["coordinates"]
            rings = [ring for part in (parts if feature["geometry"]["type"][0] == "M" else [parts]) for ring in part]
            assert all(ring[0] == ring[-1] for ring in rings)
            np.testing.assert_array_equal(drawn(rings, instance.shape), instance == cell.number)
            known = next(c for c in CLASSES if c.key == cell.kind)
            assert feature["properties"]["classification"] == {"name": known.name, "color": list(known.rgb)}

    def test_coco(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        instance, one, coco = awkward(), outlined(awkward()), CocoFile()
        coco.add(one)
        coco.add(one)
        with (tmp_path / "coco.json").open("wb") as file:
            coco.write(file)
        read = COCO(tmp_path / "coco.json")
        assert capsys.readouterr()
        assert [image["file_name"] for image in read.imgs.values()] == ["a.png", "a.png"]
        for cell, told in zip([*one.found.cells] * 2, read.anns.values(), strict=True):
            mask = read.annToMask(told) > 0
            np.testing.assert_array_equal(mask, instance == cell.number)
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            x, y = columns[0], rows[0]
            assert told["bbox"] == [x, y, columns[-1] - x + 1, rows[-1] - y + 1]
            assert (told["area"], read.cats[told["category_id"]]["name"]) == (mask.sum(), cell.kind)

    def test_instances(self, tmp_path: Path) -> None:
        path = as_files(outlined(awkward()), tmp_path)["masks"]
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            assert page.dtype == np.uint16
            np.testing.assert_array_equal(page.asarray(), awkward())
            assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == pytest.approx(50_000)

    @pytest.mark.slow
    def test_more_than_65535_instances_take_32_bits(self) -> None:
        many, file = np.arange(1, 70_001, dtype=np.int32).reshape(250, 280), io.BytesIO()
        write_instances(file, outlined(many))
        read = tifffile.imread(io.BytesIO(file.getvalue()))
        assert read.dtype == np.uint32
        np.testing.assert_array_equal(read, many)

    @pytest.mark.parametrize("kind", ["rois", "geojson"])
    def test_a_source_of_fields_reads_what_was_written(self, tmp_path: Path, kind: str) -> None:
        instance, one = awkward(), outlined(awkward())
        Image.fromarray(np.full((*instance.shape, 3), 230, np.uint8)).save(tmp_path / "a.png")
        name = as_files(one, tmp_path)[kind].name
        read = read_annotations(tmp_path, ["a.png"], [name]).cells
        assert [cell.name.lower().replace(" ", "_") for cell in read] == [cell.kind for cell in one.found.cells]
        for number, cell in enumerate(read, start=1):
            assert cell.outline is not None
            window, mask = cell.outline.draw(instance.shape)
            np.testing.assert_array_equal(mask, instance[window] == number)
            assert mask.sum() == (instance == number).sum()


def test_a_map_at_the_image_s_size_has_smooth_outlines_and_every_cell() -> None:
    y, x = np.mgrid[:80, :80]
    small = (np.hypot(x - 40, y - 40) < 18).astype(np.int32)
    small[5, 70], small[60:78, 60:78] = 2, 3
    cells = tuple(replace(CELL, number=n, x=140, y=10) for n in (1, 2, 3))
    fine = FieldCells(map=small, cells=cells, native_shape=(240, 240)).native_map()
    y, x = np.mgrid[:240, :240]
    disc = np.hypot(x - 121, y - 121) < 54
    steps = np.kron(small == 1, np.ones((3, 3), bool))
    assert ((fine == 1) != disc).sum() < 0.8 * (steps != disc).sum()
    assert sorted(np.unique(fine)) == [0, 1, 2, 3]
    coarse = FieldCells(map=small, cells=cells, native_shape=(20, 20)).native_map()
    assert {1, 2, 3} <= {*np.unique(coarse), 2}
    np.testing.assert_array_equal(FieldCells(map=small, cells=cells, native_shape=(80, 80)).native_map(), small)


def test_a_cell_is_in_one_part_at_the_image_s_size_as_well() -> None:
    """Of cells that touch, of all sizes and at all scales: none gets a pixel that only others are beside."""
    seeds = np.random.default_rng(3).random((2, 12, 1, 1)) * 60
    y, x = np.mgrid[:60, :60]
    away = np.hypot(y - seeds[0], x - seeds[1])
    small = np.where(away.min(axis=0) < 9, away.argmin(axis=0) + 1, 0).astype(np.int32)
    cells = tuple(replace(CELL, number=n) for n in range(1, 13))
    for side in (60, 83, 111, 180, 250):
        native = FieldCells(map=small, cells=cells, native_shape=(side, side)).native_map()
        assert all(len(parts) == 1 for parts in outlines(native).values())
