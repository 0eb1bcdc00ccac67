"""`croissant.json`: judged and read by the mlcroissant package, and held against the shards by h5py alone."""

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from small_set import COUNT, SOURCE, prepare, small_build

from smearsynth import taxonomy
from smearsynth.bank.bank_file import load_bank
from smearsynth.dataset import layout
from smearsynth.dataset.card import make_card
from smearsynth.dataset.croissant import make_croissant

if TYPE_CHECKING:
    from mlcroissant import Dataset

ABOUT = (
    'about={version: 1.2.0, creators: ["A. Ward & Sons"], url: "https://example.org/small", published: "2026-02-28", '
    "limits: [All monocytes are young.]}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`, built with two looks by a named author."""
    path = tmp_path_factory.mktemp("croissant")
    prepare(path)
    small_build(path, path / "set", "looks=[natural, reference]", ABOUT)
    return path


@pytest.fixture
def index(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "set/index.json").read_text())


@pytest.fixture
def told(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "set/croissant.json").read_text())


def judged(croissant: dict[str, Any], folder: Path) -> "Dataset":
    """As mlcroissant reads it, which takes seconds to load; an error or a warning is a failure."""
    from mlcroissant import Dataset

    path = folder / "judged.json"
    path.write_text(json.dumps(croissant))
    dataset = Dataset(jsonld=path)
    assert (dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.warnings) == (set(), set())
    return dataset


def records(dataset: "Dataset", name: str) -> list[dict[str, Any]]:
    """Rows of a record set as mlcroissant gives them, bytes as text."""
    plain = [{key.split("/")[1]: value for key, value in row.items()} for row in dataset.records(name)]
    return [{key: v.decode() if isinstance(v, bytes) else v for key, v in row.items()} for row in plain]


@pytest.fixture(scope="module")
def dataset(folder: Path) -> "Dataset":
    from mlcroissant import Dataset

    return Dataset(jsonld=folder / "set/croissant.json")


def test_it_is_croissant_1_1_without_error_or_warning(
    told: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="absl"):
        metadata = judged(told, tmp_path).metadata
    assert caplog.messages == []
    assert metadata.ctx.is_v1_1()
    assert (metadata.name, metadata.version, metadata.url) == ("small", "1.2.0", "https://example.org/small")
    assert metadata.date_published is not None
    assert metadata.date_published.date().isoformat() == "2026-02-28"
    assert [creator.name for creator in metadata.creators] == ["A. Ward & Sons"]


def test_no_key_of_it_is_lost_on_the_reader(told: dict[str, Any], dataset: "Dataset") -> None:
    assert set(told) <= set(dataset.metadata.to_json()) | {"isLiveDataset"}


@pytest.mark.parametrize("publish", [False, True])
def test_every_file_that_is_handed_on_is_there_with_its_checksum(folder: Path, tmp_path: Path, publish: bool) -> None:
    small_build(folder, tmp_path / "set", "count={val: 2}", "name=s", *(["publish=true", *NAMED] if publish else []))
    out = tmp_path / "set"
    distribution = json.loads((out / "croissant.json").read_text())["distribution"]
    files = {file["contentUrl"]: file for file in distribution if file["@type"] == "cr:FileObject"}
    there = {path.name for path in out.iterdir() if path.is_file()} - {"index.json", "croissant.json"}
    assert set(files) == (there if publish else there - {"cells.h5"})
    for name, file in files.items():
        content = (out / name).read_bytes()
        assert (file["sha256"], file["contentSize"]) == (hashlib.sha256(content).hexdigest(), f"{len(content)} B")


NAMED = [
    "sources=[{kind: crops, root: x, name: alpha, redistribution: allowed}, "
    "{kind: crops, root: y, name: beta, redistribution: allowed}]"
]


def test_the_file_set_is_the_shards(folder: Path, dataset: "Dataset", index: dict[str, Any]) -> None:
    (shards,) = dataset.metadata.file_sets
    found = {path.name for pattern in shards.includes for path in (folder / "set").glob(pattern)}
    assert found == {file["name"] for file in index["files"] if "split" in file}


