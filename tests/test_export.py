"""Each export read back by the library that its users read it with, against the shards as h5py reads them."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import webdataset
import yaml
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage
from skimage.draw import polygon2mask
from small_set import contents, prepare, small_build

import smearsynth
from smearsynth.cli import main
from smearsynth.dataset.export import nnunet, png_folder
from smearsynth.dataset.export.exported_set import Selection, open_set, read_sample
from smearsynth.taxonomy import CLASSES
from smearsynth.verbs.export import FORMATS

KINDS = ("png", "coco", "webdataset", "yolo", "yolo-boxes", "nnunet")
COUNTS = {"train": 12, "val": 10, "test": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set`, six scenes at most of each split in two looks, and an export of it in each format."""
    path = tmp_path_factory.mktemp("export")
    prepare(path)
    small_build(path, path / "set", "looks=[natural, reference]", limit=6)
    for kind in KINDS:
        made = smearsynth.export(path / "set", format=kind, out=path / kind, workers=2, progress=False)
        assert made.samples == COUNTS
    return path


def stored(dataset: Path, split: str) -> Iterator[dict[str, Any]]:
    """The samples of a split by h5py alone, `objects` as far as they are used."""
    for path in sorted(dataset.glob(f"{split}-*.h5")):
        with h5py.File(path) as shard:
            for row in range(len(shard["label"])):
                sample = {name: shard[name][row] for name in shard}
                named = {name: sample[name].decode() for name in ("sample_id", "digest")}
                look = shard.attrs["looks"][sample["look"]]
                yield {**sample, **named, "look": look, "objects": sample["objects"][: sample["object_count"]]}


def pixels(path: Path | BytesIO) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def decoded(kind: str, content: bytes) -> np.ndarray | None:
    return pixels(BytesIO(content)) if kind.endswith(".png") else None


def tars_of(out: Path, split: str) -> list[str]:
    return sorted(map(str, out.glob(f"{split}-*.tar")))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def placed(told: dict[str, Any], fields: tuple[str, ...]) -> list[int]:
    """An object as it stands in a shard, from px, degrees and a class key."""
    steps = {"cx": 256, "cy": 256, "angle": 65536 / 360, "scale": 65536}
    keys = [c.key for c in CLASSES]
    values = [keys.index(told[n]) if n == "class" else float(told[n]) * steps.get(n, 1) for n in fields]
    assert all(value == int(value) for value in values)
    return [int(value) for value in values]


FIELDS = ("class", "cell", "cx", "cy", "angle", "flip", "scale", "z", "x", "y", "w", "h", "visible", "full")


