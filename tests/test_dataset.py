"""The index, card and contact sheet of a dataset, against a recount of its shards by h5py and numpy alone."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import small_set
from PIL import Image
from small_set import COUNT, contents, prepare, small_build

from smearsynth import taxonomy
from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError
from smearsynth.dataset.card import make_card
from smearsynth.dataset.contact_sheet import chosen
from smearsynth.engines.build_plan import make_plan
from smearsynth.verbs.build import build
from smearsynth.verbs.preparation import read_recipe
from smearsynth.verbs.preview import preview

KEYS = [c.key for c in taxonomy.CLASSES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`, built with two looks."""
    path = tmp_path_factory.mktemp("dataset")
    prepare(path)
    small_build(path, path / "set", "looks=[natural, reference]")
    return path


@pytest.fixture
def index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "set/index.json").read_text())


@pytest.fixture(scope="module")
def bank(folder: Path) -> Bank:
    return load_bank(folder / "bank.h5")


def rows(folder: Path, split: str) -> list[dict[str, np.ndarray]]:
    found = []
    for path in sorted((folder / "set").glob(f"{split}-*.h5")):
        with h5py.File(path) as file:
            found += [{name: file[name][row] for name in file} for row in range(len(file["label"]))]
    return found


def named(split_rows: list[dict[str, np.ndarray]]) -> Counter[str]:
    """Combination names, spelled out here once more from the classes present."""
    backgrounds = ["none", "healthy", "infected", "mixed"]
    names: Counter[str] = Counter()
    for row in split_rows:
        keys = [KEYS[c] for c in range(1, 8) for _ in range(row["foreground"][c - 1])]
        names["+".join(keys or ["none"]) + "/" + backgrounds[row["background"]]] += 1
    return names


