"""What decides samples and what does not; the JSON Schema; the recipes that are shipped."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import load_recipe, schema
from smearsynth.recipe.source_options import Kind, SourceSpec
from smearsynth.sources.entry import Redistribution
from smearsynth.sources.listing import DATABASES, read_lock, stated_facts

RECIPES = Path(__file__).parents[1] / "recipes"
TEXT = """
name: first
seed: 0
size: 224
sources:
- {kind: lisc, root: cells}
- {kind: crops, root: more, classes: {a: monocyte, b: null}, um_per_px: 0.1}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("cells", "more", "moved/cells"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "r.yaml").write_text(TEXT)
    return tmp_path / "r.yaml"


class TestHash:
    @pytest.mark.parametrize(
        "override",
        [
            "name=second",
            "count={train: 3}",
            "shards={samples: 7, codec: none}",
            "publish=true",
            "lock=x.lock",
            "about={creators: [A. Ward], version: 1.0.0}",
            "sources[1].version='2'",
            "sources[1].title=Cells",
            "sources[0].root=moved/cells",
            "sources[0].name=cells",
            "sources[1].licence=MIT",
            "sources[1].redistribution=allowed",
            "size=[224, 224]",
            "seed=0",
            "sources[1].classes={b: null, a: monocyte}",
            "scene={}",
            "looks=[{base: natural, name: natural}]",
            "split={train: 0.8, val: 0.1}",
        ],
    )
    def test_the_same_samples_have_the_same_hash(self, file: Path, override: str) -> None:
        assert load_recipe(file, [override]).sample_hash() == load_recipe(file).sample_hash()

    def test_every_other_value_changes_it(self, file: Path) -> None:
        overrides = [
            "seed=1",
            "size=[224, 225]",
            "split={train: 0.7, val: 0.2}",
            "sources[0].name=other",
            "sources[0].kind=iumc",
            "sources[0].exclude=[x/*]",
            "sources[0].um_per_px=0.1",
            "sources[0].calibrate={area: [monocyte]}",
            "sources[1].um_per_px=0.2",
            "sources[1].classes={a: monocyte}",
            "sources[1].also=healthy_rbc",
            "cells.clumps.per_thrombocyte=1.0",
            "cells.mix={monocyte: {cells: 1.0}}",
            "scene.overlap=0.2",
            "scene.border=false",
            "looks=[reference]",
            "looks=[natural, reference]",
            "looks=[{base: natural, name: other}]",
            "looks=[{base: natural, name: natural, glass_range: [200, 201]}]",
        ]
        hashes = [load_recipe(file, [override]).sample_hash() for override in ["seed=0", *overrides]]
        assert len(set(hashes)) == len(hashes)

    def test_the_order_of_sources_decides(self, file: Path) -> None:
        swapped = yaml.safe_load(TEXT)
        swapped["sources"].reverse()
        (file.parent / "s.yaml").write_text(yaml.safe_dump(swapped))
        assert load_recipe(file.parent / "s.yaml").sample_hash() != load_recipe(file).sample_hash()

    def test_it_is_the_same_where_roots_are_elsewhere(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (file.parent / "v.yaml").write_text("sources: [{kind: lisc, root: '${CELLS_HERE}'}]")
        hashes = set()
        for folder in ("cells", "more"):
            monkeypatch.setenv("CELLS_HERE", str(file.parent / folder))
            hashes.add(load_recipe(file.parent / "v.yaml").sample_hash())
        assert len(hashes) == 1


class TestSchema:
    def test_it_is_plain_json_and_closed(self) -> None:
        text = json.loads(json.dumps(schema()))
        assert text["additionalProperties"] is False
        assert text["properties"]["seed"]["maximum"] == 2**63 - 1
        assert text["required"] == ["sources"]

    def test_its_keys_are_those_of_the_models_and_each_is_described(self) -> None:
        whole = schema()
        named = {whole["title"]: whole, **whole["$defs"]}
        for model in models(Recipe):
            properties = named[model.__name__]["properties"]
            assert set(properties) == set(model.model_fields), model
            for key, field in model.model_fields.items():
                assert properties[key].get("description"), f"{model.__name__}.{key}"
                assert field.is_required() or "default" in properties[key] or field.default_factory, key

    def test_the_kinds_are_the_adapters(self) -> None:
        assert set(get_args(Kind)) == set(DATABASES)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all that its fields are made of."""
    yield model
    for field in model.model_fields.values():
        yield from (found for part in parts(field.annotation) for found in models(part))


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
class TestShipped:
    def test_it_loads_and_is_named_like_its_file(self, file: Path) -> None:
        assert load_recipe(file, roots=False).name == file.stem

    def test_no_key_of_it_is_unknown_to_the_schema(self, file: Path) -> None:
        data = yaml.safe_load(file.read_text())
        assert set(data) <= set(Recipe.model_fields)
        for source in data["sources"]:
            assert set(source) <= set(SourceSpec.model_fields)


def test_what_is_to_be_published_may_be_and_its_lock_names_files_of_its_sources() -> None:
    open_recipe = load_recipe(RECIPES / "smear10-open.yaml", roots=False)
    assert open_recipe.publish
    assert {stated_facts(spec).redistribution for spec in open_recipe.sources} == {Redistribution.ALLOWED}
    assert open_recipe.lock_file is not None
    lock = read_lock(open_recipe.lock_file)
    assert {name: len(files) for name, files in lock.items()} == {"kaggle": 1300, "pbc": 1070, "chula": 374}
    assert {spec.name for spec in open_recipe.sources} == set(lock)


def test_the_reference_sizes() -> None:
    assert load_recipe(RECIPES / "smear10.yaml", roots=False).count == {"train": 65350, "val": 6560, "test": 6560}
