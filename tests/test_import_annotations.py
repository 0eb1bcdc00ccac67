"""`segtrain import` from folders to a set that everything else works on."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from image_folders import COLOURS, Pixels, field, save, write_pairs
from PIL import Image
from small_set import contents

import segtrain
from segtrain.cli import main
from segtrain.data.samples import Shards
from segtrain.importing.imported_set import new_folder
from smearsynth.base.errors import UserError
from smearsynth.shards.format import dataset_digest, sample_digest
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES

SPLITS = ("train", "val", "test")
TINY = ("model.width=2", "epochs=1", "batch=4", "workers=0")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["import", *map(str, arguments)])


def make(root: Path, *arguments: object) -> Path:
    """root/set out of root/img and root/mask, at 0.2 um/px unless `arguments` say otherwise."""
    told = run(root / "img", root / "mask", "--out", root / "set", "--um-per-px", 0.2, *arguments)
    assert told.exit_code == 0, told.output
    return root / "set"


def samples(out: Path) -> Iterator[tuple[str, Pixels, Pixels]]:
    for split in SPLITS:
        shards = Shards(out, split)
        for i in range(len(shards)):
            yield shards.sample_id(i), *shards.read(i)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs in the colours of the ten classes."""
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root, 12)
    return root


class TestWhole:
    def test_every_pixel_is_that_of_its_file(self, folders: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        segtrain.import_annotations(
            folders / "img", folders / "mask", out=out, palette="reference", um_per_px=0.1, progress=False
        )
        told = {row["sample_id"]: row["image"] for row in rows(out / "samples.csv")}
        met = []
        for name, image, label in samples(out):
            due_image, due_label = field(int(Path(told[name]).stem))
            assert (image == due_image).all()
            assert (label == due_label).all()
            met.append(told[name])
        assert sorted(met) == [f"{i:02d}.png" for i in range(12)]
        assert Shards(out, "train").um_per_px == 0.1
        assert Shards(out, "train").classes.keys[9] == "healthy_rbc"

    def test_the_index_counts_what_is_in_the_shards(self, folders: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        made = segtrain.import_annotations(
            folders / "img", folders / "mask", out=out, palette="reference", um_per_px=0.2, progress=False
        )
        index = json.loads((out / "index.json").read_text())
        assert index == made.index
        digests = []
        for split in SPLITS:
            pixels = np.zeros(10, int)
            for _, image, label in (s for s in samples(out) if s[0].startswith(split)):
                pixels += np.bincount(label.ravel(), minlength=10)
                digests.append(sample_digest(image, label))
            assert index["splits"][split]["pixels"] == {c.key: int(pixels[c.id]) for c in CLASSES}
        assert index["digest"] == dataset_digest(digests)
        files = contents(out)
        assert {f["name"]: f["sha256"] for f in index["files"]} == {k: v for k, v in files.items() if k != "index.json"}

    def test_a_shard_is_plain_hdf5_without_cells(self, folders: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        segtrain.import_annotations(
            folders / "img", folders / "mask", out=out, palette="reference", um_per_px=0.2, progress=False
        )
        with h5py.File(out / "train-00000.h5") as shard:
            assert set(shard) == {"image", "label", "scene", "look", "group", "sample_id", "digest"}
            assert shard["image"].chunks == (1, 72, 96, 3)
            assert shard["group"].dtype == np.uint32
            assert list(shard["scene"]) == list(range(len(shard["label"])))
        header = ShardReader(out / "train-00000.h5").header
        assert (header.fields, header.taxonomy_version, header.generator_version) == ((), 1, 0)

    def test_equal_input_gives_equal_bytes_wherever_it_goes(self, folders: Path, tmp_path: Path) -> None:
        options = {"palette": "reference", "um_per_px": 0.2, "patches": "32,0.5", "progress": False}
        one = segtrain.import_annotations(folders / "img", folders / "mask", out=tmp_path / "a", **options)
        other = segtrain.import_annotations(str(folders / "img"), folders / "mask", out=tmp_path / "b" / "c", **options)
        assert contents(tmp_path / "a") == contents(tmp_path / "b" / "c")
        third = segtrain.import_annotations(folders / "img", folders / "mask", out=tmp_path / "d", seed=1, **options)
        assert one.index["digest"] == other.index["digest"] != third.index["digest"]

    def test_the_table_of_splits_makes_the_same_split_again(self, folders: Path, tmp_path: Path) -> None:
        options = {"palette": "reference", "um_per_px": 0.2, "progress": False}
        one = segtrain.import_annotations(folders / "img", folders / "mask", out=tmp_path / "a", seed=5, **options)
        table = str(tmp_path / "a" / "splits.csv")
        again = segtrain.import_annotations(
            folders / "img", folders / "mask", out=tmp_path / "b", split=table, **options
        )
        assert one.index["digest"] == again.index["digest"]

    @pytest.mark.slow
    def test_training_evaluation_baseline_and_bench_work_on_it(self, folders: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        segtrain.import_annotations(
            folders / "img",
            folders / "mask",
            out=out,
            palette="reference",
            um_per_px=0.2,
            patches="32",
            split="train=2,val=1,test=1",
            progress=False,
        )
        fitted = segtrain.fit(out, overrides=TINY, run=tmp_path / "run")
        assert (fitted.run / "gallery.png").is_file()
        figures = segtrain.evaluate(fitted.run, out, progress=False)
        assert figures["per_class"]["background"]["pixels"] > 0
        assert segtrain.baseline(out, progress=False)["majority"]["pixel_accuracy"] > 0.3
        assert segtrain.bench(out, overrides=TINY, repeats=1)["stages"]["loop"]["images_per_second"] > 0


class TestPatchesAndScale:
    def test_patches_are_cut_after_the_split(self, folders: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        made = segtrain.import_annotations(
            folders / "img",
            folders / "mask",
            out=out,
            palette="reference",
            um_per_px=0.2,
            patches="32,6",
            progress=False,
        )
        split_of = {row["image"]: row["split"] for row in rows(out / "splits.csv")}
        told = {row["sample_id"]: row for row in rows(out / "samples.csv")}
        assert len(told) == 72
        for name, image, label in samples(out):
            row = told[name]
            assert split_of[row["image"]] == name.split("-")[0]
            y, x = int(row["top"]), int(row["left"])
            due_image, due_label = field(int(Path(row["image"]).stem))
            assert (image == due_image[y : y + 32, x : x + 32]).all()
            assert (label == due_label[y : y + 32, x : x + 32]).all()
        groups = {split: set(ShardReader(out / f"{split}-00000.h5").column("group").tolist()) for split in SPLITS}
        assert sum(map(len, groups.values())) == len(set.union(*groups.values())) == 12
        assert any("leave out pixels of 12 of 12 images" in sentence for sentence in made.warnings)

    def test_images_come_to_one_scale_and_labels_with_them(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 6, classes=2)
        (tmp_path / "scale.csv").write_text("".join(f"{i:02d},{0.1 + 0.02 * i}\n" for i in range(6)))
        out = make(tmp_path, "--um-per-px", tmp_path / "scale.csv", "--to-um-per-px", 0.2)
        sizes = {row["image"]: row for row in rows(out / "samples.csv")}
        for i in range(6):
            factor = (0.1 + 0.02 * i) / 0.2
            row = sizes[f"{i:02d}.png"]
            assert (int(row["height"]), int(row["width"])) == (round(72 * factor), round(96 * factor))
        for split in SPLITS:
            assert Shards(out, split).um_per_px == 0.2
        for _, image, label in samples(out):
            assert (image[..., 0] < 170).mean() == pytest.approx((label == 1).mean(), abs=0.03)

    def test_several_sizes_lie_in_shards_of_their_own(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 6, classes=2)
        image, label = field(99, (40, 50), 2)
        save(tmp_path / "img" / "small.png", image)
        save(tmp_path / "mask" / "small_mask.png", label * np.uint8(255))
        (tmp_path / "s.csv").write_text("small,train\n" + "".join(f"{i:02d},{SPLITS[i % 3]}\n" for i in range(6)))
        out = make(tmp_path, "--split", tmp_path / "s.csv")
        files = {f["name"]: (f.get("height"), f.get("width"), f.get("samples")) for f in rows_of_index(out)}
        assert files["train-00000.h5"] == (40, 50, 1)
        assert files["train-00001.h5"] == (72, 96, 2)
        with pytest.raises(UserError, match="several sizes"):
            segtrain.fit(out, overrides=TINY, run=tmp_path / "run")

    def test_a_size_is_told_to_stretch(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "s", "--um-per-px", 0.2, "--resize", 64)
        assert "4 images were stretched" in told.stderr
        assert Shards(tmp_path / "s", "train").size == (64, 64)


def rows_of_index(out: Path) -> list[dict[str, object]]:
    files: list[dict[str, object]] = json.loads((out / "index.json").read_text())["files"]
    return files


class TestSaidAloud:
    @pytest.mark.parametrize("inverted", [False, True])
    def test_polarity_is_found_and_said(self, tmp_path: Path, inverted: bool) -> None:
        write_pairs(tmp_path, 5, classes=2)
        if inverted:
            for path in (tmp_path / "mask").iterdir():
                save(path, 255 - np.asarray(Image.open(path)))
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", 0.2)
        assert f"Note: cells are {'black' if inverted else 'white'} in the masks" in told.stderr
        for name, _, label in samples(tmp_path / "set"):
            image = next(r["image"] for r in rows(tmp_path / "set" / "samples.csv") if r["sample_id"] == name)
            assert (label == field(int(Path(image).stem), classes=2)[1]).all()

    def test_one_mask_of_the_other_polarity_is_named(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 5, classes=2)
        path = tmp_path / "mask" / "03_mask.png"
        save(path, 255 - np.asarray(Image.open(path)))
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", 0.2)
        assert told.exit_code == 2
        assert f"{path}: what is white in it is the brighter part" in told.stderr

    def test_polarity_that_cannot_be_told_is_asked_for(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        for path in (tmp_path / "img").iterdir():
            save(path, np.full((72, 96, 3), 200 + int(path.stem), np.uint8))
        asked = (tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", 0.2)
        told = run(*asked)
        assert told.exit_code == 2
        assert "say whether cells are `white` or `black` (--cells)" in told.stderr
        assert run(*asked, "--cells", "white").exit_code == 0

    def test_masks_of_one_class_and_copies_are_named(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        save(tmp_path / "mask" / "02_mask.png", np.zeros((72, 96), np.uint8))
        for folder, ending in (("img", ".png"), ("mask", "_mask.png")):
            (tmp_path / folder / f"copy{ending}").write_bytes((tmp_path / folder / f"01{ending}").read_bytes())
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", 0.2)
        assert "1 mask has one class only: 02_mask.png (background)" in told.stderr
        found = {row["image"]: (row["split"], row["group"]) for row in rows(tmp_path / "set" / "splits.csv")}
        assert found["01.png"] == found["copy.png"]
        (tmp_path / "s.csv").write_text("00,train\n01,train\n02,val\n03,test\ncopy,test\n")
        told = run(
            tmp_path / "img",
            tmp_path / "mask",
            "--out",
            tmp_path / "t",
            "--um-per-px",
            0.2,
            "--split",
            tmp_path / "s.csv",
        )
        assert "copy.png in test is the same image as 01.png in train" in told.stderr

    def test_all_masks_of_one_class_are_an_error(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 3, classes=2)
        for path in (tmp_path / "mask").iterdir():
            save(path, np.zeros((72, 96), np.uint8))
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--cells", "white")
        assert told.exit_code == 2
        assert "all masks together have one class, background" in told.stderr

    def test_json_is_the_index(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", 0.2, "--json")
        assert json.loads(told.stdout)["digest"] == json.loads((tmp_path / "set" / "index.json").read_text())["digest"]


class TestFaults:
    def test_all_are_told_at_once_and_nothing_is_written(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 6)
        image, label = field(50)
        save(tmp_path / "img" / "alone.png", image)
        save(tmp_path / "mask" / "lost_mask.png", COLOURS[label])
        save(tmp_path / "mask" / "01_mask.png", COLOURS[label][:-1])
        strange = COLOURS[label].copy()
        strange[5:15, 7:17] = (10, 200, 90)
        save(tmp_path / "mask" / "02_mask.png", strange)
        (tmp_path / "img" / "03.png").write_bytes(b"nothing")
        (tmp_path / "mask" / "04_mask.png").write_bytes((tmp_path / "mask" / "05_mask.png").read_bytes()[:200])
        told = run(
            tmp_path / "img",
            tmp_path / "mask",
            "--out",
            tmp_path / "set",
            "--palette",
            "reference",
            "--group",
            r"^(\d)\d",
        )
        assert told.exit_code == 2
        for words in (
            "img/alone.png: has no mask",
            "mask/lost_mask.png: has no image",
            "mask/01_mask.png: the mask is 96x71 px, its image 01.png 96x72",
            "mask/02_mask.png: the palette lacks 1 of its colours, with 100 pixels, most of them #0ac85a (at x=7, y=5)",
            "img/03.png: cannot be read as an image",
            "mask/04_mask.png: cannot be read as an image",
        ):
            assert words in told.stderr
        assert len(told.stderr.splitlines()) == 6
        assert sorted(p.name for p in tmp_path.iterdir()) == ["img", "mask"]

    def test_a_group_that_is_divided_by_hand(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        (tmp_path / "s.csv").write_text("00,train\n01,val\n02,test\n03,train\n")
        told = run(
            *(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set"),
            *("--split", tmp_path / "s.csv", "--group", "^0"),
        )
        assert told.exit_code == 2
        assert "0: stands in train and val and test; a group belongs into one split" in told.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--patches", "80"], "has 96x72 px, too few for these patches of 80x80 px"),
            (["--to-um-per-px", "9"], "must be 0.01 to 2.0, not 9; smears have 0.2 (--to-um-per-px)"),
            (["--to-um-per-px", "0.2", "--resize", "64"], "(--to-um-per-px, --resize)"),
            (["--palette", "ids", "--cells", "white"], "have more than two levels: leave `white` out (--cells)"),
            (["--um-per-px", "0.01", "--to-um-per-px", "2"], "at least 8 px a side"),
            (["--split", "train=1,val=1,test=1", "--group", "(0)"], "1 groups cannot fill 3 splits"),
        ],
    )
    def test_requests_that_cannot_be_met(self, tmp_path: Path, arguments: list[str], words: str) -> None:
        write_pairs(tmp_path, 4, classes=2, size=(72, 96))
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", "0.2", *arguments)
        assert told.exit_code == 2
        assert words in told.stderr
        assert not (tmp_path / "set").exists()

    def test_auto_needs_images_that_show_single_cells(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        for i, path in enumerate((tmp_path / "img").iterdir()):
            save(path, np.full((72, 96, 3), 225 + i, np.uint8))
        told = run(
            tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--um-per-px", "auto", "--cells", "white"
        )
        assert told.exit_code == 2
        assert "single red cells" in told.stderr
        assert not (tmp_path / "set").exists()

    def test_only_what_an_import_wrote_is_replaced(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)
        out = make(tmp_path)
        asked = (tmp_path / "img", tmp_path / "mask", "--out", out, "--um-per-px", 0.2, "--patches", 32)
        before = contents(out)
        assert "is not empty: overwrite it, or name another folder (--overwrite, --out)" in run(*asked).stderr
        (out / "mine.txt").write_text("kept")
        assert "holds mine.txt, which no import wrote" in run(*asked, "--overwrite").stderr
        (out / "mine.txt").unlink()
        assert contents(out) == before
        assert run(*asked, "--overwrite").exit_code == 0
        assert Shards(out, "train").size == (32, 32)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["img", "mask", "set"]
        (tmp_path / "built").mkdir()
        (tmp_path / "built" / "index.json").write_text('{"files": [], "digest": ""}')
        told = run(tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "built", "--overwrite")
        assert "holds index.json, which no import wrote" in told.stderr


class TestInterruption:
    def test_what_fails_while_it_is_written_leaves_nothing(self, tmp_path: Path) -> None:
        def interrupted() -> None:
            with new_folder(tmp_path / "set", overwrite=False) as part:
                (part / "train-00000.h5").write_bytes(b"half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not list(tmp_path.iterdir())

    def test_of_two_at_once_the_first_to_end_is_kept(self, tmp_path: Path) -> None:
        write_pairs(tmp_path, 4, classes=2)

        def slower() -> None:
            with new_folder(tmp_path / "set", overwrite=False) as part:
                (part / "train-00000.h5").write_bytes(b"late")
                make(tmp_path)

        with pytest.raises(UserError, match="is not empty"):
            slower()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["img", "mask", "set"]
        assert len(Shards(tmp_path / "set", "train")) > 0
