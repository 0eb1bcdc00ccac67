"""`segtrain import` of outlines and of masks of instances: label and instance maps, pixel for pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from image_folders import field, save
from PIL import Image
from pycocotools import mask as coco_masks
from scipy import ndimage

import segtrain
import smearsynth
from segtrain.cli import main
from segtrain.data.samples import Shards
from segtrain.importing.import_annotations import ImportResult
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES

SIZE = (72, 96)
KEYS = [c.key for c in CLASSES]
OPTIONS = {"um_per_px": 0.2, "split": "train=1", "progress": False}


def cells_of(number: int) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """An image, and name and mask of each of its cells; later ones lie over earlier."""
    image, label = field(number)
    pieces, count = ndimage.label(label)
    return image, [(KEYS[label[pieces == i][0]], pieces == i) for i in range(1, count + 1)]


def truth(cells: list[tuple[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    label, instance = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint16)
    for number, (key, mask) in enumerate(cells, start=1):
        label[mask], instance[mask] = KEYS.index(key), number
    return label, instance


def coco(root: Path, images: dict[str, list[tuple[str, np.ndarray]]], **more: object) -> Path:
    names = sorted({name for cells in images.values() for name, _ in cells})
    annotations = [
        {
            "id": 1,
            "image_id": name,
            "category_id": names.index(key),
            "iscrowd": 0,
            "segmentation": {
                "size": list(mask.shape),
                "counts": coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode(),
            },
        }
        | more
        for name, cells in images.items()
        for key, mask in cells
    ]
    listed = [{"id": name, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for name in images]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    path = root / "coco.json"
    path.write_text(json.dumps({"images": listed, "annotations": annotations, "categories": categories}))
    return path


def made(root: Path, masks: Path | None, images: str = "img", **options: object) -> ImportResult:
    return segtrain.import_annotations(root / images, masks, out=root / "set", **(OPTIONS | options))


def maps(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Label, instance and objects of the samples, by the image's name."""
    shards = Shards(root / "set", "train")
    rows = (root / "set/samples.csv").read_text().splitlines()[1:]
    told = dict(row.split(",")[:2] for row in rows)
    return {
        told[shards.sample_id(i)]: (shards.read(i)[1], shards.instance(i), shards.objects(i))
        for i in range(len(shards))
    }