@pytest.mark.parametrize("split", COUNTS)
class TestReadBack:
    def test_png(self, folder: Path, split: str) -> None:
        out, samples = folder / "png" / split, list(stored(folder / "set", split))
        lines, objects = table(out / "samples.csv"), table(out / "objects.csv")
        assert [line["sample_id"] for line in lines] == [sample["sample_id"] for sample in samples]
        cells = {name: list(rows) for name, rows in groupby(objects, lambda line: line["sample_id"])}
        for sample, line in zip(samples, lines, strict=True):
            name = f"{sample['sample_id']}.png"
            image, label, instance = (pixels(out / kind / name) for kind in ("image", "label", "instance"))
            assert (label.dtype, instance.dtype) == (np.uint8, np.uint16)
            np.testing.assert_array_equal(image, sample["image"])
            np.testing.assert_array_equal(label, sample["label"])
            np.testing.assert_array_equal(instance, sample["instance"])
            np.testing.assert_array_equal(pixels(out / "colour" / name), sample["label"])
            with Image.open(out / "colour" / name) as colour:
                np.testing.assert_array_equal(colour.convert("RGB"), np.array([c.rgb for c in CLASSES])[label])
            told = {key: str(sample[key]) for key in ("scene", "look", "digest")}
            due = {**told, "height": "72", "width": "96", "objects": str(len(sample["objects"]))}
            assert {key: line[key] for key in due} == due
            mine = cells.pop(sample["sample_id"], [])
            assert [placed(cell, FIELDS) for cell in mine] == sample["objects"].tolist()
            assert [int(cell["instance"]) for cell in mine] == list(range(1, len(mine) + 1))
        assert not cells
        assert {path.name for path in out.iterdir()} == {
            "image", "label", "colour", "instance", "samples.csv", "objects.csv",
        }  # fmt: skip
        assert sum(1 for _ in out.rglob("*.png")) == 4 * len(samples)

    def test_opencv_reads_the_same_ids(self, folder: Path, split: str) -> None:
        sample = next(stored(folder / "set", split))
        for kind in ("label", "instance"):
            path = folder / "png" / split / kind / f"{sample['sample_id']}.png"
            np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), sample[kind])

    def test_coco(self, folder: Path, split: str, capsys: pytest.CaptureFixture[str]) -> None:
        coco = COCO(folder / "coco" / "annotations" / f"instances_{split}.json")
        assert "index created" in capsys.readouterr().out
        due = [(c.id, c.key) for c in CLASSES[1:]]
        assert [(category["id"], category["name"]) for category in coco.dataset["categories"]] == due
        samples = list(stored(folder / "set", split))
        assert list(coco.imgs) == list(range(1, len(samples) + 1))
        for sample, image in zip(samples, coco.dataset["images"], strict=True):
            assert image["file_name"] == f"{sample['sample_id']}.png"
            assert (image["width"], image["height"]) == (96, 72)
            np.testing.assert_array_equal(pixels(folder / "coco" / split / image["file_name"]), sample["image"])
            cells = coco.imgToAnns[image["id"]]
            masks = [coco.annToMask(cell).astype(bool) for cell in cells]
            instance, label = np.zeros((72, 96), np.uint16), np.zeros((72, 96), np.uint8)
            for number, (cell, mask) in enumerate(zip(cells, masks, strict=True), start=1):
                assert not instance[mask].any()
                instance[mask], label[mask] = number, cell["category_id"]
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                x, y = columns[0], rows[0]
                assert cell["bbox"] == [x, y, columns[-1] - x + 1, rows[-1] - y + 1]
                assert cell["area"] == mask.sum()
            np.testing.assert_array_equal(instance, sample["instance"])
            np.testing.assert_array_equal(label, sample["label"])

    def test_webdataset(self, folder: Path, split: str) -> None:
        tars = tars_of(folder / "webdataset", split)
        found = list(webdataset.WebDataset(tars, shardshuffle=False).decode(decoded))
        for sample, read in zip(stored(folder / "set", split), found, strict=True):
            assert read["__key__"] == read["json"]["sample_id"] == sample["sample_id"]
            np.testing.assert_array_equal(read["png"], sample["image"])
            np.testing.assert_array_equal(read["label.png"], sample["label"])
            np.testing.assert_array_equal(read["instance.png"], sample["instance"])
            assert read["instance.png"].dtype == np.uint16
            assert read["json"]["digest"] == sample["digest"]
            assert [placed(cell, FIELDS) for cell in read["json"]["objects"]] == sample["objects"].tolist()

    def test_yolo(self, folder: Path, split: str) -> None:
        """As Ultralytics documents the layout and draws a polygon; it is too large to be installed here."""
        out, samples = folder / "yolo", list(stored(folder / "set", split))
        known = yaml.safe_load((out / "data.yaml").read_text())
        assert known["names"] == {c.id - 1: c.key for c in CLASSES[1:]}
        assert sorted(path.stem for path in (out / known[split]).iterdir()) == sorted(s["sample_id"] for s in samples)
        off = cells = 0
        for sample in samples:
            np.testing.assert_array_equal(pixels(out / known[split] / f"{sample['sample_id']}.png"), sample["image"])
            label = out / known[split].replace("images", "labels") / f"{sample['sample_id']}.txt"
            shown = [number for number in np.unique(sample["instance"]) if number]
            for number, line in zip(shown, label.read_text().splitlines(), strict=True):
                assert int(line.split()[0]) == sample["objects"][number - 1][0] - 1
                corners = np.array(line.split()[1:], float).reshape(-1, 2)
                assert len(corners) > 3
                drawn = cv2.fillPoly(np.zeros((72, 96), np.uint8), [(corners * (96, 72)).astype(np.int32)], 1)
                mask, (_, parts) = sample["instance"] == number, ndimage.label(sample["instance"] == number)
                filled = ndimage.binary_fill_holes(mask)
                assert not (filled & (drawn == 0)).any()
                if parts == 1:
                    np.testing.assert_array_equal(drawn, filled)
                    inside = polygon2mask(mask.shape, (corners * (96, 72) - 0.5)[:, ::-1])
                    np.testing.assert_array_equal(inside, filled)
                off, cells = off + int((drawn != mask).sum()), cells + int(mask.sum())
        assert off < 0.01 * cells

    def test_yolo_boxes(self, folder: Path, split: str) -> None:
        for sample in stored(folder / "set", split):
            label = folder / "yolo-boxes/labels" / split / f"{sample['sample_id']}.txt"
            lines = np.loadtxt(label, ndmin=2)
            boxes = [box for box in ndimage.find_objects(sample["instance"]) if box]
            for line, (rows, columns) in zip(lines, boxes, strict=True):
                x, y, w, h = line[1:] * (96, 72, 96, 72)
                due = (columns.start, rows.start, columns.stop, rows.stop)
                assert (x - w / 2, y - h / 2, x + w / 2, y + h / 2) == pytest.approx(due, abs=1e-3)

    def test_nnunet(self, folder: Path, split: str) -> None:
        """As its `dataset_format.md` says; nnunetv2 is too large to be installed here."""
        out, samples = folder / "nnunet", list(stored(folder / "set", split))
        facts = json.loads((out / "dataset.json").read_text())
        (fold,) = json.loads((out / "splits_final.json").read_text())
        assert facts["labels"] == {c.key: c.id for c in CLASSES}
        assert (facts["channel_names"], facts["file_ending"]) == ({"0": "R", "1": "G", "2": "B"}, ".png")
        assert facts["numTraining"] == len(list((out / "imagesTr").iterdir())) == COUNTS["train"] + COUNTS["val"]
        assert fold.get(split, []) == [s["sample_id"] for s in samples if split != "test"]
        part = "Ts" if split == "test" else "Tr"
        for sample in samples:
            image = pixels(out / f"images{part}" / f"{sample['sample_id']}_0000.png")
            np.testing.assert_array_equal(image, sample["image"])
            label = pixels(out / f"labels{part}" / f"{sample['sample_id']}.png")
            np.testing.assert_array_equal(label, sample["label"])


