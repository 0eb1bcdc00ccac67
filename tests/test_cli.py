"""The command line as a user meets it: help, examples, exit codes, what goes to stdout and what to stderr."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from small_set import prepare

from smearsynth.bank.bank_file import load_bank
from smearsynth.cli import main
from smearsynth.recipe.reading import schema

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(main.commands)
HEAVY = ("cv2", "h5py", "numba", "numpy", "pydantic", "scipy", "skimage", "tqdm", "yaml")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe, small.yaml, whose source is not there, and its bank; the working directory."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def mistake(*words: str) -> str:
    """The complaint about what the user gave: exit code 2, nothing on stdout, no traceback."""
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert isinstance(result.exception, SystemExit)
    return result.stderr


class TestHelp:
    def test_it_loads_nothing_heavy(self) -> None:
        asked = [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]
        script = (
            "import sys\nfrom smearsynth.cli import main\n"
            f"for words in {asked}:\n    main(words, prog_name='smearsynth', standalone_mode=False)\n"
            f"print(*(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == ""
        assert all(f"smearsynth {name} [OPTIONS]" in done.stdout for name in COMMANDS)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_an_example_that_parses(self, name: str) -> None:
        lines = [line.strip() for line in (main.commands[name].help or "").splitlines()]
        examples = [shlex.split(line.partition(">")[0])[1:] for line in lines if line.startswith("smearsynth ")]
        assert examples
        for words in examples:
            assert words[0] == name
            context = main.commands[name].make_context(name, words[1:])
            for recipe in (word for word in words if word.endswith(".yaml")):
                assert (ROOT / recipe).is_file()
            context.close()

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_option_is_explained(self, name: str) -> None:
        options = [p for p in main.commands[name].params if isinstance(p, click.Option)]
        assert all(option.help for option in options)


class TestMistakes:
    def test_all_faults_of_a_recipe_one_a_line(self, folder: Path) -> None:
        (folder / "r.yaml").write_text("sead: 1\nsources:\n- {kind: lisc, root: gone}\n")
        expected = [
            f"r.yaml:3: sources[0].root: {folder}/gone: no folder is there: set root to the folder that the database "
            "was unpacked to",
            'r.yaml:1: sead: unknown key: did you mean "seed"?',
        ]
        for command in ("check", "build", "cells", "preview", "bench"):
            assert mistake(command, "r.yaml").splitlines() == expected

    @pytest.mark.parametrize("command", ["check", "build", "cells", "preview", "bench"])
    def test_a_recipe_that_is_not_there(self, folder: Path, command: str) -> None:  # noqa: ARG002
        assert mistake(command, "gone.yaml") == "gone.yaml: is not there: check the path of the recipe\n"

    def test_a_fault_of_a_source(self, folder: Path) -> None:
        (folder / "not-read").mkdir()
        assert mistake("check", "small.yaml").startswith("small.yaml:5: sources[0]: ")

    def test_an_override_is_named(self, folder: Path) -> None:  # noqa: ARG002
        told = mistake("build", "small.yaml", "--bank", "bank.h5", "--set", "scene.overlp=1", "--dry-run")
        assert told == '--set scene.overlp=1: scene.overlp: unknown key: did you mean "overlap"?\n'

    def test_files_to_write_are_refused_before_the_work(self, folder: Path) -> None:
        assert "no/x.png: its folder is not there" in mistake("cells", "small.yaml", "--out", "no/x.png")
        assert "is a directory" in mistake("preview", "small.yaml", "--out", str(folder))

    def test_phantoms_are_not_drawn_over_what_is_there(self, folder: Path) -> None:
        (folder / "lisc").mkdir()
        assert mistake("phantoms", str(folder)) == f"{folder}/lisc: already there; remove it or name another folder\n"

    def test_what_the_machine_refuses_is_a_failure_and_no_mistake(self, folder: Path) -> None:
        (folder / "file").touch()
        result = run("phantoms", "file/drawn")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("The work failed: file/drawn")
        assert len(result.stderr.splitlines()) == 1


class TestResults:
    def test_the_schema_is_printed(self) -> None:
        assert json.loads(run("schema").stdout) == schema()

    def test_build_and_dry_run(self, folder: Path) -> None:
        words = ["build", "small.yaml", "--bank", "bank.h5", "--workers", "1", "--limit", "3", "--json"]
        plan = run(*words, "--dry-run")
        assert plan.exit_code == 0, plan.output
        expected = json.loads(plan.stdout)
        assert (expected["samples"], expected["shards"]) == (9, {"train": 1, "val": 1, "test": 1})
        assert len(expected["combinations"]) == 108
        assert not (folder / "small").exists()
        built = run(*words)
        assert built.exit_code == 0, built.output
        result = json.loads(built.stdout)
        assert {"digest", "smears", "seconds", "per_second", "per_core", "stages_ms", "peak_mb"} <= set(result)
        assert result["smears"] == 9
        assert json.loads((folder / "small" / "index.json").read_text())["digest"] == result["digest"]
        on_disk = sum(file.stat().st_size for file in (folder / "small").glob("*-?????.h5"))
        assert 0.5 < expected["bytes"] / on_disk < 2
        assert "small is not empty" in mistake(*words)
        again = run(*words, "--resume")
        assert json.loads(again.stdout)["digest"] == result["digest"]

    def test_plan_and_result_for_a_person(self, folder: Path) -> None:  # noqa: ARG002
        words = ["build", "small.yaml", "--bank", "bank.h5", "--workers", "1", "--limit", "1"]
        plan = run(*words, "--dry-run").stdout
        assert "splits   train 1 in 1 shards; val 1 in 1 shards; test 1 in 1 shards" in plan
        assert "108 combinations" in plan
        built = run(*words)
        assert built.stdout.startswith("3 smears in small, ")
        assert built.stdout.splitlines()[1].startswith("digest ")

    def test_preview_names_what_it_wrote(self, folder: Path) -> None:
        result = run("preview", "small.yaml", "--bank", "bank.h5", "--workers", "1")
        assert result.stdout == "small.png\n", result.output
        assert (folder / "small.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.slow
    def test_check_tells_what_the_sources_hold(self) -> None:
        result = run("check", str(ROOT / "recipes/quickstart.yaml"), "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["sources"]["kaggle"]["redistribution"] == "allowed"
        total = sum(sum(source["images"].values()) for source in found["sources"].values())
        text = run("check", str(ROOT / "recipes/quickstart.yaml")).stdout
        counted = [
            line.split()
            for line in text.splitlines()
            if line.startswith("  ") and not re.search("left out|scale:", line)
        ]
        assert sum(int(count) for count, _ in counted) == total > 100

    @pytest.mark.slow
    def test_cells_makes_the_bank_it_shows(self, folder: Path) -> None:
        recipe = str(ROOT / "recipes/quickstart.yaml")
        for number in range(2, 50):
            (folder / f"quickstart-cells-{number}.png").write_bytes(b"of an earlier gallery")
        result = run("cells", recipe, "--workers", "1", "--json", "--save", "own.h5")
        assert result.exit_code == 0, result.output
        made = json.loads(result.stdout)
        assert {path.name for path in folder.glob("quickstart-cells*")} == set(made["pages"])
        assert made["gallery"] == "quickstart-cells.png"
        assert (folder / made["gallery"]).read_bytes().startswith(b"\x89PNG")
        saved = load_bank(folder / "own.h5")
        of_sources = [n for n, parts in enumerate(saved.parts) if not parts]
        assert sum(n for source in made["cells"].values() for s in source.values() for n in s.values()) == len(
            of_sources
        )
        assert sum(made["refused"]["iumc"]["neutrophil"].values()) > 0
