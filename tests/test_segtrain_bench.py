"""What bench tells, beside a count by hand."""

import json
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from shard_set import write_set
from torch import nn

from segtrain.cli import main
from segtrain.experiments.benchmark import _time, bench, table
from segtrain.networks.catalogue import flops_per_image
from segtrain.networks.registry import build_model
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("model.width=2", "batch=4", "ema=0.9")


def multiplications(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Of all convolutions in a forward pass, and of those of the first layer, by the shapes that flow through."""
    found = []

    def note(layer: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        narrow = given[0] if isinstance(layer, nn.ConvTranspose2d) else made
        found.append(layer.weight.numel() * narrow[0, 0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, 3, *size))
    return sum(found), found[0]


@pytest.mark.parametrize("size", [(32, 48), (33, 20)])
def test_flops_are_those_of_the_convolutions(size: tuple[int, int]) -> None:
    forward, first = multiplications(build_model("unet_half", classes=10, width=4), size)
    # Backward has each product twice, but for the image, which needs no gradient.
    assert flops_per_image(build_model("unet_half", classes=10, width=4), size) == (
        2 * forward,
        6 * forward - 2 * first,
    )


def test_the_reference_network_takes_55_gflop_per_training_image() -> None:
    forward, step = flops_per_image(build_model("unet_half", classes=10), (224, 224))
    assert forward == pytest.approx(2 * 9.26e9, rel=1e-3)
    assert step == pytest.approx(55.5e9, rel=2e-3)


@pytest.mark.slow
def test_a_dataset_is_timed_in_four_stages(tmp_path: Path) -> None:
    data = write_set(tmp_path / "tiny", train=10, val=2)
    words = ["bench", str(data), *(part for key in TINY for part in ("-s", key)), "--repeats", "2"]
    said = CliRunner().invoke(main, [*words, "--peak-tflops", "0.5", "--json"])
    assert said.exit_code == 0, said.output
    figures = json.loads(said.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    stages = figures["stages"]
    assert list(stages) == ["loader", "forward", "step", "loop"]
    assert all(stage["images_per_second"] > 0 for stage in stages.values())
    assert 0 <= stages["loop"]["waiting_share"] <= 1
    assert stages["loader"]["utilisation"] is None
    for name, work in (("forward", "gflop_forward"), ("step", "gflop_step"), ("loop", "gflop_step")):
        share = stages[name]["images_per_second"] * figures[work] / 500
        assert stages[name]["utilisation"] == pytest.approx(share)
    assert figures["size"] == [24, 24]
    assert figures["peak_mb"] > 100
    assert figures["peak_tflops"] == 0.5
    lines = table(figures).splitlines()
    assert [line.split()[0] for line in lines[4:8]] == ["loader", "forward", "step", "loop"]


@pytest.mark.slow
def test_without_a_dataset_images_are_random_and_no_loader_is_timed() -> None:
    figures = bench(overrides=("model.width=1", "batch=1"), repeats=1)
    assert list(figures["stages"]) == ["forward", "step"]
    assert figures["size"] == [224, 224]
    assert figures["stages"]["step"]["utilisation"] is None
    assert "waited" not in table(figures)


def test_batches_that_were_at_hand_do_not_decide_how_many_are_timed() -> None:
    """Ten come at once, and each of the others in a fiftieth of a second."""
    calls = 0

    def next_batch() -> int:
        nonlocal calls
        calls += 1
        assert calls < 1000
        time.sleep(0.02 * (calls > 10))
        return 4

    assert _time(next_batch, 1, torch.device("cpu"))["images_per_second"] <= 4 / 0.02


def test_a_fault_in_the_config_is_told_before_anything_is_timed() -> None:
    with pytest.raises(UserError, match="batch"):
        bench(overrides=("bach=4",))


def test_more_samples_than_there_are_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="overfit: asks for 9 samples of 4"):
        bench(write_set(tmp_path, train=4, val=1), overrides=("overfit=9", "model.width=1"), repeats=1)
