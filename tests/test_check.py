"""`check`: the faults of a recipe's sources, and the lock."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import smearsynth
from smearsynth.base.config_file import ConfigError
from smearsynth.cli import main
from smearsynth.recipe.reading import load_recipe
from smearsynth.taxonomy import CLASSES
from smearsynth.verbs.check import check, check_sources

CROPS = "sources: [{kind: crops, root: cells, um_per_px: 0.2, redistribution: allowed}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe and own crops: two images of each class but platelet_clump."""
    for c in CLASSES[1:]:
        if c.key == "platelet_clump":
            continue
        (tmp_path / "cells" / c.key).mkdir(parents=True)
        for i in range(2):
            pixels = np.full((40, 40, 3), 10 * c.id + i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "cells" / c.key / f"{i}.png")
    (tmp_path / "r.yaml").write_text(CROPS)
    return tmp_path


def faults(folder: Path, text: str) -> list[str]:
    (folder / "r.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        check(folder / "r.yaml")
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_a_right_recipe_gives_its_listings_and_needs_no_clumps(folder: Path) -> None:
    checked = check(folder / "r.yaml", overrides=["seed=3"])
    assert checked.recipe.seed == 3
    assert [e.path for e in checked.listings["cells"].entries][:2] == ["basophil/0.png", "basophil/1.png"]


def test_a_fault_anywhere_hides_no_source(folder: Path) -> None:
    wrong = CROPS.replace("]", ", {kind: crops, root: nowhere}]") + "scene: {overlap: much}\n"
    for text, errors in ((wrong, 2), (CROPS.replace("]", ", {kind: lisc, root: cells, name: b}]"), 1)):
        (folder / "r.yaml").write_text(text)
        result = CliRunner().invoke(main, ["check", str(folder / "r.yaml")])
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == errors
        assert "cells: cells (not stated; redistribution allowed)" in result.stdout
        assert "2 monocyte" in result.stdout
        assert "no fault" not in result.stdout


def test_classes_without_a_cell_are_all_named(folder: Path) -> None:
    shutil.rmtree(folder / "cells" / "basophil")
    shutil.rmtree(folder / "cells" / "thrombocyte")
    assert faults(folder, CROPS) == [
        f"r.yaml:1: sources: no source has a cell of class {key}: add a source that has some, map its folder by "
        "`classes`, or name the combinations without that class in `scene.combinations`"
        for key in ("basophil", "thrombocyte", "platelet_clump")
    ]
    only = CROPS + "scene: {combinations: [neutrophil+lymphocyte/mixed, none/healthy]}"
    (folder / "r.yaml").write_text(only)
    assert check(folder / "r.yaml").recipe.scene.classes() == {3, 4, 8, 9}


def test_red_cells_around_others_count_as_healthy(folder: Path) -> None:
    shutil.rmtree(folder / "cells" / "healthy_rbc")
    (folder / "r.yaml").write_text(CROPS.replace("um_per_px", "also: healthy_rbc, um_per_px"))
    assert check(folder / "r.yaml").listings["cells"].facts.title == "cells"


def test_faults_of_all_sources_are_told_with_their_lines(folder: Path) -> None:
    (folder / "empty").mkdir()
    told = faults(
        folder,
        "publish: true\n"
        "sources:\n"
        "- {kind: lisc, root: empty}\n"
        "- {kind: crops, root: cells, redistribution: allowed, classes: {nothing: monocyte}}\n"
        "- {kind: crops, root: cells, name: again}\n",
    )
    assert [line.partition(": ")[0] for line in told] == [f"r.yaml:{line}" for line in (3, 4, 3, 5)]
    assert "empty: no cell image of a lisc source is there" in told[0]
    assert "'nothing', which is not there" in told[1]
    assert told[2:] == [
        "r.yaml:3: sources[0]: source empty forbids to hand its images on, and `publish` is true: set publish: false, "
        "leave this source out",
        "r.yaml:5: sources[2]: source again does not state that its images may be handed on, and `publish` is true: "
        "set publish: false, leave this source out, or set its `redistribution: allowed` if you have the right",
    ]


def test_a_bank_does_not_get_round_publishing(folder: Path) -> None:
    (folder / "r.yaml").write_text("publish: true\nsources: [{kind: lisc, root: not-here}]")
    with pytest.raises(ConfigError, match="forbids to hand its images on"):
        smearsynth.build(folder / "r.yaml", out=folder / "set", bank=folder / "any.h5")


def test_publishing_takes_sources_that_allow_it(folder: Path) -> None:
    (folder / "r.yaml").write_text(CROPS + "publish: true")
    assert check(folder / "r.yaml").recipe.publish


class TestDrawn:
    """A note beside real cells does not make phantoms of them, which might be handed on."""

    PHANTOMS = Path(__file__).parents[1] / "sample_sources/lisc"

    @pytest.fixture
    def recipe(self, tmp_path: Path) -> Path:
        shutil.copytree(self.PHANTOMS, tmp_path / "lisc")
        path = tmp_path / "r.yaml"
        path.write_text(
            "publish: true\nscene: {combinations: [neutrophil/healthy]}\n"
            f"sources: [{{kind: lisc, root: lisc}}, {{kind: kaggle, root: {self.PHANTOMS.with_name('kaggle')}}}]\n"
        )
        return path

    def test_phantoms_may_be_published(self, recipe: Path) -> None:
        facts = check(recipe).listings["lisc"].facts
        assert (facts.licence, facts.redistribution) == ("CC0-1.0", "allowed")

    @pytest.mark.parametrize("how", ["a file more", "a file less", "another file", "a bare note", "a note of others"])
    def test_other_files_may_not(self, recipe: Path, how: str) -> None:
        root = recipe.parent / "lisc"
        image, note = sorted(root.rglob("*.bmp"))[0], root / "DRAWN.txt"
        if how == "a file more":
            shutil.copyfile(image, image.with_name("99.bmp"))
        elif how == "a file less":
            image.unlink()
        elif how == "another file":
            Image.new("RGB", (180, 144), "white").save(image)
        elif how == "a bare note":
            note.write_text(note.read_text().splitlines(keepends=True)[0])
        else:
            shutil.copyfile(self.PHANTOMS.with_name("iumc") / "DRAWN.txt", note)
        with pytest.raises(ConfigError, match=r"source lisc forbids .* its DRAWN\.txt was written for other files"):
            check(recipe)
        recipe.write_text(recipe.read_text().replace("publish: true\n", ""))
        listing = check(recipe).listings["lisc"]
        assert listing.facts.redistribution == "forbidden"
        assert listing.left_out["DRAWN.txt, and other files than it was written for"] == 1


class TestLock:
    def lock(self, folder: Path) -> list[str]:
        root = folder / "cells"
        return [
            f"{hashlib.sha256(file.read_bytes()).hexdigest()}  cells/{file.relative_to(root).as_posix()}"
            for file in sorted(root.rglob("*.png"))
        ]

    def locked(self, folder: Path, lines: list[str]) -> str:
        (folder / "r.lock").write_text("\n".join(lines) + "\n")
        return CROPS + "lock: r.lock\n"

    def test_only_its_files_are_read(self, folder: Path) -> None:
        text = self.locked(folder, [line for line in self.lock(folder) if not line.endswith("1.png")])
        (folder / "cells" / "monocyte" / "new.png").write_bytes((folder / "cells/monocyte/0.png").read_bytes())
        (folder / "r.yaml").write_text(text)
        listing = check_sources(load_recipe(folder / "r.yaml"))["cells"]
        assert {e.path.rpartition("/")[2] for e in listing.entries} == {"0.png"}
        assert listing.left_out == {"not in the lock": 9}

    def test_a_file_that_changed_or_went_is_a_fault(self, folder: Path) -> None:
        text = self.locked(folder, self.lock(folder))
        changed, gone = (folder / "cells" / "monocyte" / name for name in ("0.png", "1.png"))
        was = [hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file in (changed, gone)]
        changed.write_bytes(b"other")
        gone.unlink()
        now = hashlib.sha256(b"other").hexdigest()[:12]
        assert faults(folder, text) == [
            f"r.yaml:1: sources[0]: cells/monocyte/0.png: has changed: its sha256 is {now}..., and the lock names it "
            f"with sha256 {was[0]}...; restore that file",
            f"r.yaml:1: sources[0]: cells/monocyte/1.png: is not there, and the lock names it with sha256 "
            f"{was[1]}...; restore that file",
        ]

    def test_every_file_that_is_missing_is_named(self, folder: Path) -> None:
        lines = self.lock(folder)
        text = self.locked(folder, lines)
        paths = [line.split("  cells/")[1] for line in lines]
        for path in paths[1:]:
            (folder / "cells" / path).unlink()
        told = faults(folder, text)
        assert len(told) == len(paths) - 1 > 10
        assert all(f"cells/{path}: is not there" in fault for path, fault in zip(paths[1:], told, strict=True))

    def test_a_root_that_holds_none_of_them_is_told_once(self, folder: Path) -> None:
        text = self.locked(folder, [line.replace("cells/", "cells/deeper/") for line in self.lock(folder)])
        assert faults(folder, text) == [
            "r.yaml:1: sources[0]: cells: none of the 16 files is there that the lock names, such as "
            "deeper/basophil/0.png; set `root` of source cells to the folder that holds them"
        ]

    def test_a_file_that_the_source_leaves_out_now_is_a_fault(self, folder: Path) -> None:
        text = self.locked(folder, self.lock(folder)).replace("root: cells", "root: cells, exclude: [monocyte/1.png]")
        assert faults(folder, text) == [
            "r.yaml:1: sources[0]: cells/monocyte/1.png: the lock names it, and the source leaves it out: remove what "
            "takes its place, or its line from the lock"
        ]

    def test_a_mask_that_came_later_is_a_fault(self, folder: Path) -> None:
        text = self.locked(folder, self.lock(folder))
        Image.fromarray(np.full((40, 40), 255, np.uint8)).save(folder / "cells/monocyte/1_mask.png")
        assert faults(folder, text) == [
            "r.yaml:1: sources[0]: cells/monocyte/1_mask.png: the lock does not hold this mask; exclude it"
        ]

    def test_a_table_that_it_does_not_hold_is_a_fault(self, folder: Path) -> None:
        rows = [line.split("  cells/")[1] for line in self.lock(folder)]
        (folder / "cells/t.csv").write_text("id,class\n" + "".join(f"{row},{row.split('/')[0]}\n" for row in rows))
        text = self.locked(folder, self.lock(folder)).replace("root: cells", "root: cells, labels: t.csv")
        assert faults(folder, text) == [
            "r.yaml:1: sources[0]: cells/t.csv: the lock does not hold this table; exclude it"
        ]

    def test_a_line_that_leads_out_of_the_root_is_a_fault(self, folder: Path) -> None:
        (fault,) = faults(folder, self.locked(folder, ["0" * 64 + "  cells/../r.yaml"]))
        assert "leads out of the source's folder" in fault

    @pytest.mark.parametrize(
        ("lines", "sentence"),
        [
            (["nonsense"], 'r.lock:1: is no line "sha256  source/path"; take the sources.lock of a dataset'),
            (
                None,
                "gone.lock: cannot be read as a lock (No such file or directory); name the sources.lock of a dataset",
            ),
        ],
    )
    def test_what_is_no_lock(self, folder: Path, lines: list[str] | None, sentence: str) -> None:
        text = CROPS + "lock: gone.lock" if lines is None else self.locked(folder, lines)
        assert faults(folder, text) == [f"r.yaml:2: lock: {sentence}"]

    def test_a_source_it_does_not_name(self, folder: Path) -> None:
        text = self.locked(folder, [line.replace("  cells/", "  other/") for line in self.lock(folder)])
        assert faults(folder, text) == [
            "r.yaml:1: sources[0]: cells: the lock names no file of source cells; remove the source or the lock"
        ]
