"""The adapters on the real databases that lie beside a checkout, where they do."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from smearsynth.base.config_file import ConfigError
from smearsynth.base.images import decode_image, read_bytes, read_mask
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.entry import Listing, Method
from smearsynth.sources.listing import NOT_LOCKED, list_entries, read_lock
from smearsynth.verbs.check import check

RECIPES = Path(__file__).parents[1] / "recipes"
SOURCES = Path(__file__).parents[2] / "shared/sources"
TECOM = {"1": "neutrophil", "2": "lymphocyte", "3": "monocyte", "4": "eosinophil", "5": "basophil"}

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="the real databases are not beside this checkout")


def listing(kind: str, folder: str, **keys: object) -> Listing:
    return list_entries(SourceSpec.model_validate({"kind": kind, "root": SOURCES / folder, **keys}))


def classes(found: Listing) -> dict[str, int]:
    return dict(Counter(entry.class_key for entry in found.entries))


def test_iumc() -> None:
    found = listing("iumc", "iumc")
    assert classes(found) == {"eosinophil": 24, "lymphocyte": 22, "monocyte": 24, "neutrophil": 26}
    assert found.left_out == {}
    assert {entry.method for entry in found.entries} == {Method.OUTLINE}


def test_kaggle_groups_every_cell_by_its_patient() -> None:
    found = listing("kaggle", "kaggle")
    assert classes(found) == {"infected_rbc": 650, "healthy_rbc": 650}
    assert found.left_out == {}
    assert len({entry.group for entry in found.entries}) == 132
    assert len({entry.group for entry in found.entries if entry.class_key == "infected_rbc"}) == 81
    # The number of an infected patient (P91) belongs to one patient alone, so it proves the grouping.
    pairs = {(re.search(r"/C\d+[AB]?(P\d+)", entry.path), entry.group) for entry in found.entries}
    infected = {(match[1], group) for match, group in pairs if match}
    assert len(infected) == len({number for number, _ in infected}) == len({group for _, group in infected})


def test_pbc() -> None:
    found = listing("crops", "pbc", also="healthy_rbc")
    locked = read_lock(RECIPES / "smear10-open.lock")["pbc"]
    assert len(locked) == 1070
    assert locked.keys() <= {entry.path for entry in found.entries}
    assert set(classes(found)) == {"basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil", "thrombocyte"}
    assert min(classes(found).values()) >= 90
    assert found.left_out == {}


def test_tecom() -> None:
    found = listing("crops", "tecom", labels="class_labels.csv", classes=TECOM)
    assert classes(found) == {"neutrophil": 176, "lymphocyte": 53, "monocyte": 48, "eosinophil": 22, "basophil": 1}
    assert found.left_out == {}
    assert all(e.mask == e.path.replace(".bmp", ".png") and e.method is Method.GIVEN for e in found.entries)


@pytest.mark.slow
def test_the_lock_of_the_open_recipe_is_of_these_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMEARSYNTH_SOURCES", str(SOURCES))
    checked = check(RECIPES / "smear10-open.yaml")
    cells = {"kaggle": 1300, "pbc": 1070, "chula": 7311}
    assert {name: len(found.entries) for name, found in checked.listings.items()} == cells
    for name in ("kaggle", "pbc"):
        more = len(listing("crops" if name == "pbc" else name, name).entries) - cells[name]
        assert checked.listings[name].left_out.get(NOT_LOCKED, 0) == more


def test_what_may_not_be_published_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMEARSYNTH_SOURCES", str(SOURCES))
    assert check(RECIPES / "smear10-research.yaml").recipe.scene.classes() == set(range(1, 10))
    with pytest.raises(ConfigError) as caught:
        check(RECIPES / "smear10-research.yaml", overrides=["publish=true"])
    assert [error.key for error in caught.value.errors] == [("sources", 0), ("sources", 3)]
    assert all("set publish: false" in error.sentence for error in caught.value.errors)


def test_tecom_masks_are_the_cells() -> None:
    for entry in listing("crops", "tecom", labels="class_labels.csv", classes=TECOM).entries[::30]:
        assert entry.mask is not None
        image = decode_image(read_bytes(SOURCES / "tecom" / entry.path), entry.path)
        mask = read_mask(SOURCES / "tecom" / entry.mask, shape=image.shape[:2])
        # A stained cell absorbs green more than the ground does.
        assert np.median(image[mask > 0][:, 1]) < np.median(image[mask == 0][:, 1]) - 20