@pytest.mark.parametrize("split", COUNT)
def test_counts_of_the_index_are_those_of_the_shards(
    folder: Path, index: dict[str, Any], bank: Bank, split: str
) -> None:
    told, found = index["splits"][split], rows(folder, split)
    assert (told["scenes"], told["samples"]) == (COUNT[split], 2 * COUNT[split]) == (len(found) // 2, len(found))
    pixels = sum(np.bincount(row["label"].ravel(), minlength=10) for row in found)
    assert told["pixels"] == dict(zip(KEYS, pixels.tolist(), strict=True))
    by_source: dict[str, Counter[str]] = {key: Counter() for key in KEYS[1:]}
    for row in found:
        objects = row["objects"][: row["object_count"]]
        for class_id, cell in objects[:, :2]:
            by_source[KEYS[class_id]][bank.sources[bank.source[cell]]] += 1
        assert np.bincount(objects[:, 0], minlength=10)[1:].tolist() == row["foreground"].tolist()
        assert len(np.unique(row["instance"])) - 1 == row["object_count"]
    assert told["class_by_source"] == {key: dict(counts) for key, counts in by_source.items()}
    assert told["objects"] == {key: counts.total() for key, counts in by_source.items()}
    assert told["combinations"] == dict(named(found))
    assert told["cells"]["monocyte"] == {"alpha": 2, "beta": 2}


def test_dropped_cells_are_those_of_the_plans(folder: Path, index: dict[str, Any], bank: Bank) -> None:
    plan = make_plan(read_recipe(folder / "small.yaml", (), roots=False), bank, folder / "set")
    for split, count in COUNT.items():
        assert index["splits"][split]["dropped"] == sum(plan.planner.plan(split, i).dropped for i in range(count))


def test_the_index_lists_every_file_with_size_and_checksum(folder: Path, index: dict[str, Any]) -> None:
    found = {
        k: v for k, v in contents(folder / "set").items() if not k.startswith(".smearsynth/") and k != "index.json"
    }
    assert {f["name"]: f["sha256"] for f in index["files"]} == found
    assert all((folder / "set" / f["name"]).stat().st_size == f["size"] for f in index["files"])
    shards = [f for f in index["files"] if "split" in f]
    for split, count in COUNT.items():
        firsts = [(f["first_scene"], f["scenes"]) for f in shards if f["split"] == split]
        assert firsts == [(i, min(3, count - i)) for i in range(0, count, 3)]
    assert sum(f["samples"] for f in shards) == index["samples"]


def test_the_index_says_what_the_samples_are_made_from(folder: Path, index: dict[str, Any], bank: Bank) -> None:
    with h5py.File(folder / "set/val-00000.h5") as file:
        assert index["recipe_hash"] == file.attrs["recipe_hash"]
        assert index["bank_digest"] == file.attrs["bank_digest"] == bank.digest
        assert index["looks"] == file.attrs["looks"].tolist() == ["natural", "reference"]
        assert index["fields"] == file["objects"].attrs["fields"].tolist()
    assert index["size"] == [72, 96]
    assert [c["key"] for c in index["classes"]] == KEYS


SOURCE = {
    **small_set.SOURCE,
    "version": "2",
    "licence": "CC BY 4.0",
    "cite": "Somebody | 2020",
    "refused": {"monocyte": {"cut by the border": 7}},
}


def test_the_card_tells_counts_licence_grouping_and_refusals(index: dict[str, Any]) -> None:
    known = {**index, "sources": [{"name": "alpha", **SOURCE}, {"name": "beta", **SOURCE, "patients_known": True}]}
    card = make_card({**known, "publish": False})
    assert "56 synthetic blood smears of 96x72 px" in card
    assert "| alpha | A ward's own cells | 2 | CC BY 4.0 | allowed | 0.1234 | Somebody \\| 2020 |" in card
    assert "alpha: patients are unknown and only the image could be the group" in card
    assert "beta: cells are split by image; no patient is in two splits" in card
    assert f"| beta | 1,234 | `{'ab' * 32}` |" in card
    assert "| alpha | monocyte | cut by the border | 7 |" in card
    train = index["splits"]["train"]
    share = train["pixels"]["healthy_rbc"] / sum(train["pixels"].values())
    assert f"| 9 Healthy RBC | {train['objects']['healthy_rbc']:,} ({share:.2%}) |" in card
    cell = f"{train['class_by_source']['monocyte']['alpha']} (2)"
    assert f"| Monocyte | {cell} |" in card
    assert "Not for publication" in card
    assert "Not for publication" not in make_card({**known, "publish": True})


def test_the_card_names_the_limits_that_the_counts_show(index: dict[str, Any]) -> None:
    for split in COUNT:
        index["splits"][split]["class_by_source"] = {key: {"alpha": 2, "beta": 1} for key in KEYS[1:]}
    card = make_card(index)
    assert "the class with the fewest has 4 in train (Eosinophil), 4 in val (Eosinophil), 4 in test" in card
    assert "may learn the source" not in card
    assert "assembled" not in card
    for split in COUNT:
        index["splits"][split]["class_by_source"]["basophil"] = {"alpha": 1}
        index["splits"][split]["class_by_source"]["monocyte"] = {"alpha": 1} if split == "train" else {}
    index["splits"]["val"]["assembled"] = {"platelet_clump": 3}
    card = make_card(index)
    assert (
        "All cells of Basophil, Monocyte are from alpha: a network may learn the source instead of the class." in card
    )
    assert "Cells of Platelet clump are assembled from single thrombocytes of the same split." in card


def test_the_card_names_areas_that_are_far_from_the_taxonomy(folder: Path, index: dict[str, Any]) -> None:
    bank = load_bank(folder / "bank.h5")
    for number, split in enumerate(COUNT):
        for c in taxonomy.CLASSES[1:]:
            for source, name in enumerate(bank.sources):
                mine = (bank.split == number) & (bank.class_id == c.id) & (bank.source == source)
                told = index["splits"][split]["area"][c.key]
                assert told[name] == int(bank.area[mine].mean())
                told[name] = c.area
    assert "far from those of the taxonomy" not in make_card(index)
    for split, cells, area in (("train", 8, 600), ("val", 1, 500), ("test", 1, 520)):
        index["splits"][split]["cells"]["thrombocyte"]["beta"] = cells
        index["splits"][split]["area"]["thrombocyte"]["beta"] = area
    index["splits"]["val"]["area"]["monocyte"]["alpha"] = 6694 * 3 // 2
    told = "Mean areas of cells that are far from those of the taxonomy: Thrombocyte from beta 582 px (taxonomy 244)."
    assert told in make_card(index)
    for split in COUNT:
        del index["splits"][split]["area"]
    assert "far from those of the taxonomy" not in make_card(index)


@pytest.mark.slow
def test_a_set_from_sources_tells_of_them_and_locks_their_files(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[1] / "recipes/quickstart.yaml"
    files = []
    for options in ({}, {"resume": True}):
        build(recipe, out=tmp_path / "set", limit=2, workers=1, progress=False, **options)
        index = json.loads((tmp_path / "set/index.json").read_text())
        told = {source["name"]: source for source in index["sources"]}
        assert list(told) == ["lisc", "iumc", "mamic", "kaggle"]
        assert (told["lisc"]["redistribution"], told["kaggle"]["grouping"]) == ("allowed", "patient")
        assert all(source["title"].startswith("drawn phantoms") for source in told.values())
        locked = dict(line.split("  ")[::-1] for line in (tmp_path / "set/sources.lock").read_text().splitlines())
        assert list(locked) == sorted(locked, key=lambda path: (list(told).index(path.split("/")[0]), path))
        for path, sha in locked.items():
            content = (recipe.parent.parent / "sample_sources" / path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == sha
        bank = load_bank(tmp_path / "set/cells.h5")
        for source in told.values():
            lines = [f"{sha}  {path}\n" for path, sha in locked.items() if path.startswith(f"{source['name']}/")]
            sha = hashlib.sha256("".join(lines).encode()).hexdigest()
            assert (source["files"], source["sha256"], source["version"]) == (len(lines), sha, None)
        used = {(f"{bank.sources[s]}/{p}", sha) for s, p, sha in zip(bank.source, bank.paths, bank.sha256, strict=True)}
        assert used < set(locked.items())  # masks and refused cells have files too
        files.append(contents(tmp_path / "set"))
    assert files[0] == files[1]
    locked_build = ["name=other", f"lock={tmp_path}/set/sources.lock"]
    again = build(recipe, out=tmp_path / "other", limit=2, workers=1, progress=False, overrides=locked_build)
    assert again.digest == index["digest"]
    assert contents(tmp_path / "other")["sources.lock"] == files[0]["sources.lock"]
    assert "lock: sources.lock\n" in (tmp_path / "other/recipe.resolved.yaml").read_text()


def test_the_card_of_a_set_from_a_ready_bank_names_the_sources(folder: Path) -> None:
    card = (folder / "set/README.md").read_text()
    assert "a ready bank of cells, and nothing but the names is known of its sources alpha, beta." in card


def test_the_five_lines_of_the_card_run(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    code = (folder / "set/README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) == 5
    monkeypatch.chdir(folder / "set")
    exec(code)
    assert "train-00000000" in capsys.readouterr().out


def test_the_sheet_shows_images_beside_labels_in_the_colours_of_the_classes(folder: Path) -> None:
    sheet = np.asarray(Image.open(folder / "set/preview.png"))
    first = rows(folder, "train")[:2]
    colours = np.array([c.rgb for c in taxonomy.CLASSES], np.uint8)
    expected = [first[0]["image"], first[1]["image"], colours[first[0]["label"]]]
    for number, picture in enumerate(expected):
        x = 8 + number * (96 + 2)
        np.testing.assert_array_equal(sheet[8 : 8 + 72, x : x + 96], picture)
    seen = set(map(tuple, sheet[-70:].reshape(-1, 3)))
    assert seen >= {c.rgb for c in taxonomy.CLASSES}  # the legend


def test_preview_draws_the_same_smears_from_the_recipe_as_from_the_dataset(folder: Path, tmp_path: Path) -> None:
    from_recipe = preview(
        folder / "small.yaml",
        out=tmp_path / "r.png",
        bank=folder / "bank.h5",
        overrides=["looks=[natural, reference]", "count={train: 3}"],
    )
    from_dataset = preview(folder / "set", out=tmp_path / "d.png")
    np.testing.assert_array_equal(np.asarray(Image.open(from_recipe)), np.asarray(Image.open(from_dataset)))


def test_preview_leaves_a_dataset_as_it_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder / "set")
    monkeypatch.chdir(tmp_path)
    assert preview(folder / "set") == Path("set.png")
    assert (tmp_path / "set.png").is_file()
    assert contents(folder / "set") == before
    with pytest.raises(UserError, match=r"is a dataset, which is shown as it is: .* \(bank, overrides\)"):
        preview(folder / "set", overrides=["seed=1"])


def test_preview_of_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no shards"):
        preview(tmp_path)


@pytest.mark.parametrize("scenes", [1, 5, 12, 107, 5000])
def test_the_sheet_takes_different_scenes_spread_over_the_combinations(scenes: int) -> None:
    picked = chosen(scenes)
    assert len(set(picked)) == len(picked) == min(scenes, 12)
    assert max(picked) < min(scenes, 108)
    if scenes >= 107:
        assert {i % 3 for i in picked} == {0, 1, 2}  # all backgrounds


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    shutil.copytree(root / "sample_sources", tmp_path / "sample_sources")
    shutil.copytree(root / "recipes", tmp_path / "recipes")
    (tmp_path / "sample_sources/iumc/Monocytes_1.bmp").write_bytes(b"BM, but no bitmap")
    result = build(
        tmp_path / "recipes/quickstart.yaml",
        out=tmp_path / "set",
        overrides=["publish=false"],
        limit=1,
        workers=1,
        progress=False,
    )
    assert len(result.unread) == 1
    assert result.unread[0].startswith("iumc: Monocytes_1.bmp: cannot be read as an image")
    told = {source["name"]: source for source in json.loads((tmp_path / "set/index.json").read_text())["sources"]}
    assert told["iumc"]["refused"]["monocyte"]["unreadable"] == 1
