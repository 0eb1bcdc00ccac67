"""verify: what an index says is believed only where the set bears it out."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from forged_set import forged_index
from mostly_slow import mostly_slow
from small_set import small_build
from verified_set import errors, verify

from smearsynth.base.errors import UserError


class TestIndex:
    @pytest.mark.parametrize("text", ["", "7", "[]", "{", "{}", "[" * 100_000, '{"format_version": null}', "\xff"])
    def test_what_is_no_index(self, out: Path, text: str) -> None:
        (out / "index.json").write_text(text, encoding="latin-1")
        found = verify(out)
        assert {error.file for error in found.errors} == {"index.json"}
        assert not found.whole

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        mostly_slow(
            ("splits.train.pixels.healthy_rbc", 7, "splits.train.pixels.healthy_rbc is 7, and the shards hold "),
            ("splits.val.objects.neutrophil", 99, "splits.val.objects.neutrophil is 99, and the shards hold "),
            ("splits.test.combinations.none/mixed", 5, "splits.test.combinations.none/mixed is 5, and the shards hold"),
            ("splits.train.class_by_source.monocyte.alpha", 50, "splits.train.class_by_source.monocyte.alpha is 50"),
            ("splits.train.cells.monocyte.gamma", 1, "splits.train.cells.monocyte.gamma is 1, and .* null"),
            ("splits.val.area.monocyte.alpha", 1, "splits.val.area.monocyte.alpha is 1, and the shards hold "),
            ("splits.train.shards", 2, "splits.train.shards is 2, and the shards hold 1"),
            ("splits.val.scenes", 4, "splits.val.scenes is 4, and the shards hold 3"),
            ("samples", 10, "samples is 10, and its shards have 9"),
            ("scenes", 8, "scenes is 8, and its shards have 9"),
            ("digest", "ab" * 32, "digest is abab.*, and the samples give"),
            ("classes.3.colour", "#ffffff", r'classes\[3\].colour is "#ffffff", and "#fbbebe" in format 1'),
            ("um_per_px", 0.25, "um_per_px is 0.25, and 0.2 in format 1"),
            ("fields.1", "sell", r'fields\[1\] is "sell", and "cell"'),
            ("files.0.first_scene", 3, "train-00000.h5: first_scene is 3, and 0 scenes are before it"),
            ("files.0.scenes", 2, "train-00000.h5: 3 samples of 2 scenes in 1 looks"),
            ("files.1.name", "val-00001.h5", "val-00001.h5 is listed where val-00000.h5 belongs"),
            ("files.1.name", "README.md", "README.md is listed 2 times"),
            ("bank_digest", "ab" * 32, "cells.h5: its digest is .* another bank"),
            ("recipe_hash", "ab" * 32, "recipe.resolved.yaml: its hash is .*, and `recipe_hash` abab"),
            ("name", "other", 'recipe.resolved.yaml: name is "small", and "other" in index.json'),
            ("size.0", 96, "train-00000.h5: image is uint8"),
            ("looks.0", "x", r"recipe.resolved.yaml: looks\[0\] is \"natural\", and \"x\""),
            ("generator_version", 77, "train-00000.h5: attribute generator_version is .*, must be 77"),
            ("samples", 1e3, "samples: Input should be a valid integer"),
            ("splits.val", {}, "splits.val.scenes: Field required"),
            ("scenes", -1, "scenes: Input should be greater than or equal to 0"),
            ("files.0.samples", 2**52, "train-00000.h5: image is uint8"),
        ),
    )
    def test_a_figure_that_was_changed_and_sealed_again(self, out: Path, path: str, value: Any, message: str) -> None:
        *parents, last = (int(key) if key.isdecimal() else key for key in path.split("."))
        with forged_index(out) as index:
            inner: Any = index
            for key in parents:
                inner = inner[key]
            inner[last] = value
        assert any(re.search(message, error) for error in errors(out))

    def test_an_index_of_an_earlier_smearsynth_tells_no_areas(self, out: Path) -> None:
        with forged_index(out) as index:
            for split in index["splits"].values():
                del split["area"]
        assert not any("area" in error for error in errors(out))

    def test_text_that_no_file_can_hold_is_an_error(self, out: Path) -> None:
        index = json.loads((out / "index.json").read_text())
        index["sources"][0]["name"] = index["name"] = "half a character: \ud800"
        rest = {key: value for key, value in index.items() if key != "seal"}
        index["seal"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
        (out / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
        found = verify(out)
        assert "index.json" in {error.file for error in found.errors}
        str(found).encode()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (('"samples": 9', '"samples": 9,\n "samples": 9'), 'the key "samples" stands there twice'),
            (('"samples": 9', '"samples": 10,\n "samples": 9'), 'the key "samples" stands there twice'),
            (('"um_per_px": 0.2', '"um_per_px": NaN'), "NaN is no JSON number"),
            (('"um_per_px": 0.2', '"um_per_px": Infinity'), "Infinity is no JSON number"),
            (('"samples": 9', f'"samples": {"9" * 5000}'), "cannot be read as an index"),
            (('"samples": 9', f'"samples": {"[" * 5000}'), "cannot be read as an index"),
        ],
    )
    def test_text_with_two_readings(self, out: Path, change: tuple[str, str], message: str) -> None:
        text = (out / "index.json").read_text()
        assert change[0] in text
        (out / "index.json").write_text(text.replace(*change, 1))
        (error,) = errors(out)
        assert message in error

    def test_the_notes_of_a_build_that_are_no_json_stop_a_resume(self, built: Path, out: Path) -> None:
        for text in ("[" * 10**5, '{"shards": NaN}', '{"a": 1, "a": 2}'):
            (out / ".smearsynth/identity.json").write_text(text)
            with pytest.raises(UserError, match=r"identity\.json cannot be read .*nothing can be resumed"):
                small_build(built, out, limit=3, resume=True)

    def test_white_space_says_nothing(self, out: Path) -> None:
        index = json.loads((out / "index.json").read_text())
        (out / "index.json").write_text(json.dumps(index))
        assert verify(out).whole
