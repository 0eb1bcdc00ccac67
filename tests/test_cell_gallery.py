"""The tables of `smearsynth cells` against a recount, and the picture against what must be seen in it."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from drawn_cells import GOOD_MEASURES
from synthetic_bank import synthetic_bank

from smearsynth.bank.bank import Bank
from smearsynth.bank.cell_gallery import as_text, count_cells, draw_gallery
from smearsynth.bank.cutting import CutCell
from smearsynth.bank.duplicates import DuplicatePair
from smearsynth.bank.make_bank import MadeBank
from smearsynth.sources.entry import Facts, Listing, Redistribution
from smearsynth.taxonomy import CLASSES, SPLITS

CONTOUR = (0, 230, 0)
FACTS = Facts(
    title="",
    licence="",
    redistribution=Redistribution.ALLOWED,
    cite="",
    grouping="image",
    patients_known=False,
)
LISTINGS = {
    "alpha": Listing(facts=FACTS, entries=(), left_out={"no mask": 3}),
    "beta": Listing(facts=FACTS, entries=()),
}
REFUSALS = Counter({("alpha", 1, "cut"): 5, ("alpha", 1, "area"): 70, ("beta", 9, "blurred"): 2})
MEASURES = replace(GOOD_MEASURES, area=1257)


def made_of(bank: Bank, refusals: Counter, **changed: object) -> MadeBank:
    facts = {"listings": {}, "um_per_px": {}, "refused": (), "errors": (), "pairs": (), **changed}
    return MadeBank(bank=bank, refusals=refusals, **facts)


@pytest.fixture(scope="module")
def bank():
    return synthetic_bank(per_class=3, shrink=0.6)


@pytest.fixture(scope="module")
def counts(bank):
    return count_cells(made_of(bank, REFUSALS, listings=LISTINGS, pairs=(DuplicatePair(0, 1, 1.0, 1.0),)))


def refused(reason: str, colour: int) -> CutCell:
    y, x = np.mgrid[:60, :80]
    mask = ((y - 30) ** 2 + (x - 40) ** 2 < 20**2).astype(np.uint8) * 255
    return CutCell(
        image=np.full((60, 80, 3), colour, np.uint8),
        mask=mask,
        class_id=3,
        source="alpha",
        group="g",
        path="folder/a_rather_long_file_name_that_no_caption_can_hold.png",
        sha256="",
        glass=(1, 1, 1),
        glass_measured=True,
        measures=MEASURES,
        reject=reason,
    )


def test_counts_equal_a_recount_and_are_plain_json(bank, counts):
    for class_id in range(1, 10):
        for number, source in enumerate(bank.sources):
            for split, name in enumerate(SPLITS):
                n = sum(
                    (bank.class_id[i], bank.source[i], bank.split[i]) == (class_id, number, split)
                    for i in range(len(bank))
                )
                assert counts["cells"][CLASSES[class_id].key][source][name] == n
    assert counts["refused"] == {
        "alpha": {"eosinophil": {"area": 70, "cut": 5}},
        "beta": {"healthy_rbc": {"blurred": 2}},
    }
    assert counts["left_out"] == {"alpha": {"no mask": 3}}
    assert counts["duplicates"] == 1
    assert json.loads(json.dumps(counts)) == counts


def test_the_tables_show_every_figure_in_aligned_columns(bank, counts):
    accepted, reasons, left_out, duplicates = as_text(counts).split("\n\n")
    head, *rows, total = accepted.splitlines()
    assert head.split() == ["class", "source", "train", "val", "test", "cells", "refused"]
    assert rows[0].split() == ["eosinophil", "alpha", "3", "3", "3", "9", "75"]
    assert total.split() == ["total", "54", "54", "54", str(len(bank)), "77"]
    assert len({len(line) for line in (head, *rows, total)}) == 1
    assert [line.split()[2:4] for line in reasons.splitlines()[1:]] == [["area", "70"], ["cut", "5"], ["blurred", "2"]]
    assert "no mask" in left_out
    assert duplicates.endswith(": 1")


def test_classes_that_gave_no_cell_still_show_their_refusals():
    refusals = Counter({("alpha", 8, "no_contrast"): 4})
    bare = synthetic_bank(per_class=1, shrink=0.6)
    counts = count_cells(made_of(bare, refusals))
    assert "no_contrast" in as_text(counts)


def test_every_class_source_and_reason_has_its_cells_with_contours(bank):
    cells = [refused("blurred", 200), refused("cut", 100), *[refused("cut", 50)] * 20]
    without, pages = (np.concatenate([np.asarray(p) for p in draw_gallery(bank, some)]) for some in ([], cells))

    def more(colour):
        return int((pages == colour).all(axis=2).sum() - (without == colour).all(axis=2).sum())

    assert more(CONTOUR) > 7 * 200
    assert more(200) > 1000
    assert more(50) / more(200) == pytest.approx(5, rel=0.05)


def test_pages_fit_a_screen_and_each_has_the_legend(bank):
    cells = [refused(reason, 90) for reason in "abcdefghijklmnopqrst"]
    pages = [np.asarray(page) for page in draw_gallery(bank, cells)]
    assert len(pages) > 1
    for page in pages:
        assert page.shape == (1000, 1800, 3)
        assert (page[:30] == CONTOUR).all(axis=2).any()
        assert (page[40:] != 255).any()
        assert (page[-1] == 255).all(), "no cell is cut by the lower edge"


def test_a_cell_is_shown_twice_enlarged_with_and_without_its_contour():
    """One cell alone: green runs along half alpha in the left copy and nowhere in the right one."""
    bank = synthetic_bank(per_class=1)
    rgba = bank.rgba(0)
    page = np.asarray(draw_gallery(bank, [])[0])
    green = (page == CONTOUR).all(axis=2)
    green[:40] = False  # the legend
    top = int(np.flatnonzero(green.any(axis=1))[0])
    width = 2 * rgba.shape[1]
    tile = green[top - 20 : top + 2 * rgba.shape[0], : 6 + 2 * width]
    columns = np.flatnonzero(tile.any(axis=0))
    assert columns[-1] < 6 + width
    solid = np.flatnonzero((rgba[..., 3] >= 128).any(axis=0))
    assert columns[0] == pytest.approx(6 + 2 * solid[0], abs=2)
    assert columns[-1] == pytest.approx(6 + 2 * solid[-1] + 1, abs=2)
