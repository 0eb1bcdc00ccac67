"""Every reason of refusal is reached by its fault alone, and nothing else is refused."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_cells import CYTOPLASM, GLASS, GOOD_MEASURES, RED_CELL, VIOLET, disc, ellipse, photograph
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smearsynth.bank.cutting import ImageJob, cut_image
from smearsynth.bank.outlines import Region
from smearsynth.bank.quality_gate import (
    REASONS,
    CellMeasures,
    count_cores,
    judge,
    judge_size,
    measure,
    painted_share,
)
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.sources.entry import Entry, Method
from smearsynth.taxonomy import BY_KEY, CLASSES, PLATELET_CLUMP, UM_PER_PX

GATE = GateSpec()
SHAPE = (130, 130)
RADIUS = 39.4
"""A neutrophil of the taxonomy's mean area at 0.20 um/px."""
BODY, NUCLEUS = disc(SHAPE, 65, 65, RADIUS), ellipse(SHAPE, 62, 60, 24, 18)
NEUTROPHIL = [(BODY - NUCLEUS, CYTOPLASM), (NUCLEUS, VIOLET)]


@pytest.fixture
def verdicts(tmp_path):
    """The reasons for all cells of an image, "" for good ones; the scale is 0.20 um/px unless given."""

    def cut_and_judge(image: np.ndarray, mask: np.ndarray | None = None, um_per_px: float = UM_PER_PX, **facts: object):
        Image.fromarray(image).save(tmp_path / "cell.png")
        if mask is not None:
            Image.fromarray((mask > 0.5).astype(np.uint8) * 255).save(tmp_path / "mask.png")
            facts = {"method": Method.GIVEN, "mask": "mask.png", **facts}
        named = Entry(path="cell.png", class_key="neutrophil", group="cell", method=Method.STAIN)
        entry = replace(named, **facts)
        cut = cut_image(ImageJob(root=tmp_path, source="drawn", entries=(entry,), glass=GLASS, gate=GATE))
        assert not cut.reason
        return [c.reject or judge_size(c.measures, c.class_id, GATE, um_per_px) for c in cut.cells]

    return cut_and_judge


def test_good_cells_pass(verdicts):
    image = photograph(NEUTROPHIL)
    assert verdicts(image) == [""]
    assert verdicts(image, BODY) == [""]
    red = photograph([(disc(SHAPE, 65, 65, 18.2), RED_CELL)])
    assert verdicts(red, class_key="healthy_rbc") == [""]
    assert verdicts(red, disc(SHAPE, 65, 65, 19.5), class_key="infected_rbc") == [""]


def test_painted(verdicts):
    image = photograph(NEUTROPHIL)
    image[50:74, 48:70] = 0
    assert verdicts(image, BODY) == ["painted"]
    image[50:74, 48:70] = (90, 40, 120)
    assert verdicts(image, BODY) == ["painted"]


def test_cut_where_any_contact_refuses(verdicts):
    for column in (64 + int(RADIUS), 95):
        assert verdicts(photograph(NEUTROPHIL)[:, :column], BODY[:, :column]) == ["cut"]
        assert verdicts(photograph(NEUTROPHIL)[:, :column]) == ["cut"]
    assert verdicts(photograph(NEUTROPHIL)[:, : 67 + int(RADIUS)], BODY[:, : 67 + int(RADIUS)]) == [""]


@pytest.mark.parametrize(("inwards", "reason"), [(1, ""), (12, "cut")])
def test_cut_in_tight_crops_is_a_matter_of_how_much(verdicts, inwards, reason):
    top, bottom = 65 - int(RADIUS), 66 + int(RADIUS)
    crop = slice(top, bottom), slice(top + inwards, bottom)
    assert verdicts(photograph(NEUTROPHIL)[crop], BODY[crop], tight=True) == [reason]
    on_black = np.where(BODY[..., None] > 0.5, photograph([(BODY, RED_CELL)]), 0).astype(np.uint8)[crop]
    facts = {"method": Method.BLACK_GROUND, "tight": True, "class_key": "healthy_rbc", "um_per_px": 0.09}
    assert verdicts(on_black, **facts) == [reason]


def test_no_contrast(verdicts):
    assert verdicts(photograph([(BODY, (0.03, 0.05, 0.02))]), BODY) == ["no_contrast"]


def test_blurred(verdicts):
    image = photograph(NEUTROPHIL, sigma=5.5, noise=0.5)
    assert verdicts(image, BODY) == ["blurred"]
    assert verdicts(photograph(NEUTROPHIL, sigma=1.5), BODY) == [""]


def test_several(verdicts):
    two = np.maximum(disc(SHAPE, 65, 44, 18), disc(SHAPE, 65, 80, 18.5))
    image = photograph([(two, RED_CELL)])
    assert verdicts(image, class_key="healthy_rbc") == ["several"]
    assert verdicts(image, two, class_key="healthy_rbc") == ["several"]
    assert verdicts(image, two, class_key="platelet_clump") != ["several"]


def test_touching(verdicts):
    cell, cup = disc(SHAPE, 65, 60, 19), disc(SHAPE, 65, 90, 30) * (1 - disc(SHAPE, 65, 60, 21))
    dark, pale = [(disc(SHAPE, y, 8, 20), (0.2, 0.8, 0.5)) for y in (10, 65, 120)], (0.08, 0.32, 0.2)
    image = photograph([(cell + cup, pale), *dark], sigma=2.0, noise=0.5)
    assert verdicts(image, class_key="healthy_rbc") == ["touching"]
    alone = photograph([(cell, pale), *dark], sigma=2.0, noise=0.5)
    assert verdicts(alone, class_key="healthy_rbc") == [""]


