"""The networks that come with the package: used where no run is named, and what they see in three drawn fields."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import segtrain
from segtrain.cli import main
from segtrain.counting.cell_names import name_crops
from segtrain.counting.load import Network
from segtrain.inference.ready_networks import load_networks
from segtrain.pretrained import CARD, CELLS, FINDER, or_shipped
from segtrain.training.run_folder import WEIGHTS, load_trained
from smearsynth.recipe.reading import load_recipe

DRAWN = Path(__file__).parents[1] / "sample_sources"
RECIPE = Path(__file__).parents[1] / "recipes" / "smear10-open.yaml"
SURE = 0.71
"""Confidence beyond which a name is pinned: no field has one within 0.08 of it, which no rounding spans."""
PINNED = {
    "mamic/field_1.png": {"healthy_rbc": 18, "infected_rbc": 3, "platelet_clump": 1},
    "mamic/field_2.png": {"healthy_rbc": 18, "infected_rbc": 5, "thrombocyte": 4},
    "lisc/LISC Database/Main Dataset/mixt/1.bmp": {"healthy_rbc": 12, "neutrophil": 1},
}


@pytest.fixture(scope="module")
def net() -> Network:
    return segtrain.load()


def test_they_are_small_and_of_one_taxonomy_and_scale() -> None:
    assert sum((folder / WEIGHTS).stat().st_size for folder in (FINDER, CELLS)) < 8e6
    finder, cells = load_trained(FINDER), load_trained(CELLS)
    assert finder.classes == cells.classes
    assert finder.um_per_px == cells.um_per_px == 0.2
    assert (finder.config.model.crop, cells.config.model.crop) == (None, 96)


def test_they_are_trained_on_frozen_beginnings_of_the_benchmark_that_their_card_names() -> None:
    frozen = load_recipe(RECIPE, roots=False).frozen
    assert frozen is not None
    for folder in (FINDER, CELLS):
        digest = load_trained(folder).data_digest
        assert digest in {beginning.digest for beginning in frozen.beginnings}
        assert digest[:12] in CARD.read_text(encoding="utf-8")


def test_a_run_that_is_named_stands_alone() -> None:
    assert or_shipped(None) == (FINDER, CELLS)
    assert or_shipped(None, "mine") == (FINDER, Path("mine"))
    assert or_shipped("run") == (Path("run"), None)
    assert or_shipped("run", "mine") == (Path("run"), Path("mine"))


def test_a_run_that_is_not_there_is_not_taken_for_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "field.png")
    command = ["count", str(tmp_path / "runs/typo"), str(tmp_path / "field.png"), "--out", str(tmp_path / "c.csv")]
    told = CliRunner().invoke(main, command)
    assert told.exit_code == 2
    assert f"{tmp_path / 'runs/typo'}/best.pt is missing" in told.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PINNED))
def test_what_they_see_in_a_drawn_field(net: Network, name: str) -> None:
    image = np.asarray(Image.open(DRAWN / name).convert("RGB"))
    cells = net.count(image, um_per_px=0.14).cells
    assert Counter(cell["class"] for cell in cells if cell["confidence"] > SURE) == PINNED[name]


@pytest.mark.slow
def test_eight_views_name_a_cell_unless_two_call_it_healthy() -> None:
    namer = load_networks([FINDER], cells=CELLS).namer
    assert namer is not None
    field = Image.open(DRAWN / "mamic/field_1.png").convert("RGB").reduce(2)
    pixels = np.asarray(field.resize((field.width * 7 // 5, field.height * 7 // 5)))
    cells = np.zeros(pixels.shape[:2], np.int32)
    middles = [(y, x) for y in range(60, pixels.shape[0] - 60, 24) for x in range(60, pixels.shape[1] - 60, 24)]
    for number, (y, x) in enumerate(middles, start=1):
        cells[y - 3 : y + 3, x - 3 : x + 3] = number
    named = np.exp(name_crops(namer, pixels, cells, len(middles)))

    crops = [pixels[y - 48 : y + 48, x - 48 : x + 48] for y, x in middles]
    views = [[np.rot90(side, turns) for side in (crop, crop[:, ::-1]) for turns in range(4)] for crop in crops]
    seen = np.stack([namer(np.stack(each), views=(0,))[:, :, 0, 0] for each in views])
    two, healthy = seen[:, [0, 5]], namer.classes.keys.index("healthy_rbc")
    plain = (two[:, :, healthy] >= 0.8).all(axis=1)
    assert 0 < plain.sum() < len(plain)
    expected = np.where(plain[:, None], two.mean(axis=1), seen.mean(axis=1))
    np.testing.assert_allclose(named, expected, atol=1e-5)


@pytest.mark.slow
def test_the_command_uses_them_and_lists_them(tmp_path: Path) -> None:
    name = "field_1.png"
    field = DRAWN / "mamic" / name
    command = ["count", str(field), "--um-per-px", "0.14", "--out", str(tmp_path / "cells.csv"), "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.stderr
    cells = json.loads(done.stdout)["all"]["cells"]
    assert sum(cells.values()) > 5
    listed = json.loads(CliRunner().invoke(main, ["weights", "--json"]).stdout)
    assert [one["model"] for one in listed["networks"]] == ["lite_unet", "lite_cells"]
    assert listed["card"] == str(CARD)
