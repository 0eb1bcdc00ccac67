"""What single networks promise: their size beside that of their papers, how they pad, unpool and begin."""

import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from rounding import assert_within, rounding_bound
from torch import Tensor, nn

from segtrain.networks.deconvnet import switches, unpool
from segtrain.networks.efficientnet_lite import NormalisedConvolution
from segtrain.networks.registry import Adapted, build_model, default_options
from segtrain.training.config import load_config
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def convolutions(model: nn.Module, *sizes: int) -> list[nn.Conv2d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] in sizes]


def on_meta(name: str, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build_model(name, **options)


class TestSize:
    """Parameters beside what papers and well-known implementations state."""

    def test_original_unet_has_23_convolutional_layers_and_as_many_weights_as_a_known_version(self) -> None:
        model = on_meta("unet", classes=2, channels=1, padding="valid")
        layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert len(layers) == 23
        assert [m.out_channels for m in convolutions(model, 3)[:10:2]] == [64, 128, 256, 512, 1024]
        # zhixuhao/unet (Keras) has 31,031,685: before its one sigmoid a 3x3 convolution to two channels, instead of
        # the paper's 1x1 convolution to two classes.
        assert parameters(model) - (64 * 2 + 2) + (9 * 64 * 2 + 2) + (2 + 1) == 31_031_685

    def test_ternausnet_11_has_the_22_9_million_of_its_paper(self) -> None:
        assert parameters(on_meta("vgg11_unet", classes=1)) == 22_927_393

    @pytest.mark.parametrize(("name", "features"), [("vgg11_unet", 9_220_480), ("vgg16_unet", 14_714_688)])
    def test_the_way_down_is_vgg(self, name: str, features: int) -> None:
        """Of torchvision's vgg11 and vgg16, `features` alone."""
        model = on_meta(name, classes=2)
        assert sum(parameters(level) for level in list(model.down)[:-1]) == features  # type: ignore[arg-type]

    def test_attention_unet_has_the_34_9_million_that_are_quoted(self) -> None:
        model = on_meta("attention_unet", classes=1)
        # LeeJunHyun/Image_Segmentation, AttU_Net: its convolutions have biases before batch normalisation.
        assert (
            parameters(model) + sum(m.out_channels for m in convolutions(model, 1, 3) if m.bias is None) == 34_878_573
        )

    def test_unet_pp_has_the_9_04_million_of_its_paper(self) -> None:
        assert round(parameters(on_meta("unet_pp", classes=1)) / 1e6, 2) == 9.04

    def test_res_unet_has_the_7_8_million_of_its_paper_in_3x3_convolutions(self) -> None:
        threes = convolutions(on_meta("res_unet", classes=1), 3)
        assert len(threes) == 14
        assert round(sum(m.weight.numel() for m in threes) / 1e6, 1) == 7.8

    def test_deconvnet_is_three_blocks_of_two_and_their_mirror_image(self) -> None:
        model = on_meta("deconvnet", classes=2)
        down = [(m.in_channels, m.out_channels) for m in convolutions(model, 3)]
        up = [(m.in_channels, m.out_channels) for m in model.modules() if isinstance(m, nn.ConvTranspose2d)]
        assert down == [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
        assert up == [(o, i) for i, o in reversed(down[1:])] + [(64, 64)]
        assert [m.p for m in model.modules() if isinstance(m, nn.Dropout)] == [0.5]


def rough(*size: int, seed: int = 0) -> Tensor:
    """Without equal values."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(math.prod(size), generator=generator).reshape(size).float() - math.prod(size) / 2


class TestUnpooling:
    @given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
    def test_agrees_with_torch(self, batch: int, channels: int, height: int, width: int) -> None:
        x, lower = rough(batch, channels, 2 * height, 2 * width), rough(batch, channels, height, width, seed=1)
        _, indices = F.max_pool2d(x, 2, return_indices=True)
        assert torch.equal(unpool(lower, switches(x)), F.max_unpool2d(lower, indices, 2))

    def test_so_does_its_gradient(self) -> None:
        x, lower = rough(2, 3, 8, 6), rough(2, 3, 4, 3, seed=1).requires_grad_()
        _, indices = F.max_pool2d(x, 2, return_indices=True)
        weight = rough(2, 3, 8, 6, seed=2)
        (ours,) = torch.autograd.grad((unpool(lower, switches(x)) * weight).sum(), lower)
        (torchs,) = torch.autograd.grad((F.max_unpool2d(lower, indices, 2) * weight).sum(), lower)
        assert torch.equal(ours, torchs)

    @given(st.lists(st.integers(0, 1), min_size=16, max_size=16))
    def test_of_equal_maxima_the_first_counts_as_in_torch(self, values: list[int]) -> None:
        x = torch.tensor(values).reshape(1, 1, 4, 4).float()
        _, indices = F.max_pool2d(x, 2, return_indices=True)
        mask = switches(x)
        assert mask.sum() == 4
        assert torch.equal(mask.flatten().nonzero().flatten(), indices.flatten().sort().values)

    def test_is_deterministic_by_torchs_own_word(self) -> None:
        model = build_model("deconvnet", classes=2, width=4)
        torch.use_deterministic_algorithms(True)
        try:
            model(rough(1, 3, 16, 16)).sum().backward()
        finally:
            torch.use_deterministic_algorithms(False)

    @pytest.mark.parametrize("dropout", [1, 1.0, -0.1, math.nan])
    def test_dropout_is_a_share(self, dropout: float) -> None:
        with pytest.raises(UserError, match="dropout: must be at least 0 and below 1"):
            build_model("deconvnet", classes=2, dropout=dropout)


class TestValidPadding:
    def test_572_pixels_give_388_as_in_the_paper(self) -> None:
        model = on_meta("unet", classes=2, width=1, padding="valid")
        lowest: list[torch.Size] = []
        model.down[-1].register_forward_hook(lambda *call: lowest.append(call[2].shape))  # type: ignore[index,union-attr]
        entered: list[torch.Size] = []
        model.down[0].register_forward_pre_hook(lambda *call: entered.append(call[1][0].shape))  # type: ignore[index,union-attr]
        logits = model(torch.empty(1, 3, 388, 388, device="meta"))
        assert entered == [(1, 3, 572, 572)]
        assert lowest == [(1, 16, 28, 28)]
        assert logits.shape == (1, 2, 388, 388)

    def test_no_zero_enters_at_the_border(self) -> None:
        image = torch.full((1, 3, 40, 50), 0.5)
        spread = {}
        for padding in ("same", "valid"):
            torch.manual_seed(0)
            model = build_model("unet", classes=2, width=4, padding=padding).eval()
            logits = model(image)
            # Every 16x16 pixels repeat, since so many share a pixel of the lowest level.
            spread[padding] = (logits[..., 16:32, 16:32] - logits[..., :16, :16]).abs().max().item()
            bound = rounding_bound(model, logits)
        assert spread["valid"] < bound
        assert spread["same"] > 100 * bound


class TestAdapted:
    def test_grey_is_what_the_network_sees_of_colour(self) -> None:
        spec = load_config(None, ["model={name: unet, width: 4, grey: true}"]).model
        torch.manual_seed(0)
        model, image = spec.build(classes=3), torch.rand(2, 3, 20, 20) * 2 - 1
        assert isinstance(model, Adapted)
        luma = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
        logits = model(image)
        assert_within(rounding_bound(model, logits), model.network(luma), logits)
        assert convolutions(model, 3)[0].in_channels == 1

    def test_one_output_makes_cross_entropy_binary_and_its_half_the_threshold(self) -> None:
        spec = load_config(None, ["model={name: unet, width: 4, sigmoid: true}"]).model
        torch.manual_seed(0)
        model, image = spec.build(classes=2), torch.rand(2, 3, 20, 20) * 2 - 1
        logits, single = model(image), model.network(image)[:, 0]
        label = torch.randint(2, (2, 20, 20))
        binary = F.binary_cross_entropy_with_logits(single, label.float())
        torch.testing.assert_close(F.cross_entropy(logits, label), binary)
        torch.testing.assert_close(logits.softmax(dim=1)[:, 1], single.sigmoid())
        assert torch.equal(logits.argmax(dim=1), (single.sigmoid() > 0.5).long())

    @pytest.mark.slow
    def test_both_are_exported(self) -> None:
        spec = load_config(None, ["model={name: unet, width: 4, grey: true, sigmoid: true}"]).model
        model, image = spec.build(classes=2).eval(), torch.rand(1, 3, 20, 37)
        logits = model(image)
        exported = torch.export.export(model, (image,)).module()
        assert_within(rounding_bound(model, logits), exported(image), logits)

    def test_one_output_does_not_tell_ten_classes(self) -> None:
        spec = load_config(None, ["model.sigmoid=true"]).model
        with pytest.raises(UserError, match=r"model\.sigmoid: tells two classes apart, and the data has 10"):
            spec.build(classes=10)


IN_THE_LIBRARY = """
import torch
for name in ("nms", "qnms"):
    # Its compiled part may be for another build of torch; of its operators segmentation needs none.
    if not hasattr(torch.ops.torchvision, name):
        torch.library.define("torchvision::" + name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from segtrain.networks.registry import build_model
from smearsynth.base.errors import UserError
model = build_model("smp:Unet/resnet18", classes=4, channels=1).eval()
print(tuple(model(torch.zeros(1, 1, 37, 50)).shape))
for name in ("smp:Unett/resnet18", "smp:Unet/resnet81", "smp:Unet/tu-nothing", "smp:Unet"):
    try:
        build_model(name, classes=4)
    except UserError as error:
        print(error)
"""


class TestLibrary:
    """segmentation_models_pytorch, which is an extra."""

    @pytest.mark.slow
    def test_a_network_of_it_takes_any_size_and_wrong_names_are_told(self) -> None:
        if find_spec("segmentation_models_pytorch") is None:
            pytest.skip("needs the extra `smp`")
        done = subprocess.run([sys.executable, "-c", IN_THE_LIBRARY], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        shape, architecture, encoder, timm, half = done.stdout.splitlines()
        assert shape == "(1, 4, 37, 50)"
        assert architecture.startswith('name: there is no architecture "Unett": there are Unet, UnetPlusPlus')
        assert encoder == 'name: there is no encoder "resnet81": did you mean "smp:Unet/resnet18"?'
        assert timm.startswith("name: smp:Unet/tu-nothing cannot be made (")
        assert half.startswith('name: "smp:Unet" must read smp:ARCHITECTURE/ENCODER')

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            (
                "import segmentation_models_of_nobody",
                "needs segmentation_models_of_nobody, which is not installed: pip",
            ),
            ("raise RuntimeError('operator torchvision::nms does not exist')", "does not fit torch"),
            ("from torch import nothing_of_this_name", "does not fit torch"),
        ],
    )
    def test_one_that_cannot_be_loaded_is_told_in_one_sentence(
        self, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "segmentation_models_pytorch.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "segmentation_models_pytorch", raising=False)
        with pytest.raises(UserError, match=said) as caught:
            build_model("smp:Unet/resnet34", classes=2)
        assert str(caught.value).startswith("name: smp:Unet/resnet34 ")
        assert "\n" not in str(caught.value)


class TestLiteUNet:
    def test_has_the_weights_of_its_parts(self) -> None:
        model = on_meta("lite_unet", classes=10)
        # EfficientNet-Lite0's 4,652,008 less classifier, head, and last block (192 to 1152 to 320 channels).
        last = 192 * 1152 + 9 * 1152 + 1152 * 320 + 2 * (1152 + 1152 + 320)
        norms = sum(2 * m.out_channels for m in convolutions(model.down, 1, 3, 5))
        assert parameters(model.down) + norms == 4_652_008 - 1281 * 1000 - (320 + 2) * 1280 - last
        channels = [(192 + 112, 96), (96 + 40, 64), (64 + 24, 48), (48 + 16, 32), (32, 32), (32 + 3, 24)]
        assert parameters(model.merge) == sum(9 * i * o + 2 * o for i, o in channels)
        assert parameters(model) == parameters(model.down) + parameters(model.merge) + 24 * 10 + 10

    def test_only_from_scratch_its_batch_normalisation_learns(self) -> None:
        for weights, learns in (("imagenet", False), ("none", True)):
            torch.manual_seed(0)
            model = build_model("lite_unet", classes=2, encoder_weights=weights).train()
            before = {key: value.clone() for key, value in model.down.state_dict().items()}
            optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.rand(2, 3, 32, 32)).square().mean().backward()
            optimiser.step()
            moved = {key for key, value in model.down.state_dict().items() if not torch.equal(value, before[key])}
            assert any(".conv." in key for key in moved)
            assert any(".norm." in key for key in moved) == learns

    def test_a_fixed_normalisation_is_that_of_torch(self) -> None:
        torch.manual_seed(0)
        fixed, learning = (
            NormalisedConvolution(6, 6, 5, stride=2, groups=6, activated=True, fixed=fixed).eval()
            for fixed in (True, False)
        )
        state = {key: torch.rand_like(value) + 0.5 for key, value in fixed.state_dict().items()}
        fixed.load_state_dict(state)
        learning.load_state_dict(state, strict=False)
        image = torch.randn(2, 6, 12, 16)
        torch.testing.assert_close(fixed(image), learning(image))

    @pytest.mark.parametrize("fixed", [True, False])
    def test_depthwise_convolutions_stay_in_fp32_where_others_are_in_bf16(self, fixed: bool) -> None:
        depthwise, full = (
            NormalisedConvolution(6, 6, 3, groups=groups, activated=False, fixed=fixed).eval() for groups in (6, 1)
        )
        image = torch.randn(2, 6, 12, 16)
        expected = depthwise(image)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(depthwise(image), expected, rtol=0, atol=0)
            assert depthwise(image.bfloat16()).dtype == torch.float32
            assert full(image).dtype == torch.bfloat16


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
        ("transformer", {}, "there are deconvnet, unet_half"),
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
