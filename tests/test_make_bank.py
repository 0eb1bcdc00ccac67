"""From source files to the bank: the same for any number of workers, and every candidate accounted for."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from drawn_cells import RED_CELL, disc, photograph
from PIL import Image

from smearsynth.bank.cutting import CutCell, ImageJob, cut_image
from smearsynth.bank.make_bank import MadeBank, make_bank
from smearsynth.bank.quality_gate import REASONS
from smearsynth.base.errors import UserError
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import load_recipe
from smearsynth.taxonomy import BY_KEY, CLASSES, HEALTHY_RBC, UM_PER_PX

ROOT = Path(__file__).parents[1]
HEAD = "version: 1\nname: test\nseed: 0\nsize: 64\ncount: {train: 4, val: 2, test: 2}\n"


def recipe_for(folder: Path, sources: str) -> Recipe:
    (folder / "test.yaml").write_text(f"{HEAD}sources:\n{sources}")
    return load_recipe(folder / "test.yaml")


DRAWN = "".join(f"  - {{kind: {kind}, root: {kind}}}\n" for kind in ("lisc", "iumc", "mamic", "kaggle"))


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """The drawn sources with one file cut short and one that is no image."""
    folder = tmp_path_factory.mktemp("drawn")
    shutil.copytree(ROOT / "sample_sources", folder, dirs_exist_ok=True)
    short = sorted(folder.glob("kaggle/cell_images/Uninfected/*.png"))[3]
    short.write_bytes(short.read_bytes()[:200])
    (folder / "mamic" / "thrombocytes" / "no_image.png").write_text("a letter")
    return recipe_for(folder, DRAWN)


@pytest.fixture(scope="module")
def made(damaged) -> MadeBank:
    return make_bank(damaged, workers=1)


@pytest.mark.slow
def test_the_bank_does_not_depend_on_the_number_of_workers(damaged, made):
    again = make_bank(damaged, workers=2)
    assert again.bank.digest == made.bank.digest
    assert (again.refusals, again.errors, again.pairs) == (made.refusals, made.errors, made.pairs)
    assert [identity(c) for c in again.refused] == [identity(c) for c in made.refused]


def identity(cell: CutCell) -> tuple:
    return cell.path, cell.reject, cell.image.tobytes(), cell.mask.tobytes()


def test_unreadable_files_are_counted_and_named_and_no_more(made):
    assert len(made.errors) == 2
    assert any("Uninfected" in error for error in made.errors)
    assert any("no_image.png" in error for error in made.errors)
    assert made.refusals["kaggle", HEALTHY_RBC, "unreadable"] == 1
    assert made.refusals["mamic", BY_KEY["thrombocyte"].id, "unreadable"] == 1


@pytest.mark.slow
def test_every_candidate_is_in_the_bank_or_counted_as_refused(damaged, made):
    candidates: Counter[tuple[str, int]] = Counter()
    for spec in damaged.sources:
        listing = made.listings[spec.name]
        for entry in listing.entries:
            cut = cut_image(
                ImageJob(root=spec.root, source=spec.name, entries=(entry,), glass=listing.facts.glass, gate=GateSpec())
            )
            candidates.update((spec.name, cell.class_id) for cell in cut.cells)
            if cut.reason:
                candidates[spec.name, BY_KEY[entry.class_key].id] += 1
    accounted = Counter(dict.fromkeys(candidates, 0))
    for (source, class_id, reason), count in made.refusals.items():
        assert reason in {*REASONS, "unreadable"}
        accounted[source, class_id] += count
    own = [i for i in range(len(made.bank)) if not made.bank.parts[i]]
    accounted.update((made.bank.sources[made.bank.source[i]], int(made.bank.class_id[i])) for i in own)
    assert accounted == candidates
    shown = Counter((c.source, c.class_id, c.reject) for c in made.refused)
    assert all(shown[kind] <= count for kind, count in made.refusals.items())


def test_painted_phantoms_are_refused_and_areas_come_out_as_the_taxonomy_says(made):
    painted = {c.path for c in made.refused if c.reject == "painted"}
    assert painted == {"Neutrophil_11.bmp", "Neutrophil_12.bmp"}
    kaggle = made.bank.source == made.bank.sources.index("kaggle")
    ratio = [np.median(made.bank.area[kaggle & (made.bank.class_id == k)]) / CLASSES[k].area for k in (8, 9)]
    assert np.sqrt(np.prod(ratio)) == pytest.approx(1, abs=0.03)


def test_cells_that_are_all_refused_end_in_sentences(tmp_path):
    for name in ("neutrophil", "healthy_rbc"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.fromarray(np.full((60, 60, 3), 230, np.uint8)).save(tmp_path / "own" / name / "1.png")
    with pytest.raises(UserError, match=r"no cell of neutrophil is good enough \(no_cell 1\)"):
        make_bank(recipe_for(tmp_path, "  - {kind: crops, root: own, um_per_px: 0.2}\n"))
    with pytest.raises(UserError, match="set `um_per_px`"):
        make_bank(recipe_for(tmp_path, "  - {kind: crops, root: own}\n"))


@pytest.mark.slow
def test_fields_whose_scale_differs_come_to_one_size(tmp_path):
    shape, rows = (100, 300), ["file,class,x,y,um_per_px"]
    for number in range(12):
        um_per_px = (0.1, 0.2)[number % 2]
        radius = 18.0 * UM_PER_PX / um_per_px
        cover = np.max([disc(shape, 50, x, radius + number / 40) for x in (50, 150, 250)], axis=0)
        Image.fromarray(photograph([(cover, RED_CELL)], seed=number)).save(tmp_path / f"{number}.png")
        rows += [f"{number}.png,normal,{x},50,{um_per_px}" for x in (50, 150)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    classes = "classes: {normal: healthy_rbc}, rest: healthy_rbc"
    recipe = recipe_for(
        tmp_path, f"  - {{kind: fields, name: f, root: ., {classes}}}\nscene: {{combinations: [none/healthy]}}\n"
    )
    made = make_bank(recipe)
    assert len(made.bank) == 36
    assert not made.refusals
    assert set(np.round(made.bank.scale, 3).tolist()) == {0.5, 1.0}
    assert np.ptp(np.sqrt(made.bank.area / np.pi)) < 0.8
    assert made.um_per_px == {"f": pytest.approx(0.15)}
