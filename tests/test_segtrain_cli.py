"""The command line: light help, exit codes, one sentence for a mistake, JSON for machines."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from shard_set import picture, write_set, write_shard

import segtrain
from segtrain.cli import main

TINY = ("-s", "model.width=2", "-s", "epochs=1", "-s", "batch=4")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "tiny", size=(16, 16), train=8, val=4, test=4)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    overrides = [key for key in TINY if key != "-s"]
    return segtrain.fit(data, overrides=overrides, run=tmp_path_factory.mktemp("runs") / "run", pictures=False).run


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom segtrain.cli import main\n"
        "main(['fit', '--help'], standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'h5py', 'cv2', 'matplotlib'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "--resume" in said
    assert said.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"segtrain {'fit' if command == 'models' else command}" in result.stdout.partition("Example")[2]


class TestFit:
    def test_it_trains_and_prints_its_summary_as_json(self, data: Path, tmp_path: Path) -> None:
        result = call("fit", data, *TINY, "--overfit", 4, "--run", tmp_path / "run", "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert said["finished"] is True
        assert said["reason"] == "all 1 epochs are done"
        assert json.loads((tmp_path / "run" / "summary.json").read_text()) == said
        assert "overfit: 4" in (tmp_path / "run" / "config.yaml").read_text()
        made = {file.name for file in (tmp_path / "run").iterdir()}
        assert made >= {
            "config.yaml",
            "metrics.csv",
            "speed.csv",
            "summary.json",
            "last.pt",
            "best.pt",
            "log.txt",
            "curves.png",
            "confusion.png",
            "gallery.png",
        }

    @pytest.mark.slow
    def test_what_could_not_be_measured_is_null(self, tmp_path: Path) -> None:
        data = write_set(tmp_path / "set", size=(16, 16), train=4, val=1)
        ignored = picture("val", 0, (16, 16))
        ignored.label[:] = 255
        write_shard(data / "val-00000.h5", "val", [ignored])
        result = call("fit", data, *TINY, "--run", tmp_path / "run", "--json")
        said = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert (said["best"], said["best_epoch"]) == (None, 1)
        again = call("fit", data, *TINY, "--run", tmp_path / "run", "--resume")
        assert "best epoch 1 with pixel_accuracy nan" in again.stdout

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["SET", "-s", "epoch=1"], '-s epoch=1: epoch: unknown key: did you mean "epochs"?'),
            (["SET", "-c", "gone.yaml"], "gone.yaml: is not there: check the path of the config"),
            (["gone"], "index.json is missing"),
            ([], "There is no dataset to train on"),
            (["SET", "--resume"], "holds no run that could be resumed"),
            (["SET", "--overfit", "9"], "overfit: asks for 9 samples of 8"),
            (["SET", "-s", "device=cuda"], "device: cuda is asked for"),
        ],
    )
    def test_a_mistake_is_one_sentence_and_exit_code_2(
        self, data: Path, tmp_path: Path, arguments: list[str], sentence: str
    ) -> None:
        if "device=cuda" in arguments and torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        given = [str(data) if part == "SET" else part for part in arguments]
        result = call("fit", *given, "--run", tmp_path / "run")
        assert result.exit_code == 2
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert result.stdout == ""
        assert not (tmp_path / "run").exists(), "it is refused before anything is written"


class TestMeasure:
    def test_evaluate_says_the_same_as_a_table_and_as_json(self, run: Path, data: Path) -> None:
        said = json.loads(call("evaluate", run, data, "--split", "val", "--boundaries", "--json").stdout)
        assert {"miou", "pixel_accuracy", "reference_accuracy", "foreground_dice", "per_class", "hd95"} <= said.keys()
        shown = call("evaluate", run, data, "--split", "val", "--last").stdout.splitlines()
        assert [line.split()[0] for line in shown[1:11]] == list(said["per_class"])
        assert f"{said['miou']:.4f}" in next(line for line in shown if line.startswith("mIoU"))

    def test_a_scale_is_for_folders(self, run: Path, data: Path) -> None:
        result = call("evaluate", run, data, "--um-per-px", "auto")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "leave it out" in result.stderr

    def test_baseline_tells_two_methods(self, data: Path) -> None:
        assert json.loads(call("baseline", data, "--json").stdout).keys() == {"otsu", "majority"}
        assert call("baseline", data, "--split", "val").stdout.splitlines()[0] == "otsu"

    @pytest.mark.slow
    def test_report_names_what_it_wrote(self, run: Path, data: Path) -> None:
        said = call("report", run, "--data", data, "--split", "val").stdout.split()
        assert said == [str(run / name) for name in ("report.html", "MODEL_CARD.md")]


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "told"), [("0", 1), ("1", 0)])
def test_of_several_processes_one_tells_the_result(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, told: int
) -> None:
    monkeypatch.setenv("RANK", rank)
    result = call("fit", data, *TINY, "--run", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("best_epoch") == told


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    ],
)
def test_a_full_memory_is_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(import_module("segtrain.evaluation.baseline"), "baseline", fails)
    result = call("baseline", data)
    assert result.exit_code == 1
    assert result.stderr.startswith("The work failed: the memory is full; set a smaller `batch`")
    assert len(result.stderr.splitlines()) == 1


def test_a_defect_of_the_program_keeps_its_traceback(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(import_module("segtrain.evaluation.baseline"), "baseline", fails)
    assert isinstance(call("baseline", data).exception, RuntimeError)


@pytest.mark.slow
def test_models_lists_size_work_study_and_options_of_every_network() -> None:
    found = json.loads(call("models", "--json").stdout)
    # Parameters and multiply-adds of the reference network as its study has them.
    assert found["unet_half"]["parameters"] == 7_760_394
    assert found["unet_half"]["gmac"] == pytest.approx(9.26, abs=0.005)
    assert found["unet_half"]["options"]["width"] == 32
    text = call("models").stdout
    assert all(name in text and model["study"] in text for name, model in found.items())
    assert "7,760,394" in text
    assert "width: 32" in text