def test_what_nobody_knows_is_the_highest_label_of_nnunet(folder: Path, tmp_path: Path) -> None:
    dataset = open_set(folder / "set")
    sample = read_sample(dataset, next(Selection(dataset=dataset).rows("val")))
    label = sample.label.copy()
    label[:3] = 255
    sample = replace(sample, label=label)
    nnunet.write_split(tmp_path, dataset, "val", [nnunet.encode(sample, dataset)])
    facts = json.loads((tmp_path / "dataset.json").read_text())
    assert facts["labels"]["ignore"] == 10
    (file,) = (tmp_path / "labelsTr").iterdir()
    np.testing.assert_array_equal(pixels(file), np.where(label == 255, 10, label))


def test_the_command_offers_every_format() -> None:
    (option,) = (option for option in main.commands["export"].params if option.name == "format")
    assert [*option.type.choices, "images"] == list(FORMATS) == [*KINDS, "huggingface", "images"]


def test_large_tar_files_are_cut_and_every_sample_is_whole_in_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smearsynth.dataset.export.webdataset._MOST_BYTES", 60_000)
    smearsynth.export(folder / "set", format="webdataset", out=tmp_path / "out", progress=False)
    tars = tars_of(tmp_path / "out", "train")
    assert len(tars) > 1
    assert all(Path(tar).stat().st_size < 100_000 for tar in tars)
    names = [sample["__key__"] for sample in webdataset.WebDataset(tars, shardshuffle=False)]
    assert names == [sample["sample_id"] for sample in stored(folder / "set", "train")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_in_the_readme_of_an_export_work(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / kind)
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    sample = next(stored(folder / "set", "train"))
    if kind == "coco":
        np.testing.assert_array_equal(found["mask"], sample["instance"] == 1)
    elif kind.startswith("yolo"):
        assert [name for name, _ in found["cells"]] == [CLASSES[row[0]].key for row in sample["objects"]]
    else:
        np.testing.assert_array_equal(found["image"], sample["image"])
        np.testing.assert_array_equal(found["label"], sample["label"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_samples_give_the_same_bytes(folder: Path, tmp_path: Path, kind: str) -> None:
    """Of another number of threads, and of a set that is cut into other shards; its card alone speaks of those."""
    smearsynth.export(folder / "set", format=kind, out=tmp_path / "again", workers=5, progress=False)
    assert contents(tmp_path / "again") == contents(folder / kind)
    recut = ("looks=[natural, reference]", "shards={samples: 3, codec: none}")
    small_build(folder, tmp_path / "recut", *recut, limit=6)
    smearsynth.export(tmp_path / "recut", format=kind, out=tmp_path / "other", workers=1, progress=False)
    found, due = contents(tmp_path / "other"), contents(folder / kind)
    assert {name for name in due if found[name] != due[name]} <= {"dataset-card.md", "preview.png"}
    assert found.keys() == due.keys()


def test_an_image_has_its_number_in_the_split_whatever_is_left_out(folder: Path, tmp_path: Path) -> None:
    smearsynth.export(folder / "set", format="coco", out=tmp_path / "out", look="reference", limit=2, progress=False)
    samples = list(stored(folder / "set", "val"))
    due = [(number, s["sample_id"]) for number, s in enumerate(samples, start=1) if s["look"] == "reference"][:2]
    coco = json.loads((tmp_path / "out/annotations/instances_val.json").read_text())
    assert [(image["id"], Path(image["file_name"]).stem) for image in coco["images"]] == due
    assert {annotation["image_id"] for annotation in coco["annotations"]} == {number for number, _ in due}


def test_a_part_of_a_set(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "part"
    wanted = {"split": "val", "look": "reference", "limit": 2}
    made = smearsynth.export(folder / "set", format="png", out=out, progress=False, **wanted)
    assert made.samples == {"val": 2}
    ids = [line["sample_id"] for line in table(out / "val" / "samples.csv")]
    assert ids == ["val-00000000@reference", "val-00000001@reference"]
    assert not (out / "train").exists()
    assert json.loads((out / "export.json").read_text())["wanted"] == wanted
    assert "only split val, only look reference, at most 2 of a split" in (out / "README.md").read_text()


class TestPictures:
    def test_every_value_of_an_instance_comes_back(self) -> None:
        values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
        decoded = cv2.imdecode(np.frombuffer(png_folder.ids(values), np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decoded, values)

    def test_a_label_that_is_no_class_is_white(self, tmp_path: Path) -> None:
        label = np.array([[0, 1], [2, 255]], np.uint8)
        (tmp_path / "x.png").write_bytes(png_folder.coloured(label, ["#102030", "#405060", "#708090"]))
        with Image.open(tmp_path / "x.png") as image:
            np.testing.assert_array_equal(image, label)
            colours = np.asarray(image.convert("RGB")).reshape(4, 3).tolist()
        assert colours == [[16, 32, 48], [64, 80, 96], [112, 128, 144], [255, 255, 255]]
