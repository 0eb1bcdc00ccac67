"""What every network of the registry must do, whatever its options; and what only the reference network promises."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segtrain import checkpoint
from segtrain.models import MODELS, build_model, default_options
from smearsynth.errors import UserError

CLASSES = 10
CASES = [
    pytest.param("unet_half", {"width": 8}, id="unet_half"),
    pytest.param("unet_half", {"width": 8, "activation": "relu"}, id="unet_half-relu"),
    pytest.param("unet_half", {"width": 8, "norm": "batch"}, id="unet_half-batch"),
    pytest.param("unet_half", {"width": 8, "norm": "group"}, id="unet_half-group"),
]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def make(name: str, options: dict[str, Any], *, channels: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, classes=CLASSES, channels=channels, **options).eval()


def picture(*size: int, seed: int = 1) -> Tensor:
    values = np.random.default_rng(seed).integers(0, 256, size).astype(np.float32)
    return torch.from_numpy(values / 127.5 - 1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("name", "options"), CASES)
class TestEveryModel:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [(1, 1), (16, 48), (37, 50), (5, 130)])
    def test_logits_are_as_large_as_the_image(
        self, name: str, options: dict[str, Any], channels: int, size: tuple[int, int]
    ) -> None:
        logits = make(name, options, channels=channels)(picture(2, channels, *size))
        assert logits.shape == (2, CLASSES, *size)
        assert logits.isfinite().all()

    def test_an_odd_size_is_the_image_with_its_edge_repeated(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(1, 3, 37, 50)
        padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (0, 11), (0, 14)), mode="edge"))
        torch.testing.assert_close(model(image), model(padded)[..., :37, :50])

    def test_the_gradient_reaches_every_parameter(self, name: str, options: dict[str, Any]) -> None:
        model = make(name, options).train()
        model(picture(2, 3, 33, 32)).square().mean().backward()
        still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
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
        torch.testing.assert_close(model(image)[1:2], model(image[1:2]), rtol=1e-4, atol=1e-5)

    def test_bf16_agrees_with_fp32(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(2, 3, 48, 48)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(image)
        full = model(image)
        assert half.dtype == torch.bfloat16
        assert (half.float() - full).std() < 0.03 * full.std()

    def test_channels_last_agrees_and_stays(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(2, 3, 48, 48)
        first = model(image)
        last = model.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last))
        assert last.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(last, first, rtol=1e-4, atol=1e-5)

    @pytest.mark.slow
    @pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
    def test_compiled_agrees_with_eager_in_logits_and_gradients(self, name: str, options: dict[str, Any]) -> None:
        model, image = make(name, options), picture(2, 3, 48, 50)
        compiled = torch.compile(model)
        gradients = []
        for run in (model, compiled):
            model.zero_grad()
            logits = run(image)
            logits.square().mean().backward()
            gradients.append([logits.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        for eager, fused in zip(*gradients, strict=True):
            torch.testing.assert_close(fused, eager, rtol=1e-3, atol=1e-4)

    @gpu
    def test_on_a_gpu_two_steps_give_the_same_bits_and_never_wait(self, name: str, options: dict[str, Any]) -> None:
        image = picture(4, 3, 50, 64).cuda().contiguous(memory_format=torch.channels_last)
        model = make(name, options).train().cuda().to(memory_format=torch.channels_last)
        found = []
        torch.use_deterministic_algorithms(True)
        try:
            for _ in range(2):
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


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


class TestUNetHalf:
    def test_is_the_reference_network(self) -> None:
        model = build_model("unet_half", classes=10)
        convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
        kernels = [m.kernel_size[0] for m in convolutions]
        transposed = [m for m in model.modules() if isinstance(m, nn.ConvTranspose2d)]
        assert parameters(model) == 7_760_394
        assert (kernels.count(3), kernels.count(1), len(transposed)) == (18, 1, 4)
        assert [m.out_channels for m in convolutions[:10:2]] == [32, 64, 128, 256, 512]
        assert default_options("unet_half") == {"width": 32, "activation": "leaky_relu", "norm": "none"}

    @pytest.mark.parametrize(
        ("classes", "channels", "options", "count"),
        [
            (10, 1, {}, 7_760_394 - 2 * 9 * 32),
            (2, 3, {}, 7_760_394 - 8 * 33),
            # Each of the 18 convolutions loses a bias and gains a factor and an offset a channel:
            # 2 * (32 + 64 + 128 + 256) + 512 outputs go down, as many again but 512 go up.
            (10, 3, {"norm": "batch"}, 7_760_394 + 2 * 992 + 960),
            (10, 3, {"norm": "group"}, 7_760_394 + 2 * 992 + 960),
            (10, 3, {"width": 8}, 485_898),
        ],
    )
    def test_parameters(self, classes: int, channels: int, options: dict[str, Any], count: int) -> None:
        assert parameters(build_model("unet_half", classes=classes, channels=channels, **options)) == count

    def test_weights_are_glorot_normal_and_biases_zero(self) -> None:
        torch.manual_seed(0)
        model = build_model("unet_half", classes=10)
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert len(layers) == 23
        for layer in layers:
            area = math.prod(layer.kernel_size)
            expected = math.sqrt(2 / (area * (layer.in_channels + layer.out_channels)))
            error = 4 / math.sqrt(2 * layer.weight.numel())  # four standard errors of a standard deviation
            assert layer.weight.std().item() == pytest.approx(expected, rel=error)
            assert layer.weight.abs().max() > 2 * expected  # a uniform draw ends at 1.73
            assert layer.bias is not None
            assert not layer.bias.any()

    def test_leaky_relu_has_slope_one_tenth(self) -> None:
        slopes = [m.negative_slope for m in build_model("unet_half", classes=2).modules() if type(m) is nn.LeakyReLU]
        assert slopes == [0.1] * 18


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("unet_hafl", {}, 'did you mean "unet_half"'),
        ("resnet", {}, "there are unet_half"),
        ("unet_half", {"widht": 8}, 'widht: unet_half has no such option: did you mean "width"'),
        ("unet_half", {"width": "8"}, "width: must be of type int, not '8'"),
        ("unet_half", {"width": True}, "width: must be of type int"),
        ("unet_half", {"width": 0}, "width: must be at least 1, not 0"),
        ("unet_half", {"width": 1025}, "width: must be at least 1 and at most 1024, not 1025"),
        ("unet_half", {"width": 10**30}, "width: must be at least 1 and at most 1024, not 10"),
        ("unet_half", {"width": 12, "norm": "group"}, "multiple of 8"),
        ("unet_half", {"activation": "gelu"}, "one of leaky_relu, relu, not 'gelu'"),
        ("unet_half", {"norm": None}, "one of none, batch, group"),
    ],
)
def test_what_does_not_exist_is_named(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_model(name, classes=10, **options)


def test_every_model_is_among_the_cases() -> None:
    assert {str(case.values[0]) for case in CASES} == set(MODELS)