def test_solidity(verdicts):
    crescent = BODY * (1 - disc(SHAPE, 45, 65, 26))
    assert verdicts(photograph([(crescent, VIOLET)]), crescent, um_per_px=0.25) == ["solidity"]


@pytest.mark.parametrize(("um_per_px", "reason"), [(0.1, "area"), (0.2, ""), (0.35, "area")])
def test_area_is_judged_at_40x(verdicts, um_per_px, reason):
    assert verdicts(photograph(NEUTROPHIL), BODY, um_per_px) == [reason]


def test_no_cell(verdicts):
    assert verdicts(photograph([(np.zeros(SHAPE), VIOLET)])) == ["no_cell"]


def measured(cell: np.ndarray) -> CellMeasures:
    """The measures of a shape on an image of one colour."""
    region = Region(
        class_id=9,
        window=np.s_[0 : cell.shape[0], 0 : cell.shape[1]],
        mask=cell.astype(np.uint8) * 255,
        rim=0.0,
        contact=0.0,
        straight=0.0,
    )
    image, density = np.zeros((*cell.shape, 3), np.uint8), np.zeros(cell.shape, np.float32)
    return measure(image, region, density, glass_shows=False)


def test_measures_of_simple_shapes():
    square = np.zeros((60, 60), bool)
    square[10:40, 10:40] = True
    notched = square.copy()
    notched[10:25, 10:25] = False
    assert measured(square).solidity == pytest.approx(1)
    assert measured(notched).solidity < 0.9
    assert count_cores(square) == 1
    assert count_cores(np.hstack([square, square])) == 2
    assert count_cores(np.zeros((5, 5), bool)) == 0
    image = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    assert painted_share(image, square) == 0
    image[10:40, 10:20] = (1, 2, 3)
    assert painted_share(image, square) == pytest.approx(1 / 3)
    image[10:40, 10:18] = image[10:40, 19] = (7, 7, 7)
    assert painted_share(image, square) == 0, "patches that JPEG makes too are no paint"


share = st.floats(0, 1)


@given(
    st.sampled_from(CLASSES[1:]),
    st.builds(
        CellMeasures,
        area=st.integers(0, 20000),
        solidity=share,
        cores=st.integers(0, 3),
        painted=share,
        edge_width=st.floats(0, 9),
        glass_shows=st.booleans(),
        rim=st.floats(0, 3),
        contact=share,
        straight=share,
    ),
    st.booleans(),
    st.floats(0.02, 1),
)
def test_a_cell_passes_only_within_all_limits(cls, found, tight, um_per_px):
    least = {BY_KEY[key].id: value for key, value in GATE.least_solidity.model_dump().items()}
    low, high = {BY_KEY[key].id: value for key, value in GATE.area_range.model_dump().items()}[cls.id]
    within = (
        found.area > 0
        and found.painted <= GATE.most_painted
        and found.straight <= (GATE.most_straight if tight else 0)
        and (found.rim >= GATE.least_contrast or not found.glass_shows)
        and (found.cores <= 1 or cls.id == PLATELET_CLUMP)
        and found.contact <= GATE.most_contact
        and found.solidity >= least[cls.id]
    )
    reason = judge(found, cls.id, GATE, tight=tight)
    assert (reason == "") == within
    assert reason in ("", *REASONS)
    size = found.area * (um_per_px / UM_PER_PX) ** 2 / cls.area
    sharp = found.edge_width * um_per_px <= GATE.most_blur
    assert (judge_size(found, cls.id, GATE, um_per_px) == "") == (sharp and low <= size <= high)


@given(st.data())
def test_a_wider_gate_refuses_no_more(data):
    cls = data.draw(st.sampled_from(CLASSES[1:]))
    measured = data.draw(st.sampled_from(["painted", "contact", "straight"]))
    found = replace(GOOD_MEASURES, **{measured: data.draw(share)})
    limits = sorted(data.draw(st.tuples(share, share)))
    gates = [GATE.model_copy(update={f"most_{measured}": limit}) for limit in limits]
    narrow, wide = (judge(found, cls.id, gate, tight=True) for gate in gates)
    assert not wide or narrow == wide


def test_a_named_form_widens_what_is_asked_of_a_red_cell_and_nothing_else():
    good = replace(GOOD_MEASURES, area=1000, edge_width=0.0)
    ragged, small = replace(good, solidity=0.89), replace(good, area=int(0.4 * CLASSES[9].area))
    ragged_verdicts = {"": "solidity", "normal": "solidity", "burr": "", "Burr cells": "", "spherocyte": "solidity"}
    for name, expected in ragged_verdicts.items():
        assert judge(ragged, 9, GATE, name, tight=False) == expected
    small_verdicts = {"": "area", "burr": "area", "Schistocytes": "", "Spherocyte": "", "macrocyte": "area"}
    for name, expected in small_verdicts.items():
        assert judge_size(small, 9, GATE, UM_PER_PX, name) == expected
    assert judge(ragged, BY_KEY["monocyte"].id, GATE, "burr", tight=False) == judge(
        ragged, BY_KEY["monocyte"].id, GATE, tight=False
    )
    assert judge(ragged, BY_KEY["lymphocyte"].id, GATE, "burr", tight=False) == "solidity"
    assert judge(replace(ragged, contact=0.5), 9, GATE, "burr", tight=False) == "touching"
    wide = GATE.model_copy(update={"area_range": GATE.area_range.model_copy(update={"healthy_rbc": (0.1, 5.0)})})
    assert judge_size(small, 9, wide, UM_PER_PX, "burr") == "", "a form never narrows the gate"
