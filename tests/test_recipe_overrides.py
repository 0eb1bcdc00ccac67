"""Overrides of a recipe's keys: what they reach, and how their errors are told."""

from pathlib import Path

import pytest
from written_recipes import SOURCE, faults, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cells").mkdir()
    (tmp_path / "more").mkdir()
    return tmp_path


class TestOverrides:
    def test_they_replace_add_and_reach_into_lists(self, folder: Path) -> None:
        text = SOURCE + "seed: 1\nscene: {overlap: 0.1, border: false}"
        recipe = read(folder, text, "seed=3", "scene.overlap=0.2", "shards.codec=none", "sources[0].root=more")
        assert (recipe.seed, recipe.scene.overlap, recipe.scene.border) == (3, 0.2, False)
        assert (recipe.shards.codec, recipe.sources[0].root) == ("none", folder / "more")

    def test_values_are_yaml(self, folder: Path) -> None:
        recipe = read(folder, SOURCE, "looks=[reference, natural]", "count={train: 5}", "size=[64, 96]")
        assert [look.name for look in recipe.looks] == ["reference", "natural"]
        assert (recipe.count["train"], recipe.count["val"], recipe.size) == (5, 0, (64, 96))

    def test_the_last_one_counts(self, folder: Path) -> None:
        assert read(folder, SOURCE, "seed=3", "seed=4").seed == 4

    def test_they_are_held_to_the_rules(self, folder: Path) -> None:
        assert faults(folder, SOURCE, "scene.overlap=2") == [
            "overrides scene.overlap=2: scene.overlap: must be at most 0.5, not 2"
        ]

    def test_they_can_mend_the_file(self, folder: Path) -> None:
        assert read(folder, SOURCE + "seed: nonsense", "seed=5").seed == 5

    @pytest.mark.parametrize(
        ("override", "fault"),
        [
            ("seed", "must read path=value, as in scene.overlap=0.2"),
            ("=3", "must read path=value, as in scene.overlap=0.2"),
            ("a..b=3", "must read path=value, as in scene.overlap=0.2"),
            ("sead=3", 'sead: unknown key: did you mean "seed"?'),
            ("scne.overlap=3", 'scne: unknown key: did you mean "scene"?'),
            ("sources[1].root=x", "sources: has no [1] that could be set: set it as a whole"),
            ("seed.x=3", "seed: has no x that could be set: set it as a whole"),
            ("size[0]=99", "size: has no [0] that could be set: set it as a whole"),
            ("seed=", "seed: must be a whole number, not empty"),
            (
                "seed=[",
                "seed: is not valid YAML (expected the node content, but found '<stream end>'): "
                "check indentation, quotes and brackets there",
            ),
        ],
    )
    def test_one_that_names_no_key_is_a_fault(self, folder: Path, override: str, fault: str) -> None:
        text = SOURCE + "seed: 1\nsize: 224"
        assert faults(folder, text, override) == [f"overrides {override}: {fault}"]

    def test_a_fault_inside_a_replaced_list_is_not_told_at_the_old_line(self, folder: Path) -> None:
        override = "sources=[{kind: lisc, root: gone}]"
        (fault,) = faults(folder, SOURCE, override)
        assert fault.startswith(f"overrides {override}: sources[0].root: gone: no folder is there")