def test_every_record_set_can_be_loaded_and_is_what_the_shards_hold(folder: Path, dataset: "Dataset") -> None:
    loaded = {record_set.name: records(dataset, record_set.id) for record_set in dataset.metadata.record_sets}
    assert {row["name"]: row["samples"] for row in loaded["splits"]} == {split: 2 * n for split, n in COUNT.items()}
    assert {row["url"] for row in loaded["splits"]} == {"cr:TrainingSplit", "cr:ValidationSplit", "cr:TestSplit"}
    classes = {row["id"]: (row["key"], row["name"], row["colour"]) for row in loaded["classes"]}
    assert classes == {c.id: (c.key, c.name, c.colour) for c in taxonomy.CLASSES}
    assert [row["name"] for row in loaded["sources"]] == ["alpha", "beta"]
    bank = load_bank(folder / "bank.h5")
    objects: Counter[tuple[str, ...]] = Counter()
    for row in loaded["shard_files"]:
        with h5py.File(folder / "set" / row["file"]) as shard:
            assert (row["split"], row["samples"]) == (shard.attrs["split"], len(shard["label"]))
            assert row["first_scene"] == shard["scene"][0]
            for table, used in zip(shard["objects"], shard["object_count"], strict=True):
                for class_id, cell in table[:used, :2]:
                    key = taxonomy.CLASSES[class_id].key
                    objects[row["split"], key, bank.sources[bank.source[cell]]] += 1
    told = {(row["split"], row["class"], row["source"]): row["objects"] for row in loaded["objects_by_source"]}
    assert {key: count for key, count in told.items() if count} == dict(objects)
    assert all(row["cells"] == 2 for row in loaded["objects_by_source"])


def test_the_fields_of_a_sample_are_those_of_a_shard(folder: Path, dataset: "Dataset") -> None:
    fields = {row["name"]: row for row in records(dataset, "sample_fields")}
    with h5py.File(folder / "set/train-00000.h5") as shard:
        assert set(fields) == set(shard)
        for name, data in shard.items():
            kind = np.dtype(fields[name]["dtype"])
            assert data.dtype == kind or (data.dtype.kind, kind.itemsize) == (kind.kind, 0), name
            shape = tuple(int(side) for side in fields[name]["shape"].split(",") if side)
            assert len(shape) == data.ndim - 1, name
            assert all(told in (-1, side) for told, side in zip(shape, data.shape[1:], strict=True)), name


def test_the_card_says_the_same_in_the_same_words(index: dict[str, Any], tmp_path: Path) -> None:
    index |= {"sources": [{"name": "alpha", **SOURCE}, {"name": "beta", **SOURCE, "licence": "of a hospital"}]}
    told, card = make_croissant(index), make_card(index)
    dataset = judged(told, tmp_path)
    sentences = [
        told["description"],
        told["citeAs"],
        *told["citation"],
        *told["rai:dataLimitations"],
        *told["rai:dataAnnotationProtocol"],
        *told["rai:dataPreprocessingProtocol"],
        told["conditionsOfAccess"],
    ]
    assert len(sentences) > 10
    assert told["rai:dataLimitations"][-1] == "All monocytes are young."
    for sentence in sentences:
        assert sentence in card
    assert [licence.name for licence in dataset.metadata.license] == ["CC-BY-4.0", "of a hospital"]
    assert [licence.url for licence in dataset.metadata.license] == ["https://spdx.org/licenses/CC-BY-4.0", None]
    assert records(dataset, "sources")[0] == {
        "name": "alpha",
        **{key: value for key, value in SOURCE.items() if key not in ("refused", "files_left_out")},
        "version": "not stated",
    }
    assert told["rai:dataCollectionMissingData"] == "Refused cells: alpha, monocyte: 7 cut; beta, monocyte: 7 cut."


def test_card_and_croissant_can_be_made_again_from_the_index_alone(folder: Path, index: dict[str, Any]) -> None:
    assert (folder / "set/README.md").read_text() == make_card(index)
    assert (folder / "set/croissant.json").read_text() == layout.json_text(make_croissant(index))


def test_what_nobody_stated_is_left_out(index: dict[str, Any]) -> None:
    index["about"] = {"version": None, "creators": [], "url": None, "published": None, "limits": []}
    told = make_croissant(index)
    assert not {"version", "creator", "url", "datePublished"} & set(told)
    assert "author" not in told["citeAs"]
    assert told["license"][0]["name"].startswith("that of its sources. The set was built from a ready bank")


def test_a_citation_is_bibtex_that_tex_can_set(index: dict[str, Any]) -> None:
    lines = make_croissant(index)["citeAs"].splitlines()
    assert lines[0] == "@misc{small,"
    assert lines[-1] == "}"
    assert dict(line.strip(" ,").split(" = ", 1) for line in lines[1:-1]) == {
        "title": "{small: 56 synthetic blood smears with exact labels}",
        "author": "{{A. Ward \\& Sons}}",
        "year": "{2026}",
        "version": "{1.2.0}",
        "url": "{https://example.org/small}",
        "note": f"{{made by smearsynth, generator version {index['generator_version']}; "
        f"dataset digest {index['digest']}}}",
    }
