"""Networks as files for others: read back by their own libraries, they give the probabilities of the run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from rounding import assert_within, rounding_bound
from safetensors.torch import load_file
from torch import Tensor

from segtrain.cli import main
from segtrain.counting.predict import predict
from segtrain.experiments.fit import fit
from segtrain.inference.exported_networks import load_onnx
from segtrain.inference.operating_point import EDGES, FILE, OperatingPoint, Rate
from segtrain.reporting.export_network import EXTRA_FILE, export
from segtrain.reporting.model_card import model_card
from segtrain.training.config import ModelSpec, load_config
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, for exports are written into it."""
    return Path(shutil.copytree(tiny_run, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def onnx(run: Path) -> Path:
    """Whatever the network, its making takes half a minute, most of it for what torch loads and traces of its own."""
    pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
    return export(run, format="onnx").files[0]


def image(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def assert_probability(found: Tensor, run: Path, pixels: Tensor) -> None:
    """Of the run's network, but for rounding."""
    network = load_trained(run).model
    with torch.no_grad():
        logits = network(pixels.float() / 127.5 - 1)
    # Half: what a softmax makes of a change of its logits.
    bound = rounding_bound(network, logits) / 2
    height, width = found.shape[2:]
    assert_within(bound, found, logits.softmax(dim=1)[..., :height, :width])


def test_safetensors_are_the_weights_to_the_bit_and_the_config_builds_their_network(run: Path) -> None:
    weights, config, card = export(run, format="safetensors").files
    known = json.loads(config.read_text())
    network = ModelSpec.model_validate(known["model"]).build(classes=len(known["classes"]["keys"])).eval()
    network.load_state_dict(load_file(weights))
    pixels = image(2, 3, 40, 56).float() / 127.5 - 1
    with torch.no_grad():
        assert torch.equal(network(pixels), load_trained(run).model(pixels))
    assert known["um_per_px"] == 0.2
    assert known["classes"]["keys"] == list(load_trained(run).classes.keys)
    assert card.read_text().startswith(model_card(run))
    with pytest.raises(UserError, match="leave it out"):
        export(run, format="safetensors", which="last", overwrite=True)


def test_what_is_handed_on_tells_nothing_of_the_machine_it_was_trained_on(run: Path, tmp_path: Path) -> None:
    overrides = ("model.name=compact", "model.width=2", "epochs=1", "batch=4", "amp=bf16", "seed=7")
    tuned = fit(
        load_config(run / "config.yaml").data, overrides=overrides, start=run, run=tmp_path / "tuned", pictures=False
    ).run
    assert str(run) in (tuned / "config.yaml").read_text()
    _, config, _ = export(tuned, format="safetensors", out=tmp_path / "out").files
    assert str(run.parent) not in config.read_text()
    known = load_trained(tmp_path / "out").config
    assert (known.start, known.amp, known.seed) == ("run", "off", 7)


@pytest.mark.slow
def test_what_was_exported_as_safetensors_is_taken_wherever_a_run_is(run: Path, tmp_path: Path) -> None:
    of_run = load_trained(run)
    point = OperatingPoint(
        threshold=1.5,
        false_alarms=Rate(1, 9),
        recall=Rate(2, 3),
        odds_of=(),
        healthy=(9, *[1] * (len(EDGES) - 1)),
        infected=(3, *[2] * (len(EDGES) - 1)),
        measured_on="a set",
        epoch=of_run.epoch,
    )
    point.save(run)
    export(run, format="safetensors", out=tmp_path / "whole")
    export(run, format="safetensors", out=tmp_path / "half", half=True)
    (run / FILE).unlink()
    assert OperatingPoint.load(tmp_path / "half") == point
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.7 * sizes[0]  # of a tiny network names are a part
    pixels = image(2, 3, 40, 56).float() / 127.5 - 1
    whole, half = (load_trained(tmp_path / name) for name in ("whole", "half"))
    assert (whole.config, whole.classes, whole.epoch) == (of_run.config, of_run.classes, of_run.epoch)
    with torch.no_grad():
        logits = of_run.model(pixels)
        assert torch.equal(whole.model(pixels), logits)
        assert 0 < (half.model(pixels) - logits).abs().max() < 0.02 * logits.abs().max()
    field = tmp_path / "field.png"
    Image.fromarray(image(90, 120, 3).numpy()).save(field)
    command = ["count", str(tmp_path / "half"), str(field), "--um-per-px", "0.2", "--out", str(tmp_path / "cells.csv")]
    assert CliRunner().invoke(main, command).exit_code == 0
    (tmp_path / "half/config.json").write_text("{}")
    with pytest.raises(UserError, match="are not what this segtrain exports"):
        load_trained(tmp_path / "half")
    with pytest.raises(UserError, match="full precision"):
        export(run, format="onnx", half=True)


@pytest.mark.slow
def test_a_torch_export_takes_every_batch_and_size(run: Path) -> None:
    [file] = export(run, format="torch-export").files
    extra = {EXTRA_FILE: ""}
    network = torch.export.load(file, extra_files=extra).module()
    for shape in ((1, 3, 64, 64), (3, 3, 96, 224)):
        assert_probability(network(image(*shape)), run, image(*shape))
    assert json.loads(extra[EXTRA_FILE])["um_per_px"] == 0.2


@pytest.mark.slow
def test_onnx_takes_every_batch_and_size_and_tells_of_itself(run: Path, onnx: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    for shape in ((1, 3, 64, 64), (3, 3, 96, 224)):
        (found,) = session.run(["probability"], {"image": image(*shape).numpy()})
        assert_probability(torch.from_numpy(found), run, image(*shape))
    told = json.loads(session.get_modelmeta().custom_metadata_map["segtrain"])
    assert told["classes"]["keys"] == list(load_trained(run).classes.keys)
    assert "multiples of 32" in told["input"]


@pytest.mark.slow
def test_a_size_that_onnx_does_not_take_is_padded_and_cut(run: Path, onnx: Path) -> None:
    pixels = image(2, 3, 70, 33)
    padded = torch.from_numpy(np.pad(pixels.numpy(), ((0, 0), (0, 0), (0, 26), (0, 31)), mode="edge"))
    found = load_onnx([onnx])(pixels.permute(0, 2, 3, 1).numpy())
    assert_probability(torch.from_numpy(found), run, padded)


@pytest.mark.slow
def test_predicted_by_onnx_runtime_an_image_has_the_same_labels(run: Path, onnx: Path, tmp_path: Path) -> None:
    pixels = image(96, 128, 3).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    labels = []
    for out, source, runtime in (("torch", run, "torch"), ("run", run, "onnx"), ("file", onnx, "onnx")):
        predict(source, [tmp_path / "a.png"], out=tmp_path / out, um_per_px=0.2, runtime=runtime)  # type: ignore[arg-type]
        labels.append(np.asarray(Image.open(tmp_path / out / "a_label.png")))
    assert (labels[0] == labels[1]).mean() > 0.999
    np.testing.assert_array_equal(labels[1], labels[2])


@pytest.mark.slow
def test_onnx_of_another_checkpoint_of_the_run_is_refused(run: Path, onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(onnx.read_bytes())
    (tmp_path / "best.pt").write_bytes((run / "best.pt").read_bytes())
    load_onnx([tmp_path])
    (tmp_path / "best.pt").write_bytes((run / "last.pt").read_bytes() + b" ")
    with pytest.raises(UserError, match="is of another training than"):
        load_onnx([tmp_path])


@pytest.mark.parametrize("content", [b"", b"no network" * 50])
def test_what_is_no_onnx_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    (tmp_path / "network.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"network\.onnx cannot be read") as caught:
        load_onnx([tmp_path])
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_onnx_of_others_or_of_a_later_version_is_refused(onnx: Path, tmp_path: Path) -> None:
    from onnx import load, save

    model = load(onnx)
    [entry] = [entry for entry in model.metadata_props if entry.key == "segtrain"]
    told = json.loads(entry.value)
    entry.value = json.dumps({**told, "format_version": 2})
    save(model, tmp_path / "later.onnx")
    with pytest.raises(UserError, match="is of format version 2, and this segtrain reads 1"):
        load_onnx([tmp_path / "later.onnx"])
    del model.metadata_props[:]
    save(model, tmp_path / "others.onnx")
    with pytest.raises(UserError, match="was not written by `segtrain export`"):
        load_onnx([tmp_path / "others.onnx"])


def test_files_are_not_written_over_by_accident(run: Path, tmp_path: Path) -> None:
    arguments = ["export", str(run), "--format", "safetensors", "--out", str(tmp_path / "out")]
    first = CliRunner().invoke(main, arguments)
    assert first.exit_code == 0, first.output
    assert [Path(line).name for line in first.stdout.splitlines()] == ["model.safetensors", "config.json", "README.md"]
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "overwrite them, or name another folder (--overwrite, --out)" in again.stderr
    assert CliRunner().invoke(main, [*arguments, "--overwrite"]).exit_code == 0


def test_a_run_without_a_checkpoint_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"best\.pt is missing"):
        export(tmp_path, format="onnx")