class TestCoco:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for number in range(3):
            save(tmp_path / f"img/{number}.png", field(number)[0])
        return tmp_path

    def test_label_and_instances_are_those_of_the_masks(self, root: Path) -> None:
        drawn = {f"{number}.png": cells_of(number)[1] for number in range(2)}
        overlap = np.zeros(SIZE, bool)
        overlap[10:40, 20:60] = True
        drawn["0.png"].append(("healthy_rbc", overlap))
        result = made(root, coco(root, drawn))
        found = maps(root)
        assert found.keys() == drawn.keys()
        assert f"images in {root}/img that no annotation speaks of are left out: 1" in result.warnings
        for name, cells in drawn.items():
            due_label, due_instance = truth(cells)
            label, instance, objects = found[name]
            np.testing.assert_array_equal(label, due_label)
            # Numbers are anew from 1, without the cells that the last one covers.
            numbers = np.unique(due_instance[due_instance > 0])
            np.testing.assert_array_equal(instance, np.searchsorted(numbers, due_instance) + (due_instance > 0))
            for row, number in zip(objects, numbers, strict=True):
                rows, columns = np.nonzero(due_instance == number)
                box = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
                assert row.tolist() == [KEYS.index(cells[number - 1][0]), *box, len(rows), len(rows)]
        assert result.index["splits"]["train"]["cells"] == sum(len(objects) for _, _, objects in found.values())

    def test_patches_keep_their_cells_and_say_how_large_these_are(self, root: Path) -> None:
        drawn = {"0.png": cells_of(0)[1]}
        made(root, coco(root, drawn), patches="48,4")
        label, instance = truth(drawn["0.png"])
        shards = Shards(root / "set", "train")
        corners = [
            tuple(map(int, row.split(",")[2:4])) for row in (root / "set/samples.csv").read_text().splitlines()[1:]
        ]
        for i, (x, y) in enumerate(corners):
            cut = slice(y, y + 48), slice(x, x + 48)
            np.testing.assert_array_equal(shards.read(i)[1], label[cut])
            numbers = np.unique(instance[cut][instance[cut] > 0])
            for row, number in enumerate(numbers, start=1):
                np.testing.assert_array_equal(shards.instance(i) == row, instance[cut] == number)
                assert shards.objects(i)[row - 1, -2:].tolist() == [
                    (instance[cut] == number).sum(),
                    (instance == number).sum(),
                ]

    def test_what_is_no_cell_counts_for_nothing(self, root: Path) -> None:
        _, cells = cells_of(0)
        (one, mask), (_, rest) = cells[:2]
        path = coco(root, {"0.png": [(one, mask), ("dirt", rest)]})
        with pytest.raises(
            UserError, match=r"coco\.json: 'dirt' name no class of the set; a file of lines `NAME: CLASS`"
        ):
            made(root, path)
        with pytest.raises(UserError, match="dirt: there is no class 'drit'"):
            made(root, path, classes={"dirt": "drit"})
        made(root, path, classes={"dirt": None}, rest="ignore")
        label, instance, objects = maps(root)["0.png"]
        assert (label[rest] == 255).all()
        assert (label == KEYS.index(one)).sum() == mask.sum() == (instance == 1).sum()
        assert (len(objects), (label == 0).sum()) == (1, 0)
        made(root, path, classes={"dirt": "background"}, overwrite=True)
        assert (maps(root)["0.png"][0][rest] == 0).all()
        # A crowd lies below the cells.
        path = coco(root, {"0.png": [(one, np.ones(SIZE, bool))]})
        crowd = json.loads(path.read_text())
        crowd["annotations"].append(crowd["annotations"][0] | {"iscrowd": 1})
        crowd["annotations"][0]["segmentation"] = [[10, 10, 30, 10, 30, 30, 10, 30]]
        path.write_text(json.dumps(crowd))
        made(root, path, overwrite=True)
        label, instance, _ = maps(root)["0.png"]
        assert ((label == 255).sum(), (instance == 1).sum()) == (SIZE[0] * SIZE[1] - 400, 400)

    def test_boxes_and_points_make_no_labels(self, root: Path) -> None:
        (root / "img/t.csv").write_text("file,class,x,y,width,height\n0.png,healthy_rbc,5,5,9,9\n0.png,dirt,50,5,9,9\n")
        with pytest.raises(
            UserError, match=r"1 of 2 annotated cells are points or boxes \(the first: .*line 2\).*fields"
        ):
            made(root, None, classes={"dirt": None})
        with pytest.raises(UserError, match="holds neither masks nor annotations of cells"):
            made(root, coco(root, {"0.png": []}))

    def test_yolo_polygons_of_splits_and_names_above(self, root: Path) -> None:
        (root / "data.yaml").write_text("names: [ring, burr]\n")
        for split in ("train", "val"):
            save(root / f"yolo/images/{split}/a.png", field(split == "val")[0])
            (root / f"yolo/labels/{split}").mkdir(parents=True)
            (root / f"yolo/labels/{split}/a.txt").write_text("0 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n")
        (root / "yolo/data.yaml").write_text("names: [ring, burr]\n")
        result = segtrain.import_annotations(
            root / "yolo/images/{split}",
            root / "yolo/labels/{split}",
            out=root / "set",
            classes={"ring": "infected_rbc"},
            um_per_px=0.2,
            progress=False,
        )
        label = Shards(root / "set", "val").read(0)[1]
        due = np.zeros(SIZE, np.uint8)
        due[18:36, 24:48] = 8
        np.testing.assert_array_equal(label, due)
        assert result.index["imported"]["names"] == {"ring": 8}

    @pytest.mark.slow
    def test_smearsynth_reads_and_exports_it(self, root: Path) -> None:
        drawn = {"0.png": cells_of(0)[1]}
        made(root, coco(root, drawn))
        sample = smearsynth.open(root / "set")["train"][0]
        assert sample.object_keys == [key for key, _ in drawn["0.png"]]
        assert sample.objects["visible"].tolist() == [mask.sum() for _, mask in drawn["0.png"]]
        for form in ("coco", "png"):
            smearsynth.export(root / "set", format=form, out=root / form, workers=1, progress=False)
        again = json.loads((root / "coco/annotations/instances_train.json").read_text())
        for cell, (_, mask) in zip(again["annotations"], drawn["0.png"], strict=True):
            np.testing.assert_array_equal(coco_masks.decode(cell["segmentation"]).astype(bool), mask)


