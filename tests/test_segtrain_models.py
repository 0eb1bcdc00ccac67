"""What every network of the registry must do, whatever its options."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rounding import assert_within, rounding_bound
from torch import Tensor, nn

from segtrain.inference.exported_networks import open_onnx, program, run_onnx, to_onnx
from segtrain.networks import checkpoint
from segtrain.networks.deconvnet import DeconvNet
from segtrain.networks.registry import MODELS, build_model

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = 10
ALIKE = (
    "unet_half-relu",
    "unet_half-batch",
    "unet_half-group",
    "unet",
    "vgg16_unet",
    "compact-group",
    "lite_unet-none",
)
"""Made of layers that others have too, in other numbers and widths: the quick suite and tracing leave them out."""


def case(name: str, options: dict[str, Any]) -> Any:
    title = "-".join([name, *map(str, options.values())])
    narrow = options if name.startswith("lite") else {"width": 8, **options}
    return pytest.param(name, narrow, id=title, marks=[pytest.mark.slow] if title in ALIKE else [])


CASES = [
    case(name, options)
    for name, options in [
        ("deconvnet", {}),
        ("unet_half", {}),
        ("unet_half", {"activation": "relu"}),
        ("unet_half", {"norm": "batch"}),
        ("unet_half", {"norm": "group"}),
        ("unet", {}),
        ("unet", {"padding": "valid"}),
        ("res_unet", {}),
        ("vgg11_unet", {}),
        ("vgg16_unet", {}),
        ("attention_unet", {}),
        ("unet_pp", {}),
        ("compact", {}),
        ("compact", {"norm": "group"}),
        ("lite_unet", {}),
        ("lite_unet", {"encoder_weights": "none"}),
        ("lite_cells", {}),
        ("lite_cells", {"encoder_weights": "none"}),
    ]
]
TRACED = [case for case in CASES if case.id not in ALIKE]
ONNX = [case for case in TRACED if case.id in ("deconvnet", "unet-valid", "attention_unet", "compact", "lite_unet")]
"""Unpooling, cropping, gates, grouped convolutions, and an encoder of others: all that ONNX must know. unet_half is
tried where exported files are."""
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def make(name: str, options: dict[str, Any], *, channels: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, classes=CLASSES, channels=channels, **options).eval()


def picture(*size: int, seed: int = 1) -> Tensor:
    values = np.random.default_rng(seed).integers(0, 256, size).astype(np.float32)
    return torch.from_numpy(values / 127.5 - 1)


def assert_same(found: Tensor, logits: Tensor, model: nn.Module, *, softmax: bool = False) -> None:
    """The logits, or their softmax, but for rounding. Of two nearly equal maxima it may make the switches of a
    `deconvnet` take the other: a value moves to the pixel beside, and whatever sees it changes."""
    expected, factor = (logits.softmax(dim=1), 0.5) if softmax else (logits, 1)
    share = 0.9 if isinstance(model, DeconvNet) else 1.0
    assert_within(factor * rounding_bound(model, logits), found, expected, share=share)


@pytest.mark.parametrize(("name", "options"), CASES)
class TestEveryModel:
    @pytest.mark.parametrize(("channels", "size"), [(3, (1, 1)), (1, (16, 48)), (3, (37, 50)), (1, (5, 130))])
    def test_logits_are_as_large_as_the_image(
        self, name: str, options: dict[str, Any], channels: int, size: tuple[int, int]
    ) -> None:
        logits = make(name, options, channels=channels)(picture(2, channels, *size))
        assert logits.shape == (2, CLASSES, *size)
        assert logits.isfinite().all()

    def test_an_odd_size_is_the_image_with_its_edge_repeated(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(1, 3, 57, 59)
        padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, 7), (0, 5)), mode="edge"))
        assert_same(model(image), model(padded)[..., :57, :59], model)

    def test_the_gradient_reaches_every_parameter(self, name: str, options: dict[str, Any]) -> None:
        model = make(name, options).train()
        model(picture(2, 3, 33, 32)).square().mean().backward()
        learning = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
        still = [key for key, p in learning if p.grad is None or not p.grad.abs().sum() > 0]
        assert still == []

    def test_every_pixel_sees_its_surroundings(self, name: str, options: dict[str, Any]) -> None:
        image = picture(1, 3, 64, 64).requires_grad_()
        make(name, options)(image)[0, :, 32, 32].square().sum().backward()
        assert image.grad is not None
        seen = image.grad.abs().sum(dim=(0, 1)) > 0
        assert seen[24:40, 24:40].all()

    def test_saved_weights_give_the_same_logits_to_the_bit(
        self, name: str, options: dict[str, Any], tmp_path: Path
    ) -> None:
        model, other = make(name, options).train(), make(name, options, seed=5)
        model(picture(2, 3, 32, 32))  # moves the running means of batch normalisation
        model.eval()
        image = picture(1, 3, 32, 32, seed=2)
        assert not torch.equal(model(image), other(image))
        checkpoint.save(tmp_path / "model.pt", {"model": model.state_dict()})
        other.load_state_dict(checkpoint.load(tmp_path / "model.pt")["model"])
        assert torch.equal(model(image), other(image))

    def test_the_same_seed_draws_the_same_weights(self, name: str, options: dict[str, Any]) -> None:
        first, second, third = (make(name, options, seed=seed).state_dict() for seed in (3, 3, 4))
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert not all(torch.equal(first[key], third[key]) for key in first)

    def test_images_of_a_batch_do_not_touch(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(3, 3, 32, 32)
        assert_same(model(image)[1:2], model(image[1:2]), model)

    def test_bf16_agrees_with_fp32(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(2, 3, 48, 48)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image)
        full = model(image)
        assert half.dtype == torch.bfloat16
        # A convolution rounds its weights and its output, a normalisation its output, each by at most 2 ** -9 of the
        # value; a sum keeps the relative size of such errors, and those of different layers are independent.
        layers = list(model.modules())
        roundings = 2 * sum(isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) for layer in layers)
        roundings += sum(isinstance(layer, nn.BatchNorm2d | nn.GroupNorm) for layer in layers)
        share = 2**-9 * math.sqrt(roundings)
        if name == "deconvnet":
            # Of values in a window that are equal in bf16 the switches take the first: a step of 2 ** -8 among
            # four of them, at each of three poolings, moves so large a part of what is unpooled.
            share = math.sqrt(3 * 4 * 2**-8)
        assert (half.float() - full).std() < share * full.std()

    def test_channels_last_agrees_and_stays(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(2, 3, 48, 48)
        first = model(image)
        last = model.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
        assert last.stride(1) == 1, "a pixel's channels lie together"
        assert_same(last, first, model)

    @gpu
    def test_on_a_gpu_two_steps_give_the_same_bits_and_never_wait(self, name: str, options: dict[str, Any]) -> None:
        image = picture(4, 3, 50, 64).cuda().contiguous(memory_format=torch.channels_last)
        model = make(name, options).train().cuda().to(memory_format=torch.channels_last)
        found = []
        torch.use_deterministic_algorithms(True)
        try:
            for _ in range(2):
                torch.manual_seed(0)  # of dropout
                model.zero_grad()
                torch.cuda.set_sync_debug_mode("error")
                with torch.autocast("cuda", torch.bfloat16):
                    logits = model(image)
                logits.float().square().mean().backward()
                torch.cuda.set_sync_debug_mode("default")
                found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        finally:
            torch.cuda.set_sync_debug_mode("default")
            torch.use_deterministic_algorithms(False)
        assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.slow
class TestTraced:
    @pytest.mark.parametrize(("name", "options"), ONNX)
    def test_exported_and_as_onnx_it_gives_the_same_probabilities_for_every_batch_and_size(
        self, name: str, options: dict[str, Any]
    ) -> None:
        pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
        pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
        model = make(name, options)
        traced = program(model)
        session = open_onnx(to_onnx(traced))
        for size in ((2, 3, 64, 96), (1, 3, 128, 64), (3, 3, 96, 160)):
            image = picture(*size)
            pixels = ((image + 1) * 127.5).round().to(torch.uint8)
            assert_same(traced.module()(pixels), model(image), model, softmax=True)
            assert_same(run_onnx(session, pixels), model(image), model, softmax=True)

    @pytest.mark.parametrize(("name", "options"), TRACED)
    @pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
    def test_compiled_agrees_with_eager_in_logits_and_gradients(self, name: str, options: dict[str, Any]) -> None:
        # In double precision: in a single one, rounding decides some maxima and signs the other way, and what a
        # gradient makes of that has no bound. The code that torch writes of what it traced takes a minute or two to
        # compile, and is tried for one network.
        backend = "inductor" if name == "compact" else "aot_eager"
        model, image = make(name, options).double(), picture(2, 3, 48, 50).double()
        found = []
        for run in (model, torch.compile(model, backend=backend)):
            model.zero_grad()
            logits = run(image)
            logits.square().mean().backward()
            found.append([logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        # A gradient is a chain twice as long, and a sum over pixels.
        pixels = image[:, 0].numel()
        for eager, fused in zip(*found, strict=True):
            bound = (2 + math.sqrt(pixels)) * rounding_bound(model, eager)
            assert (fused - eager).abs().max() <= bound


def test_every_model_is_among_the_cases() -> None:
    assert {str(case.values[0]) for case in CASES} == set(MODELS)
