"""Configs: defaults, files, overrides; what is refused and with which words; the configs that are shipped."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from shard_set import write_set

from segtrain.metrics.cell_naming import CellNaming
from segtrain.training.config import Config, Monitor, load_config
from segtrain.training.epoch import ValidationTotals
from segtrain.training.processes import Ranks
from segtrain.training.schedules import learning_rate_factor
from smearsynth.base.config_file import ConfigError, Place, dump_yaml
from smearsynth.taxonomy import CLASSES

RECIPES = Path(__file__).parents[1] / "recipes" / "fit"


def faults(*overrides: str, config: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(config, overrides)
    return [replace(error, place=Place("")).text() for error in caught.value.errors]


class TestGood:
    def test_it_is_resolved_to_what_loads_as_the_same_config(self, tmp_path: Path) -> None:
        config = load_config(None, ["model.norm=batch", "schedule.piecewise={after: [2, 4], factors: [0.5, 0.1]}"])
        file = tmp_path / "config.yaml"
        file.write_text(dump_yaml(config.model_dump(mode="json")))
        again = load_config(file)
        assert again == config
        assert again.digest() == config.digest()
        assert "width: 32" in file.read_text(), "the network's own options are written out too"

    def test_overrides_go_before_the_file_and_later_ones_before_earlier(self, tmp_path: Path) -> None:
        file = tmp_path / "c.yaml"
        file.write_text("epochs: 3\nbatch: 7\nmodel: {width: 8}\n")
        config = load_config(file, ["epochs=4", "epochs=5", "model.norm=batch"])
        assert (config.epochs, config.batch) == (5, 7)
        assert config.model.model_dump() == {
            "name": "unet_half",
            "grey": False,
            "sigmoid": False,
            "parasite": False,
            "pretrained": None,
            "width": 8,
            "activation": "leaky_relu",
            "norm": "batch",
        }

    def test_its_data_lies_beside_it(self, tmp_path: Path) -> None:
        file = tmp_path / "c.yaml"
        file.write_text("data: sets/one\n")
        assert load_config(file).data == str(tmp_path / "sets" / "one")
        assert load_config(file, ["data=sets/two"]).data == "sets/two"

    @pytest.mark.parametrize("override", ["workers=1", "save_minutes=1", "data=x", "resident=true"])
    def test_what_decides_no_weights_is_not_in_the_digest(self, override: str) -> None:
        assert load_config(None, [override]).digest() == load_config().digest()

    @pytest.mark.parametrize("override", ["seed=1", "model.width=8", "amp=off", "augment.flips=true", "epochs=36"])
    def test_what_decides_weights_is(self, override: str) -> None:
        assert load_config(None, [override]).digest() != load_config().digest()

    def test_a_set_in_memory_may_have_workers_which_augment_it(self) -> None:
        assert load_config(None, ["resident=true", "workers=2"]).workers == 2

    @pytest.mark.parametrize("monitor", get_args(Monitor))
    def test_of_every_monitor_more_is_better(self, monitor: str) -> None:
        label = torch.arange(10)[None, :, None].repeat(1, 1, 64).to(torch.uint8)  # each class a cell of 64 px
        right = 50.0 * torch.nn.functional.one_hot(label.long(), 10).movedim(-1, 1)
        reports = []
        for logits in (right, right.roll(1, dims=1)):
            totals = ValidationTotals(10, torch.device("cpu"), CellNaming([c.key for c in CLASSES], 10))
            totals.add(torch.zeros(()), logits, label, label.int())
            reports.append(totals.report(Ranks()))
        assert reports[0][monitor] == 1 > reports[1][monitor]

    def test_0_is_a_seed(self) -> None:
        assert load_config(None, ["seed=0"]).seed == 0

    def test_it_cannot_be_changed(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            load_config().epochs = 3  # type: ignore[misc]

    def test_the_largest_seed_starts_every_generator(self, tmp_path: Path) -> None:
        import segtrain

        data = write_set(tmp_path / "set", size=(16, 16), train=4, val=2)
        overrides = [f"seed={2**63 - 1}", "epochs=1", "batch=4", "model.width=1"]
        assert segtrain.fit(data, overrides=overrides, run=tmp_path / "run", pictures=False).figures["finished"]


class TestBad:
    @pytest.mark.parametrize(
        ("override", "sentence"),
        [
            ("model.parasite=true", "model.parasite: nothing would train it: give `loss.parasite: {}`, or remove it"),
            ("loss.parasite={}", "loss.parasite: no output would learn it: give `model.parasite: true`"),
            ("epoch=3", 'epoch: unknown key: did you mean "epochs"?'),
            ("optimizer.lr=3", 'optimizer: unknown key: did you mean "optimiser"?'),
            ("optimiser.lrr=3", 'optimiser.lrr: unknown key: did you mean "lr"?'),
            ("model.widht=8", 'model.widht: unet_half has no such option: did you mean "width"?'),
            ("model.name=unet_haf", 'model.name: there is no network "unet_haf": did you mean "unet_half"?'),
            ("model.norm=btach", "model.norm: must be one of none, batch, group, not 'btach'"),
            ("augment.flip=true", 'augment.flip: unknown key: did you mean "flips"?'),
            ("loss.dise.factor=1", 'loss.dise: unknown key: did you mean "dice"?'),
            ("model.classes=3", "model.classes: comes from the data: remove it"),
            ("model.channels=4", "model.channels: comes from the data: remove it"),
            ("model.width=1000000000", "model.width: must be at least 1 and at most 1024, not 1000000000"),
            ("epochs=0", "epochs: must be at least 1, not 0"),
            ("epochs=1.5", "epochs: must be a whole number, not 1.5"),
            ("seed=-1", "seed: must be at least 0, not -1"),
            ("amp=fp16", "amp: must be 'auto', 'off' or 'bf16', not 'fp16'"),
            ("ema=1", "ema: must be below 1, not 1"),
            ("optimiser.lr=.nan", "optimiser.lr: must be a finite number, not nan"),
            ("epochs", "must read path=value, as in optimiser.lr=3e-4"),
        ],
    )
    def test_one_fault_in_one_sentence(self, override: str, sentence: str) -> None:
        assert any(fault.startswith(sentence) for fault in faults(override)), faults(override)

    def test_a_key_without_effect_is_a_fault(self) -> None:
        assert faults("device=cpu", "deterministic=true") == [
            "deterministic: has no effect with `device: cpu`, which always is: remove it"
        ]
        assert faults("schedule.cosine={}", "schedule.step={}") == [
            "schedule.step: only a plateau may stand beside another schedule, and cosine is one: set one to null"
        ]
        # The options of a loss stand within it: there is none of a loss that is not used.
        assert faults("loss.dice.norm=sum")[0].startswith("loss.dice.norm: unknown key")

    def test_all_faults_are_told_at_once_with_their_lines(self, tmp_path: Path) -> None:
        file = tmp_path / "c.yaml"
        file.write_text("epochs: 3\nbtach: 4\nseed: no\nbatch: 4\nbatch: 5\n")
        with pytest.raises(ConfigError) as caught:
            load_config(file)
        lines = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
        assert lines == [
            "c.yaml:5: batch: is there for the second time (first: c.yaml:4): remove one",
            "c.yaml:3: seed: must be a whole number, not 'no'",
            'c.yaml:2: btach: unknown key: did you mean "batch"?',
        ]

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"gone\.yaml: is not there: check the path of the config"):
            load_config(tmp_path / "gone.yaml")


class TestShipped:
    @pytest.mark.parametrize("file", sorted(RECIPES.glob("*.yaml")), ids=lambda file: file.stem)
    def test_it_loads_on_its_own(self, file: Path) -> None:
        assert load_config(file).data is None

    def test_the_reference_is_the_reference_training(self) -> None:
        config: Config = load_config(RECIPES / "reference.yaml")
        assert config.model.model_dump() == {
            "name": "unet_half",
            "grey": False,
            "sigmoid": False,
            "parasite": False,
            "pretrained": None,
            "width": 32,
            "activation": "leaky_relu",
            "norm": "none",
        }
        assert sum(p.numel() for p in config.model.build(classes=10).parameters()) == 7_760_394
        assert (config.epochs, config.batch, config.optimiser.name) == (35, 100, "adam")
        assert config.optimiser.weight_decay == 0
        assert config.loss.model_dump(exclude_none=True) == {
            "cross_entropy": {"factor": 1.0, "weights": "inverse", "norm": "count"}
        }
        assert config.monitor == "reference_accuracy"
        assert config.augment.changes_nothing
        assert config.ema is None
        assert config.early_stop is None
        steps = 654
        rates = [
            config.optimiser.lr * learning_rate_factor(config.schedule, epoch * steps, steps_per_epoch=steps, epochs=35)
            for epoch in range(35)
        ]
        assert rates == pytest.approx([1e-3] * 5 + [1e-4] * 30)

    def test_the_six_networks_of_the_fourth_study_are_trained_alike_and_as_it_says(self) -> None:
        names = ("grey_unet", "rgb_unet", "res_unet", "vgg11_unet", "vgg16_unet", "attention_unet")
        configs = [load_config(RECIPES / f"{name}.yaml") for name in names]
        found = {(config.model.name, config.model.grey) for config in configs}
        networks = ("res_unet", "vgg11_unet", "vgg16_unet", "attention_unet")
        assert found == {("unet", True), ("unet", False), *((name, False) for name in networks)}
        assert len({config.model_copy(update={"model": None}).model_dump_json() for config in configs}) == 1
        config = configs[0]
        assert (config.batch, config.optimiser.name, config.augment.flips) == (4, "adam", True)
        assert config.early_stop is not None
        assert config.early_stop.patience == 10
        # Ten epochs without a rise: 1e-4 times 0.95 an epoch, halved after the sixth and not under 1e-6.
        rates = [
            config.optimiser.lr
            * learning_rate_factor(config.schedule, epoch, steps_per_epoch=1, epochs=100, history=[0.5] + [0.4] * 99)
            for epoch in range(100)
        ]
        assert rates[:9] == pytest.approx([1e-4 * 0.95**e * (0.5 if e > 6 else 1) for e in range(9)])
        assert rates[30] == pytest.approx(1e-4 * 0.95**30 / 16)
        assert rates[31] == pytest.approx(1e-6)

    def test_the_networks_of_the_other_studies_are_theirs(self) -> None:
        first, third = load_config(RECIPES / "deconvnet.yaml"), load_config(RECIPES / "unet.yaml")
        assert first.model.model_extra == {"width": 64, "dropout": 0.5}
        assert (first.optimiser.name, first.optimiser.lr) == ("adam", 1e-4)
        for config in (first, third):
            assert config.loss.model_dump(exclude_none=True) == {
                "cross_entropy": {"factor": 1.0, "weights": "none", "norm": "count"}
            }
        assert third.model.sigmoid
        assert third.model.model_extra is not None
        assert third.model.model_extra["width"] == 64
        assert third.augment.flips
        assert third.augment.quarter_turns


class TestModel:
    def test_a_name_alone_is_a_network_with_all_defaults(self, tmp_path: Path) -> None:
        assert load_config(None, ["model=compact"]) == load_config(None, ["model={name: compact}"])
        file = tmp_path / "c.yaml"
        file.write_text("model: compact\n")
        assert load_config(file).model.model_dump()["width"] == 32

    def test_pretrained_weights_lie_beside_the_config_and_are_found_from_anywhere(self, tmp_path: Path) -> None:
        file = tmp_path / "c.yaml"
        file.write_text("model: {name: vgg11_unet, pretrained: vgg.pth}\n")
        assert load_config(file).model.pretrained == str(tmp_path / "vgg.pth")
        override = "model.pretrained=weights/vgg.pth"
        assert load_config(file, [override]).model.pretrained == str(Path.cwd() / "weights" / "vgg.pth")

    @pytest.mark.parametrize(
        ("override", "sentence"),
        [
            ("model=unet_haf", 'model: there is no network "unet_haf": did you mean "unet_half"?'),
            ("model={name: unet, pretrained: a.pth}", "model.pretrained: unet begins with no weights of others"),
            ("model={name: unet, grey: 1}", "model.grey: must be true or false, not 1"),
            ("model={name: unet, paddding: valid}", 'model.paddding: unet has no such option: did you mean "padding"?'),
            ("model={name: unet, padding: full}", "model.padding: must be one of same, valid, not 'full'"),
            ("model={name: deconvnet, dropout: 1.5}", "model.dropout: must be at least 0 and below 1, not 1.5"),
            ("model={name: deconvnet, dropout: true}", "model.dropout: must be of type float, not True"),
            ("model=3", "model: "),
            ("model=smp:Unet", 'model: "smp:Unet" must read smp:ARCHITECTURE/ENCODER, as in smp:Unet/resnet34'),
        ],
    )
    def test_what_is_wrong_with_it_is_told_with_its_key(self, override: str, sentence: str) -> None:
        assert any(fault.startswith(sentence) for fault in faults(override)), faults(override)