class TestInstances:
    IDS = np.zeros(SIZE, np.int32)
    for _number, _row in enumerate(range(2, 66, 9)):
        IDS[_row : _row + 6, 5:20], IDS[_row : _row + 6, 40:60] = 2 * _number + 1, 2 * _number + 2
    IDS[4:6, 10:14] = 0  # a hole

    def test_values_that_can_only_be_cells_are_known(self, tmp_path: Path) -> None:
        for number in range(2):
            save(tmp_path / f"img/{number}.png", field(number)[0])
        (tmp_path / "mask").mkdir()
        tifffile.imwrite(tmp_path / "mask/0.tif", self.IDS)
        sparse = np.where(self.IDS > 5, 0, self.IDS * 3)
        tifffile.imwrite(tmp_path / "mask/1.tif", sparse.astype(np.uint32), compression="zlib")
        result = made(tmp_path, tmp_path / "mask")
        assert (
            "each value of the masks is one cell, by the values of 0.tif; if not, name the palette" in result.warnings
        )
        found = maps(tmp_path)
        np.testing.assert_array_equal(found["0.png"][1], self.IDS)
        np.testing.assert_array_equal(found["1.png"][1], sparse // 3)
        assert Shards(tmp_path / "set", "train").classes.keys == ("background", "cell")
        made(tmp_path, tmp_path / "mask", palette="instances:healthy_rbc", overwrite=True)
        label, _, objects = maps(tmp_path)["0.png"]
        assert set(np.unique(label)) == {0, 9}
        assert set(objects[:, 0]) == {9}
        with pytest.raises(UserError, match="there is no class 'healty_rbc': did you mean \"healthy_rbc\""):
            made(tmp_path, tmp_path / "mask", palette="instances:healty_rbc", overwrite=True)

    def test_a_few_values_are_asked_for_and_two_levels_stay_so(self, tmp_path: Path) -> None:
        image, label = field(0, classes=2)
        save(tmp_path / "img/0.png", image)
        few = save(tmp_path / "mask/0.png", np.minimum(self.IDS, 3).astype(np.uint8))
        with pytest.raises(UserError, match=r"not black and white .values 0, 1, 2, 3.*if each is one cell, instances"):
            made(tmp_path, few.parent)
        save(few, label * np.uint8(255))
        assert "instance" not in made(tmp_path, few.parent).index["imported"]["palette"]["form"]

    def test_cellpose_beside_its_image_and_dsb2018(self, tmp_path: Path) -> None:
        save(tmp_path / "cp/a.png", field(0)[0])
        save(tmp_path / "cp/a_cp_masks.png", self.IDS.astype(np.uint16))
        made(tmp_path, None, "cp")
        np.testing.assert_array_equal(maps(tmp_path)["a.png"][1], self.IDS)
        save(tmp_path / "dsb/x/images/x.png", field(0)[0])
        for number in range(1, 17):
            save(tmp_path / f"dsb/x/masks/{number:03d}.png", (number == self.IDS).astype(np.uint8) * np.uint8(255))
        made(tmp_path, None, "dsb", overwrite=True)
        np.testing.assert_array_equal(maps(tmp_path)["x/images/x.png"][1], self.IDS)


class TestNnunet:
    def test_names_and_labels_of_its_folders(self, tmp_path: Path) -> None:
        image, label = field(0, classes=4)
        save(tmp_path / "imagesTr/case_7_0000.png", image)
        save(tmp_path / "labelsTr/case_7.png", label)
        (tmp_path / "dataset.json").write_text(
            json.dumps({"labels": {"background": 0, "Ring stage": 1, "ignore": 3, "burr": 2}, "file_ending": ".png"})
        )
        result = made(tmp_path, tmp_path / "labelsTr", "imagesTr")
        shards = Shards(tmp_path / "set", "train")
        assert shards.classes.keys == ("background", "Ring_stage", "burr")
        np.testing.assert_array_equal(shards.read(0)[1], np.where(label == 3, 255, label))
        assert "dataset.json of nnU-Net says: 0 background, 1 Ring_stage, 2 burr, 3 ignored" in result.warnings[0]
        (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "b": [1, 2]}}')
        with pytest.raises(UserError, match=r"dataset\.json: `labels` gives classes that are regions"):
            made(tmp_path, tmp_path / "labelsTr", "imagesTr", overwrite=True)
        (tmp_path / "dataset.json").write_text('{"labels": {"0": "background", "1": "Healthy RBC", "2": "eosinophil"}}')
        save(tmp_path / "labelsTr/case_7.png", np.minimum(label, 2))
        made(tmp_path, tmp_path / "labelsTr", "imagesTr", overwrite=True)
        due = np.array([0, 9, 1], np.uint8)[np.minimum(label, 2)]
        np.testing.assert_array_equal(Shards(tmp_path / "set", "train").read(0)[1], due)
        save(tmp_path / "imagesTr/case_7_0001.png", image)
        with pytest.raises(UserError, match=r"case_7_0001\.png: has no mask .*it is a channel of its own"):
            made(tmp_path, tmp_path / "labelsTr", "imagesTr", overwrite=True)


