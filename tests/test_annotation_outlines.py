"""Outlines of every form of file: the pixels are those that the other tool's own library gives, or its page says."""

import json
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from matplotlib.path import Path as Region
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from smearsynth.base.errors import UserError
from smearsynth.fields.annotations import Annotation, Annotations, read_annotations
from smearsynth.fields.cell_outlines import Polygons, Raster, decompressed, ellipse, rectangle

HEIGHT, WIDTH = 60, 90
STAR = ((12.0, 8.0), (40.5, 20.25), (70.0, 10.0), (60.0, 45.75), (30.0, 52.0), (33.0, 30.0))
HOLE = ((40.0, 25.0), (50.0, 25.0), (50.0, 35.0), (40.0, 35.0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Image.new("RGB", (WIDTH, HEIGHT), (200, 180, 190)).save(tmp_path / "a.png")
    return tmp_path


def read(root: Path) -> Annotations:
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    images = [path for path in paths if path.endswith((".png", ".tif"))]
    return read_annotations(root, images, [path for path in paths if path not in images])


def fault(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(root)
    return str(caught.value).replace(f"{root}/", "")


def drawn(cell: Annotation, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    assert cell.outline is not None
    window, mask = cell.outline.draw(shape)
    whole = np.zeros(shape, bool)
    whole[window] = mask
    return whole


def centres_inside(*rings: tuple[tuple[float, float], ...]) -> np.ndarray:
    """bool (h, w): the pixel's centre is in an odd number of the rings, by matplotlib."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    inside = sum(Region(ring).contains_points(points).astype(int) for ring in rings)
    return (inside % 2 == 1).reshape(HEIGHT, WIDTH)


def disc(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


class TestPixels:
    def test_a_pixel_is_inside_where_its_centre_is(self) -> None:
        for rings in ((STAR,), (STAR, HOLE)):
            np.testing.assert_array_equal(
                drawn(Annotation("", "", 0, 0, 0, 0, "", outline=Polygons((rings,)))), centres_inside(*rings)
            )

    def test_outlines_that_share_an_edge_share_no_pixel_and_leave_none_out(self) -> None:
        rng = np.random.default_rng(0)
        xs, ys = (np.sort(rng.integers(0, 2 * side, 6)) / 2 for side in (WIDTH, HEIGHT))
        met = np.zeros((HEIGHT, WIDTH), int)
        for left, right in pairwise(xs):
            for top, bottom in pairwise(ys):
                corners = (left, top), (right, top), (right, bottom), (left, bottom)
                for part in ((corners[0], corners[1], corners[2]), (corners[0], corners[2], corners[3])):
                    met += drawn(Annotation("", "", 0, 0, 0, 0, "", outline=Polygons(((part,),))))
        window, whole = rectangle(xs[0], ys[0], xs[-1] - xs[0], ys[-1] - ys[0]).draw((HEIGHT, WIDTH))
        assert (met[window][whole] == 1).all()
        assert met.sum() == whole.sum()

    def test_what_lies_beyond_the_border_is_cut(self) -> None:
        window, mask = rectangle(-5, 50, 12, 30).draw((HEIGHT, WIDTH))
        assert (window, mask.all()) == ((slice(50, 60), slice(0, 7)), True)
        window, mask = Raster.of(np.ones((20, 12), bool), -5, 50).draw((HEIGHT, WIDTH))
        assert (window, mask.all()) == ((slice(50, 60), slice(0, 7)), True)
        assert Raster.of(np.ones((5, 5), bool), 3, HEIGHT + 2).draw((HEIGHT, WIDTH))[1].size == 0

    def test_an_ellipse_has_its_area(self) -> None:
        _, mask = ellipse(45, 30, 40, 20).draw((HEIGHT, WIDTH))
        # The pixels whose centres are inside differ from the area by less than a pixel per unit of the contour.
        assert mask.sum() == pytest.approx(np.pi * 40 * 20, rel=0.005)


class TestCoco:
    def write(self, root: Path, *segmentations: object, **more: object) -> Path:
        cells = [
            {
                "id": i,
                "image_id": 7,
                "category_id": 3,
                "segmentation": s,
                "bbox": [0, 0, 5, 5],
                "area": 25,
                "iscrowd": 0,
            }
            | more
            for i, s in enumerate(segmentations, start=1)
        ]
        path = root / "coco.json"
        images = [{"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
        path.write_text(json.dumps({"images": images, "annotations": cells, "categories": [{"id": 3, "name": "burr"}]}))
        return path

    def test_run_lengths_are_those_of_pycocotools(self, root: Path) -> None:
        masks = [centres_inside(STAR, HOLE), disc(0, 0, 9), disc(30, 80, 25), np.ones((HEIGHT, WIDTH), bool)]
        runs = [coco_masks.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
        packed = [{"size": [HEIGHT, WIDTH], "counts": one["counts"].decode()} for one in runs]
        plain = [{"size": [HEIGHT, WIDTH], "counts": decompressed(one["counts"])} for one in packed]
        path = self.write(root, *packed, *plain)
        own = COCO(path)
        cells = read(root).cells
        assert len(cells) == len(masks), "the same cells in both forms are annotated twice"
        for cell, annotation, mask in zip(cells, own.loadAnns(range(5, 9)), masks, strict=True):
            np.testing.assert_array_equal(drawn(cell), mask)
            np.testing.assert_array_equal(drawn(cell), own.annToMask(annotation))
            rows, columns = np.nonzero(mask)
            assert (cell.x, cell.y) == (columns.min(), rows.min())
            assert (cell.width, cell.height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)

    def test_polygons_are_those_of_pycocotools_but_for_pixels_on_the_edge(self, root: Path) -> None:
        flat = [value for corner in STAR for value in corner]
        box = [2, 40, 12, 40, 12, 50, 2, 50]
        path = self.write(root, [flat, box], [box])
        own = COCO(path)
        for cell, annotation in zip(read(root).cells, own.loadAnns([1, 2]), strict=True):
            here, there = drawn(cell), own.annToMask(annotation).astype(bool)
            y, x = np.nonzero(here != there)
            corners = np.array(STAR)
            ends = np.roll(corners, -1, axis=0)
            share = np.clip(
                ((np.stack([x, y], 1)[:, None] + 0.5 - corners) * (ends - corners)).sum(2)
                / ((ends - corners) ** 2).sum(1),
                0,
                1,
            )
            nearest = corners + share[..., None] * (ends - corners)
            away = np.linalg.norm(np.stack([x, y], 1)[:, None] + 0.5 - nearest, axis=2).min(axis=1, initial=9)
            # pycocotools rounds each edge to fifths of a pixel, and to whole columns.
            assert (away < 0.75).all()
        assert drawn(read(root).cells[1]).sum() == 100, "corners are corners of pixels, and no centres"

    def test_a_crowd_is_no_cell(self, root: Path) -> None:
        counts = coco_masks.encode(np.asfortranarray(disc(30, 30, 8).astype(np.uint8)))["counts"].decode()
        self.write(root, {"size": [HEIGHT, WIDTH], "counts": counts}, iscrowd=1)
        found = read(root)
        assert (len(found.cells), len(found.crowds), found.images) == (0, 1, {"a.png"})

    @pytest.mark.parametrize(
        ("segmentation", "expected"),
        [
            ([[1, 2, 3, 4]], "annotations[0]: is no whole COCO (an outline of 2 corners holds nothing)"),
            ([[1, 2, 3, 4, 5]], "annotations[0]: is no whole COCO"),
            ([[1, 2, "x", 4, 5, 6]], "is no whole COCO (a corner's x is 'x'; give a number)"),
            ({"size": [60, 90], "counts": [5, 6]}, "its run lengths make 11 pixels, and the mask has 90x60"),
            ({"size": [60, 90], "counts": "`"}, "its compressed run lengths are cut, or none"),
            ({"size": [60, 90], "counts": "\u20ac"}, "is no whole COCO"),
            ({"size": [99999, 99999], "counts": "0"}, "a mask of 99999x99999 px is no image's"),
            ({"size": [6, 9], "counts": [0, 54]}, "annotations[0]: it was made on 9x6 px, and a.png has 90x60"),
        ],
    )
    def test_what_is_broken(self, root: Path, segmentation: object, expected: str) -> None:
        self.write(root, segmentation)
        assert expected in fault(root)

    def test_an_image_of_another_size_is_refused_with_both(self, root: Path) -> None:
        path = self.write(root, [[1, 1, 9, 1, 9, 9]])
        path.write_text(path.read_text().replace('"height": 60', '"height": 120'))
        assert "coco.json, images[0]: it was made on 90x120 px, and a.png has 90x60" in fault(root)


class TestQuPath:
    def test_polygons_with_holes_and_pieces(self, root: Path) -> None:
        box = ((2.0, 40.0), (12.0, 40.0), (12.0, 50.0), (2.0, 50.0))

        def feature(kind: str, corners: object, **properties: object) -> dict[str, object]:
            geometry = {"type": kind, "coordinates": corners}
            return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}

        features = [
            feature(
                "Polygon", [STAR, HOLE], objectType="annotation", classification={"name": "Ring", "color": [1, 2, 3]}
            ),
            feature("MultiPolygon", [[STAR], [box]], classification={"names": ["RBC", "burr"]}),
            feature("Point", [5, 6.5], classification="Ring"),
            feature("Polygon", [box]),
            feature("LineString", [[1, 2], [3, 4]]),
        ]
        (root / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        found = read(root)
        assert [cell.name for cell in found.cells] == ["Ring", "RBC: burr", "Ring", "unclassified"]
        np.testing.assert_array_equal(drawn(found.cells[0]), centres_inside(STAR, HOLE))
        np.testing.assert_array_equal(drawn(found.cells[1]), centres_inside(STAR) | centres_inside(box))
        assert found.cells[2].outline is None
        assert found.left_out == {"GeoJSON's LineString, which is no cell": 1}
        (root / "a.geojson").write_text(json.dumps(features))
        assert read(root).cells[0].outline == found.cells[0].outline

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"type": "FeatureCollection", "features": [', "a.geojson: is no whole JSON"),
            ('{"type": "FeatureCollection", "features": 3}', "a.geojson: `features` is no list"),
            ('{"type": "FeatureCollection", "features": [3]}', "a.geojson, features[0]: is no object of QuPath"),
            ('{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": []}}', "features[0]: is no object"),
            ("[]", "a.geojson: is no GeoJSON of features"),
            ("", "a.geojson: is no whole JSON"),
        ],
    )
    def test_what_is_broken(self, root: Path, text: str, expected: str) -> None:
        (root / "a.geojson").write_text(text)
        assert expected in fault(root)


class TestImagej:
    def test_rois_are_those_that_roifile_reads(self, root: Path) -> None:
        whole = np.array([(12, 8), (41, 20), (70, 10), (60, 45), (30, 52)])
        fine = roifile.ImagejRoi.frompoints(np.array(STAR, np.float32), name="ring 17")
        rois = [roifile.ImagejRoi.frompoints(whole, name="0007-0012"), fine]
        rois[0].group = 8
        box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=3, top=4, right=13, bottom=9, name="Healthy RBC-3")
        oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=10, top=10, right=50, bottom=40, name="x1")
        point = roifile.ImagejRoi.frompoints(np.array([(5.5, 6.0)], np.float32), name="0001")
        point.roitype = roifile.ROI_TYPE.POINT
        line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, name="line")
        roifile.roiwrite(root / "a_rois.zip", [*rois, box, oval, point, line])
        found = read(root)
        assert [cell.name for cell in found.cells] == ["8", "ring", "healthy_rbc", "x", "cell"]
        for cell, roi in zip(found.cells[:2], roifile.roiread(root / "a_rois.zip")[:2], strict=True):
            assert cell.outline == Polygons(((tuple(map(tuple, roi.coordinates().tolist())),),))
        np.testing.assert_array_equal(drawn(found.cells[0]), centres_inside(tuple(map(tuple, whole.tolist()))))
        assert drawn(found.cells[2]).sum() == 50
        # The box of an oval in ImageJ is that of its pixels.
        rows, columns = np.nonzero(drawn(found.cells[3]))
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 39, 10, 49)
        assert (found.cells[4].x, found.cells[4].y, found.cells[4].outline) == (5.5, 6.0, None)
        assert found.left_out == {"ROI that is a line, which is no cell": 1}

    def test_a_set_without_a_name_belongs_to_the_only_image(self, root: Path) -> None:
        roifile.roiwrite(root / "RoiSet.zip", [roifile.ImagejRoi.frompoints(np.array(STAR))])
        assert read(root).images == {"a.png"}
        assert [cell.name for cell in read(root).cells] == ["cell"], "roifile makes up a name, which says nothing"
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "b.png")
        assert "RoiSet.zip: its name says of no image that it is the one" in fault(root)

    def test_what_is_broken(self, root: Path) -> None:
        (root / "a.roi").write_bytes(b"Iout")
        assert "a.roi: is no whole ROI" in fault(root)
        (root / "a.roi").unlink()
        (root / "a.zip").write_bytes(b"PK\x03\x04cut")
        assert "a.zip: is no whole set of ROIs" in fault(root)
        with zipfile.ZipFile(root / "a.zip", "w") as archive:
            archive.writestr("readme.txt", "of something else")
        assert read(root).files == ()


class TestCvat:
    def test_shapes_in_the_order_of_their_layers(self, root: Path) -> None:
        points = ";".join(f"{x},{y}" for x, y in STAR)
        (root / "annotations.xml").write_text(
            f'<annotations><version>1.1</version><image id="0" name="sub/a.png" width="{WIDTH}" height="{HEIGHT}">'
            f'<polygon label="ring" points="{points}" z_order="2"/>'
            '<mask label="burr" rle="1, 2, 3, 4, 5" left="10" top="20" width="5" height="3" z_order="1"/>'
            '<box label="burr" xtl="1.5" ytl="2" xbr="11.5" ybr="7"/><points label="ring" points="3,4;5,6"/>'
            '<box label="burr" xtl="40" ytl="20" xbr="60" ybr="30" rotation="90"/>'
            '<ellipse label="ring" cx="45" cy="30" rx="20" ry="10"/><polyline label="x" points="1,2;3,4"/>'
            "</image><image id='1' name='gone.png' width='1' height='1'/></annotations>"
        )
        found = read(root)
        kinds = [(cell.name, cell.outline is not None, cell.x, cell.y, cell.width, cell.height) for cell in found.cells]
        assert kinds == [
            ("burr", False, 1.5, 2, 10, 5),
            ("ring", False, 3, 4, 0, 0),
            ("ring", False, 5, 6, 0, 0),
            ("burr", False, pytest.approx(45), pytest.approx(15), pytest.approx(10), pytest.approx(20)),
            ("ring", True, pytest.approx(25, abs=0.1), *[pytest.approx(v, abs=0.1) for v in (20, 40, 20)]),
            ("burr", True, 11, 20, 4, 2),
            ("ring", True, 12, 8, 58, 44),
        ]
        # Row by row, beginning with what is outside: 1 out, 2 in, 3 out, 4 in, 5 out.
        assert drawn(found.cells[5])[20:23, 10:15].astype(int).tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 1, 1], [0] * 5]
        assert found.left_out == {"CVAT's polyline, which is no cell": 1, "label without an image": 1}

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [
            ('<polygon label="x" points="1,2;3,4"/>', "(a.png), polygon: `points` must be 3 or more pairs"),
            ('<polygon points="1,2;3,4;5,6"/>', "polygon: it has no label"),
            ('<box label="x" xtl="1" ytl="2" xbr="1" ybr="4"/>', "box: a box of 0x2 px holds nothing"),
            (
                '<mask label="x" rle="1,2" left="1" top="1" width="2" height="2"/>',
                "mask: its run lengths make 3 pixels",
            ),
            ('<box label="x" xtl="1" ytl="2" xbr="500" ybr="4"/>', "leaves the image of 90x60 px"),
            ("<blob label='x'/>", "blob: it is no shape of CVAT"),
        ],
    )
    def test_what_is_broken(self, root: Path, shape: str, expected: str) -> None:
        (root / "x.xml").write_text(f"<annotations><image id='0' name='a.png'>{shape}</image></annotations>")
        assert expected in fault(root)
        (root / "x.xml").write_text("<annotations><track/></annotations>")
        assert "x.xml: is CVAT's form for videos; export it as `CVAT for images 1.1`" in fault(root)


class TestInstanceMasks:
    IDS = 3 * disc(15, 20, 10).astype(int) + 70_000 * disc(40, 60, 12) - 2 * disc(15, 20, 4)

    @pytest.mark.parametrize("kind", ["uint16", "int16", "uint32", "int32", "float32", "png"])
    def test_numbers_of_every_depth_with_gaps(self, root: Path, kind: str) -> None:
        wide = kind in ("uint32", "int32", "float32")
        ids = self.IDS if wide else np.minimum(self.IDS, 300)
        if kind == "png":
            Image.fromarray(ids.astype(np.uint16)).save(root / "a_cp_masks.png")
        else:
            tifffile.imwrite(root / "a_cp_masks.tif", ids.astype(kind), compression="zlib")
        found = read(root)
        assert [cell.where.rpartition(" ")[2] for cell in found.cells] == ["1", "3", "70000" if wide else "300"]
        for cell, number in zip(found.cells, np.unique(ids)[1:], strict=True):
            np.testing.assert_array_equal(drawn(cell), ids == number)
            assert cell.name == "cell"
        assert (found.images, len(found.masks)) == ({"a.png"}, 1)

    def test_folders_of_dsb2018_and_of_stardist(self, root: Path) -> None:
        (root / "a.png").unlink()
        for folder in ("dsb/images", "dsb/masks", "sd/images", "sd/masks"):
            (root / folder).mkdir(parents=True)
        for image in ("dsb/images/0a.png", "sd/images/1.png", "sd/images/2.png"):
            Image.new("RGB", (WIDTH, HEIGHT)).save(root / image)
        cells = [disc(15, 20, 10) & ~disc(15, 20, 4), disc(40, 60, 12)]
        for number, cell in enumerate(cells):
            Image.fromarray(cell.astype(np.uint8) * 255).save(root / f"dsb/masks/{number}f.png")
            tifffile.imwrite(root / f"sd/masks/{number + 1}.tif", self.IDS.astype(np.int32))
        found = read(root)
        assert [cell.file for cell in found.cells] == ["dsb/images/0a.png"] * 2 + [
            f"sd/images/{number}.png" for number in (1, 1, 1, 2, 2, 2)
        ]
        for cell, mask in zip(found.cells, cells, strict=False):
            np.testing.assert_array_equal(drawn(cell), mask)

    def test_what_is_none(self, root: Path) -> None:
        both = (disc(15, 20, 10) | disc(40, 60, 12)).astype(np.uint8) * 255
        Image.fromarray(both).save(root / "a_masks.png")
        assert "a_masks.png: 2 pieces have one number, 255, so its cells are not told apart" in fault(root)
        Image.fromarray(np.stack([both] * 3, axis=2)).save(root / "a_masks.png")
        assert "a_masks.png: holds colours" in fault(root)
        tifffile.imwrite(root / "a_masks.tif", both[:30].astype(np.uint16))
        (root / "a_masks.png").unlink()
        assert "a_masks.tif: it was made on 90x30 px, and a.png has 90x60" in fault(root)
        tifffile.imwrite(root / "a_masks.tif", both / np.float32(2))
        assert "a_masks.tif: holds values that are no numbers of cells" in fault(root)


def test_an_outline_that_holds_no_pixel_is_counted(root: Path) -> None:
    (root / "a.txt").write_text("0 0.5 0.5 0.501 0.5 0.501 0.501\n0 0.1 0.1 0.3 0.1 0.3 0.3\n")
    found = read(root)
    assert (len(found.cells), found.left_out) == (1, {"outline that holds no pixel": 1})


def test_a_voc_file_of_another_image_is_refused(root: Path) -> None:
    (root / "a.xml").write_text("<annotation><size><width>60</width><height>90</height></size></annotation>")
    assert "a.xml: it was made on 60x90 px, and a.png has 90x60" in fault(root)
