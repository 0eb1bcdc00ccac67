"""The page and the model card of a run: their numbers are those of `evaluate`, and nothing in them leads out."""

import html
import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from browser import ABSENT, CHROMIUM, open_page, probe
from click.testing import CliRunner
from image_folders import imported_patches
from shard_set import write_set
from small_set import prepare, small_build

import segtrain
from segtrain.cli import main
from segtrain.data.samples import Shards, read_cell_sources
from segtrain.evaluation.set_evaluation import MeasuredSplit, measure_images
from segtrain.experiments.fit import fit
from segtrain.reporting.model_card import model_card
from segtrain.reporting.run_page import reach, report
from segtrain.reporting.slices import Slices, slices
from segtrain.training.device import choose
from segtrain.training.run_folder import load_trained
from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES

EVIL = "<script>window.injected = true</script><img src='http://evil.example/x'>|\n# no"
NAMES = tuple(c.name for c in CLASSES)
MOST_BYTES = 3_000_000


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set`: 12, 3 and 8 smears in two looks. `run`: trained on it. page.html and the card are its report."""
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("built")
    prepare(path)
    small_build(path, path / "set", "looks=[natural, reference]", "count.train=12", "count.val=3", "count.test=8")
    short = ("model.width=4", "epochs=2", "batch=4", "amp=off", "augment.quarter_turns=false", "optimiser.lr=0.01")
    fit(path / "set", overrides=short, run=path / "run", pictures=False)
    report(path / "run", out=path / "page.html", progress=False)
    return path


@pytest.fixture(scope="module")
def measured(built: Path) -> MeasuredSplit:
    torch.set_num_threads(1)
    return measure(built / "run", Shards(built / "set", "test"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported_patches(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def folds(imported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("runs") / "folds"
    short = ("model.width=2", "epochs=1", "batch=8")
    return segtrain.cross_validate(imported, folds=3, overrides=short, run=run, pictures=False).run


def measure(run: Path, shards: Shards) -> MeasuredSplit:
    trained, compute = load_trained(run), choose(amp="off", device="cpu")
    predict = compute.placed(trained.model)
    return measure_images(predict, shards, None, batch=4, compute=compute, objects=True, progress=False)


def section(page: Path, name: str) -> str:
    text = page.read_text(encoding="utf-8")
    return text.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def cells(row: str) -> list[str]:
    """The text of a row's cells, what is small in them after a blank."""
    found = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", " ", cell)).strip() for cell in found]


def rows(text: str) -> list[list[str]]:
    return [cells(row) for row in re.findall(r"<tr>(.*?)</tr>", text.partition("<tbody>")[2], re.DOTALL)]


def test_the_table_has_the_numbers_of_evaluate(built: Path) -> None:
    said = CliRunner().invoke(main, ["evaluate", str(built / "run"), str(built / "set"), "--json"])
    figures = json.loads(said.stdout)
    table = rows(section(built / "page.html", "classes"))
    assert [row[0] for row in table] == list(NAMES)
    shown = 0
    for (_, _, _, *estimates), cls in zip(table, CLASSES, strict=True):
        for estimate, key in zip(estimates, ("iou", "dice", "precision", "recall"), strict=True):
            value = figures["per_class"][cls.key][key]
            if value is None:
                assert estimate == "–"
                continue
            number, interval = estimate.split()
            low, high = map(float, interval.split("–"))
            assert float(number) == pytest.approx(value, abs=6e-4)
            assert low <= float(number) <= high
            shown += 1
    assert shown > 20
    label = Shards(built / "set", "test")
    for number, row in enumerate(table):
        assert int(row[1]) == sum(bool((label.read(i)[1] == number).any()) for i in range(len(label)))
    tiles = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", (built / "page.html").read_text(encoding="utf-8"))
    for name, key in (("mIoU", "miou"), ("pixel accuracy", "pixel_accuracy"), ("foreground Dice", "foreground_dice")):
        assert float(dict(tiles)[name]) == pytest.approx(figures[key], abs=6e-4)
    assert float(dict(tiles)["calibration error"]) == pytest.approx(figures["calibration_error"], abs=6e-4)


def test_rows_of_the_confusion_matrix_are_shares_of_the_truth(built: Path, measured: MeasuredSplit) -> None:
    matrix = measured.matrices.sum(axis=0)
    table = rows(section(built / "page.html", "confusion"))
    assert len(table) == len(CLASSES)
    for (name, *shares), truth, cls in zip(table, matrix, CLASSES, strict=True):
        assert name == cls.name
        if not truth.any():
            assert shares == ["in no image"]
            continue
        for text, n in zip(shares, truth.tolist(), strict=True):
            value = 0.0 if text in ("", "< 0.1") else float(text)
            assert value == pytest.approx(100 * n / truth.sum(), abs=0.06)


def test_looks_of_a_scene_are_drawn_together(measured: MeasuredSplit) -> None:
    reached = reach(measured, "test")
    assert (reached.images, reached.units) == (16, 8)
    assert all(of.low <= of.value <= of.high for of in reached.whole.values())


def test_objects_are_found_pixel_by_pixel(built: Path, measured: MeasuredSplit) -> None:
    """Against the instance map, cell by cell."""
    found = measured.objects
    assert found is not None
    predict = choose(amp="off", device="cpu").placed(load_trained(built / "run").model)
    expected = []
    with h5py.File(built / "set" / "test-00000.h5") as shard:
        for row in range(len(shard["label"])):
            image = torch.from_numpy(shard["image"][row]).permute(2, 0, 1)[None]
            with torch.inference_mode():
                prediction = predict(image)[0].argmax(dim=0).numpy()
            for number in range(shard["object_count"][row]):
                here = shard["instance"][row] == number + 1
                fields = dict(zip(shard["objects"].attrs["fields"], shard["objects"][row, number], strict=True))
                right = int((here & (prediction == fields["class"])).sum())
                expected.append((row, fields["class"], fields["cell"], int(here.sum()), fields["full"], right))
    columns = (found.image, found.class_id, found.cell, found.visible, found.full, found.right)
    assert list(zip(*(c.tolist() for c in columns), strict=True))[: len(expected)] == expected
    assert len(expected) > 50


def test_slices_divide_the_images_and_the_cells(built: Path, measured: MeasuredSplit) -> None:
    sources = read_cell_sources(built / "set", measured.shards.header.bank_digest)
    tables: dict[str, Slices] = {table.title: table for table in slices(measured, NAMES, sources)}
    assert not any(table.missing for table in tables.values())
    assert measured.objects is not None
    for title in ("By background", "By look", "By density"):
        assert sum(row.counts[0] for row in tables[title].rows) == 16
    for title in ("By source of the cell", "By visible share of the cell"):
        assert sum(row.counts[0] for row in tables[title].rows) == len(measured.objects.cell)
    assert [row.name for row in tables["By look"].rows] == ["natural", "reference"]
    for row, mine in zip(tables["By look"].rows, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        matrix = measured.matrices[mine].sum(axis=0)
        assert row.estimates[0].value == pytest.approx(np.trace(matrix) / matrix.sum())
    bank = load_bank(built / "set" / "cells.h5")
    o = measured.objects
    for row in tables["By source of the cell"].rows:
        name, source = row.name.split(", ")
        mine = [
            i
            for i, cell in enumerate(o.cell.tolist())
            if bank.sources[bank.source[cell]] == source and CLASSES[o.class_id[i]].name == name
        ]
        assert row.counts == (len(mine),)
        assert row.estimates[0].value == pytest.approx(o.right[mine].sum() / o.visible[mine].sum())
        assert row.estimates[1].value == pytest.approx(np.mean([2 * o.right[i] >= o.visible[i] for i in mine]))


def test_a_class_that_a_slice_lacks_does_not_pull_its_mean_down(measured: MeasuredSplit) -> None:
    """On a background of one kind of red cells, taking them for the other kind has a cost, but no class of its own."""
    [table] = [t for t in slices(measured, NAMES, None) if t.title == "By background"]
    background = measured.shards.column("background")
    assert background is not None
    for row in table.rows:
        kind = ["no red cells", "healthy red cells", "infected red cells", "healthy and infected red cells"].index(
            row.name
        )
        matrix = measured.matrices[background == kind].sum(axis=0)
        ious = [
            matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum() - matrix[c, c]) for c in range(10) if matrix[c].any()
        ]
        assert row.estimates[2].value == pytest.approx(np.mean(ious))
        assert row.counts[1] == len(ious) - 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=ABSENT)
def test_a_browser_shows_it_without_an_error_a_request_or_a_script(built: Path, tmp_path: Path) -> None:
    """The page of a set whose names are markup."""
    data, run = tmp_path / "set", tmp_path / "run"
    shutil.copytree(built / "set", data)
    shutil.copytree(built / "run", run)
    index = json.loads((data / "index.json").read_text(encoding="utf-8"))
    index |= {"name": EVIL, "recipe_hash": EVIL, "sources": [{"name": EVIL, "title": EVIL, "licence": EVIL}]}
    (data / "index.json").write_text(json.dumps(index), encoding="utf-8")
    page, card = report(run, dataset=data, out=tmp_path / "page.html", progress=False)
    text = card.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "\n# no" not in text
    assert "<script" not in page.read_text(encoding="utf-8")
    opened, told = open_page(page, tmp_path), probe(page, tmp_path)
    assert opened.requested == set()
    assert "CONSOLE" not in opened.log
    assert "Model card</h2>" in opened.dom
    assert len(np.unique(opened.screen.reshape(-1, 3), axis=0)) > 200
    assert told["images"] == 2 + 8 * 4
    assert (told["broken"], told["hidden"], told["injected"]) == (0, 0, False)
    assert told["wide"] <= 0, "at 1000 px it must not be scrolled sideways"
    assert page.stat().st_size < MOST_BYTES


def test_the_page_needs_no_other_file(built: Path) -> None:
    text = (built / "page.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert "<script" not in text
    assert str(built) not in text, "no path of this machine"


def test_the_card_tells_what_it_must(built: Path) -> None:
    card = model_card(built / "run")
    assert card == (built / "run" / "MODEL_CARD.md").read_text(encoding="utf-8")
    index = json.loads((built / "set" / "index.json").read_text(encoding="utf-8"))
    for told in ("For research only", "must not be used for a diagnosis", index["digest"], "alpha", "composites"):
        assert told in card
    table = dict(line.strip("| ").split(" | ", 1) for line in card.splitlines() if line.startswith("| "))
    assert table.keys() >= set(NAMES)
    [background] = [row for row in rows(section(built / "page.html", "classes")) if row[0] == "Background"]
    assert [text.split()[0] for text in table["Background"].split(" | ")] == [
        text.split()[0] for text in background[3:]
    ]


def test_a_card_without_a_report_has_the_figures_of_the_training(built: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(built / "run", tmp_path / "run"))
    (run / "MODEL_CARD.md").unlink()
    card = model_card(run)
    best = json.loads((run / "summary.json").read_text(encoding="utf-8"))["at_best"]
    assert f"| miou | {best['val_miou']:.3f} |" in card
    assert "composites" in card
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(re.sub("^data: .*", "data: /gone", config, flags=re.MULTILINE), encoding="utf-8")
    assert "sources and licences are not told" in model_card(run)


class TestImported:
    @pytest.mark.slow
    def test_a_fold_is_told_on_the_test_split_and_on_what_it_held_out(self, folds: Path) -> None:
        page, _ = report(folds / "fold-1", progress=False)
        assert len(re.findall("Left out", section(page, "slices"))) == 5
        assert [row[0] for row in rows(section(page, "classes"))] == ["Background", "cell"]
        assert "6 images" in re.sub(r"\s+", " ", section(page, "classes"))
        assert "2 groups" in section(page, "classes")
        page, card = report(folds / "fold-1", split="val", progress=False)
        summary = json.loads((folds / "fold-1" / "summary.json").read_text(encoding="utf-8"))
        held_out = json.loads((folds / "summary.json").read_text(encoding="utf-8"))["folds"][0]["held_out"]
        assert f"Of {held_out} images" in card.read_text(encoding="utf-8")
        iou = float(rows(section(page, "classes"))[1][3].split()[0])
        assert iou == pytest.approx(summary["at_best"]["val_iou_cell"], abs=6e-4)
        assert "composites" not in card.read_text(encoding="utf-8")

    def test_what_a_fold_learnt_from_is_refused(self, folds: Path) -> None:
        with pytest.raises(UserError, match="one fold, which learnt from samples"):
            report(folds / "fold-1", split="train", progress=False)

    def test_a_cross_validation_names_its_folds(self, folds: Path) -> None:
        with pytest.raises(UserError, match="cross-validation: report on one of its folds"):
            report(folds)


class TestRefused:
    def test_a_set_that_is_gone(self, built: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"trained on .*gone, where there is no dataset now: .* \(dataset\)"):
            report(built / "run", dataset=tmp_path / "gone")

    def test_another_set(self, built: Path, tmp_path: Path) -> None:
        other = write_set(tmp_path / "other", train=2, val=2, test=2)
        with pytest.raises(UserError, match=r"other is not the data that .*run was trained on"):
            report(built / "run", dataset=other)

    def test_a_bank_of_another_set(self, built: Path, tmp_path: Path) -> None:
        data = Path(shutil.copytree(built / "set", tmp_path / "set"))
        with h5py.File(data / "cells.h5", "r+") as file:
            file.attrs["digest"] = np.bytes_("0" * 64)
        with pytest.raises(UserError, match="is not the bank that"):
            report(built / "run", dataset=data, out=tmp_path / "x.html", progress=False)
        (data / "cells.h5").write_bytes(b"no")
        with pytest.raises(UserError, match="is no whole bank"):
            read_cell_sources(data, "0" * 64)
        (data / "cells.h5").unlink()
        assert read_cell_sources(data, "0" * 64) is None

    def test_objects_that_are_not_there(self, built: Path, tmp_path: Path) -> None:
        data = Path(shutil.copytree(built / "set", tmp_path / "set"))
        with h5py.File(data / "test-00000.h5", "r+") as shard:
            shard["object_count"][0] = 1
        with pytest.raises(UserError, match="row 0 names object"):
            measure(built / "run", Shards(data, "test"))