def test_by_command(tmp_path: Path) -> None:
    save(tmp_path / "img/0.png", field(0)[0])
    coco(tmp_path, {"0.png": [("ring", cells_of(0)[1][0][1])]})
    (tmp_path / "names.yaml").write_text("ring: infected_rbc\n")
    arguments = [tmp_path / "img", tmp_path / "coco.json", "--classes", tmp_path / "names.yaml", "--um-per-px", 0.2]
    told = CliRunner().invoke(
        main, ["import", *map(str, arguments), "--split", "train=1", "--out", str(tmp_path / "set")]
    )
    assert told.exit_code == 0, told.output
    assert Image.open(tmp_path / "img/0.png").size == SIZE[::-1]
    (tmp_path / "names.yaml").write_text("ring: infected\n")
    told = CliRunner().invoke(
        main, ["import", *map(str, arguments), "--split", "train=1", "--out", str(tmp_path / "new")]
    )
    assert told.exit_code == 2
    assert "names.yaml:1: ring: there is no class 'infected'" in told.output


def test_a_page_that_is_named_is_the_image(tmp_path: Path) -> None:
    pages = np.stack([field(number)[0] for number in range(3)])
    (tmp_path / "img").mkdir()
    tifffile.imwrite(tmp_path / "img/0.tif", pages, photometric="rgb")
    _, cells = cells_of(1)
    path = coco(tmp_path, {"0.tif": cells})
    with pytest.raises(UserError, match="page"):
        made(tmp_path, path)
    made(tmp_path, path, page=2)
    image, label = Shards(tmp_path / "set", "train").read(0)
    np.testing.assert_array_equal(image, pages[1])
    np.testing.assert_array_equal(label, truth(cells)[0])
    save(tmp_path / "masks/0.png", (truth(cells)[0] > 0).astype(np.uint8) * np.uint8(255))
    made(tmp_path, tmp_path / "masks", page=3, overwrite=True, cells="white")
    np.testing.assert_array_equal(Shards(tmp_path / "set", "train").read(0)[0], pages[2])
