"""verify: a whole set passes however it was built, what is none is refused, and the command says so."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from forged_set import forged_index
from small_set import contents, small_build
from synthetic_bank import synthetic_bank
from verified_set import flipped, verify

from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError
from smearsynth.cli import main


class TestWhole:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "overrides",
        [
            [],
            ["looks=[natural, reference]", "shards={samples: 4}"],
            ["shards={samples: 5, codec: none}"],
            ["count={val: 4}"],
        ],
    )
    def test_a_build_passes_with_one_worker_and_with_two(
        self, built: Path, tmp_path: Path, overrides: list[str]
    ) -> None:
        built = small_build(built, tmp_path / "set", *overrides)
        before = contents(tmp_path / "set")
        for workers in (1, 2):
            found = verify(tmp_path / "set", labels=True, workers=workers)
            assert (found.errors, found.unchecked, found.whole, found.labels) == ((), (), True, True)
            assert (found.digest, found.samples) == (built.digest, built.smears)
        assert contents(tmp_path / "set") == before

    @pytest.mark.slow
    def test_a_set_that_grew_by_resume_passes(self, built: Path, out: Path) -> None:
        small_build(built, out, limit=9, resume=True)
        assert verify(out, labels=True).whole

    @pytest.mark.slow
    @pytest.mark.parametrize("notes", [True, False])
    def test_what_can_not_be_checked_of_a_set_that_was_handed_on_is_said(
        self, built: Path, out: Path, notes: bool
    ) -> None:
        """With the notes of its build and without, which no reader of the set needs."""
        (out / "cells.h5").unlink()
        if not notes:
            shutil.rmtree(out / ".smearsynth")
        found = verify(out)
        assert found.whole
        assert [sentence.split(":")[0] for sentence in found.unchecked] == ["where objects come from"]
        given = verify(out, labels=True, bank=built / "bank.h5")
        assert (given.whole, given.labels, given.unchecked) == (True, True, ())


class TestRefusals:
    def test_what_is_no_dataset(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "gone"):
            with pytest.raises(UserError, match=r"index\.json is missing: no dataset"):
                verify(path)

    def test_a_newer_format(self, out: Path) -> None:
        with forged_index(out) as index:
            index["format_version"] = 3
        with pytest.raises(UserError, match=r"index\.json: format version 3 is newer .* upgrade"):
            verify(out)

    def test_labels_without_a_bank(self, out: Path) -> None:
        (out / "cells.h5").unlink()
        with pytest.raises(UserError, match=r"without cells\.h5: name its bank.* \(bank\)"):
            verify(out, labels=True)

    def test_another_bank(self, out: Path, tmp_path: Path) -> None:
        bank_file.save_bank(synthetic_bank(per_class=1), tmp_path / "other.h5")
        with pytest.raises(UserError, match=r"other\.h5: its digest is .* another bank"):
            verify(out, bank=tmp_path / "other.h5")
        (tmp_path / "text.h5").write_text("no bank")
        with pytest.raises(UserError, match=r"text\.h5: not a whole bank"):
            verify(out, bank=tmp_path / "text.h5")


class TestCommand:
    def run(self, *words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["verify", *words, "--workers", "1"])
        return result.exit_code, result.stdout, result.stderr

    def test_exit_codes_and_text(self, out: Path) -> None:
        code, text, _ = self.run(str(out), "--labels")
        assert (code, text.startswith(f"{out}: whole; 9 samples read, every label derived again in ")) == (0, True)
        (out / "more").touch()
        code, text, _ = self.run(str(out))
        assert (code, text.splitlines()[0]) == (1, "more: is not in index.json")
        assert f"{out}: 1 error; 9 samples read" in text
        code, text, complaint = self.run(str(out / "gone"))
        assert (code, text, complaint.count("\n")) == (2, "", 1)

    def test_json(self, out: Path) -> None:
        flipped(out / "README.md", 5, 1)
        code, text, _ = self.run(str(out), "--json")
        found = json.loads(text)
        assert (code, found["whole"], found["samples"]) == (1, False, 9)
        assert [(error["file"], error["sample"]) for error in found["faults"]] == [("README.md", "")]
