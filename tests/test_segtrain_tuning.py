"""Networks that learn on: weights of a run, smears beside, and the named cells of a user's own fields."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from shard_set import write_fields, write_set

from segtrain.cli import main
from segtrain.data.cell_crops import CellCrops
from segtrain.data.mixture import Mixture, mixed_order
from segtrain.data.samples import Classes, Shards, read_index
from segtrain.evaluation.evaluate import evaluate
from segtrain.evaluation.named_cells import read_named_fields
from segtrain.experiments.fit import fit
from segtrain.experiments.named_cell_set import held_back, write_named_cells
from segtrain.inference.ready_networks import Networks
from segtrain.training.config import load_config
from segtrain.training.run_folder import load_trained
from segtrain.training.training_data import read_training_data
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, IGNORE, INFECTED_RBC

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (48, 48)
SHOWN = (1, 3, INFECTED_RBC, HEALTHY_RBC)
KEYS = [c.key for c in CLASSES]
NAMES = {str(i): KEYS[i] for i in SHOWN}
TINY = ("workers=0", "amp=off", "model.name=compact", "model.width=4", "epochs=1", "batch=4")


def by_colour(image: torch.Tensor) -> torch.Tensor:
    """A finder that knows the colours of the classes."""
    colours = torch.tensor([(235, 235, 235), *(c.rgb for c in CLASSES[1:])]) * 0.8 + 10
    distance = (image.float()[:, None] - colours[None, :, :, None, None]).abs().sum(dim=2)
    shown = torch.tensor([i in (0, *SHOWN) for i in range(len(CLASSES))])
    distance[:, ~shown] = 1e6
    return (-distance).softmax(dim=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "cells", size=SIZE, cells=True, shown=SHOWN, train=12, val=4)


class TestMixture:
    def test_its_samples_are_those_of_both(self, data: Path) -> None:
        one, other = Shards(data, "train"), Shards(data, "val")
        both = Mixture(one, other)
        assert len(both) == 16
        for source, number, i in ((one, 11, 11), (other, 0, 12), (other, 3, 15)):
            for mine, theirs in zip(both.read(i), source.read(number), strict=True):
                np.testing.assert_array_equal(mine, theirs)
            np.testing.assert_array_equal(both.instance(i), source.instance(number))
            np.testing.assert_array_equal(both.objects(i), source.objects(number))
        pixels = sum(np.bincount(both.read(i)[1].ravel(), minlength=10) for i in (2, 13))
        np.testing.assert_array_equal(both.pixels_per_class(np.array([2, 13])), pixels)
        assert both.digest not in (one.digest, Mixture(other, other).digest[:1])

    def test_others_of_another_size_are_refused(self, data: Path, tmp_path: Path) -> None:
        small = Shards(write_set(tmp_path / "small", size=(32, 32), train=2), "train")
        with pytest.raises(UserError, match=r"has smears of 32 x 32 px, and .* images of 48 x 48 px"):
            _ = Mixture(Shards(data, "train"), small).size

    def test_the_share_holds_and_others_are_not_repeated_before_all_were_seen(self) -> None:
        own, others = np.array([3, 5]), np.arange(100)
        order = mixed_order(own, others, share=0.75, images=40, first=10, seed=1)
        assert len(order) == 40
        assert np.bincount(order)[[3, 5]].tolist() == [5, 5]
        assert len(set(order[order >= 10])) == 30
        nothing = own[:0]
        alone = mixed_order(own, nothing, share=0.9, images=4, first=10, seed=1)
        assert sorted(alone) == [3, 3, 5, 5]
        assert (mixed_order(nothing, others, share=0.1, images=5, first=10, seed=1) >= 10).all()

    def test_every_class_of_cells_keeps_its_share(self, data: Path, tmp_path: Path) -> None:
        """Own fields show red cells only; white ones stay half of what is learnt, and are those of the smears."""
        red = (INFECTED_RBC, HEALTHY_RBC)
        own = write_set(tmp_path / "red", size=SIZE, cells=True, shown=red, digest="cd" * 32, train=6, val=2)
        asked = ["model={name: lite_cells, crop: 32, encoder_weights: none}", "loss={cells: {}}", "images=80"]
        parts = read_training_data(load_config(None, [*asked, f"data={own}", f"mix={{data: {data}, share: 0.25}}"]))
        assert parts.training is not None
        mine = parts.training < len(CellCrops(Shards(own, "train"), crop=32))
        kinds = np.array([parts.shards.objects(i)[0, 0] for i in parts.training])
        assert {kind: (mine & (kinds == kind)).sum() for kind in SHOWN} == {1: 0, 3: 0, 8: 15, 9: 15}
        assert {kind: (kinds == kind).sum() for kind in SHOWN} == dict.fromkeys(SHOWN, 20)

    @pytest.mark.slow
    def test_a_training_learns_both_and_a_resume_finds_them_changed(self, data: Path, tmp_path: Path) -> None:
        own = write_set(tmp_path / "own", size=SIZE, cells=True, shown=SHOWN, digest="cd" * 32, train=4, val=2)
        asked = [*TINY, f"mix={{data: {data}, share: 0.5}}", "images=8"]
        config = load_config(None, [*asked, f"data={own}"])
        parts = read_training_data(config)
        assert parts.training is not None
        assert (parts.training < 4).sum() == 4
        assert len(parts.held_out) == 2 + 4
        run = fit(own, overrides=asked, run=tmp_path / "run", pictures=False).run
        assert load_trained(run).config.mix is not None  # whoever uses the network reads it
        with pytest.raises(UserError, match=r"mix\.share: 0\.5, now 0\.25"):
            fit(own, overrides=["mix.share=0.25"], run=run, resume=True)
        with pytest.raises(UserError, match="has drawn 8 samples from both"):
            fit(own, overrides=["images=16"], run=run, resume=True)
        with pytest.raises(UserError, match="not with `overfit`"):
            load_config(None, [*asked, "overfit=2"])


class TestStart:
    def test_a_training_begins_with_the_weights_of_a_run(self, data: Path, tmp_path: Path) -> None:
        first = fit(data, overrides=TINY, run=tmp_path / "first", pictures=False).run
        still = ["images=4", "epochs=1", "batch=4", "optimiser.lr=1e-12", "ema=null"]
        second = fit(data, start=first, overrides=still, run=tmp_path / "second", pictures=False).run
        one, other = (dict(load_trained(run).model.named_parameters()) for run in (first, second))
        for name, weights in one.items():
            torch.testing.assert_close(weights, other[name], rtol=0, atol=1e-6)
        config = load_config(second / "config.yaml")
        assert config.model.name == "compact"
        assert config.start == str(first)
        fit(data, start=first, overrides=["images=8"], run=second, resume=True, pictures=False)
        with pytest.raises(UserError, match=rf"second began with the weights of {first}, and goes on from its own"):
            fit(data, start="shipped", overrides=["images=12"], run=second, resume=True)

    @pytest.mark.slow
    def test_a_set_without_parasites_leaves_what_was_learnt_of_them(self, data: Path, tmp_path: Path) -> None:
        parasites = (*TINY, "model.parasite=true", "loss.parasite={}")
        first = fit(data, overrides=parasites, run=tmp_path / "first", pictures=False).run
        plain = write_set(tmp_path / "plain", size=SIZE, shown=SHOWN, train=4, val=2)
        short = ["images=8", "epochs=1", "batch=4", "workers=0", "ema=null"]
        second = fit(plain, start=first, overrides=short, run=tmp_path / "second", pictures=False).run
        one, other = (dict(load_trained(run).model.named_parameters()) for run in (first, second))
        # Of the last layer, whose outputs are in the order of the channels, one in eleven is the parasite's.
        name, outputs = list(one)[-1], len(CLASSES) + 1
        parasite = len(one[name]) // outputs
        assert parasite * outputs == len(one[name])
        torch.testing.assert_close(one[name][-parasite:], other[name][-parasite:], rtol=0, atol=0)
        assert not torch.equal(one[name][:-parasite], other[name][:-parasite])

    def test_other_classes_are_told(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="whose weights do not fit the config"):
            fit(data, start="shipped", overrides=["model={name: compact}", "loss={dice: {}}"], run=tmp_path / "run")
        assert not (tmp_path / "run").exists()


class TestFields:
    def test_the_named_cells_become_a_set_and_nothing_else_does(self, tmp_path: Path) -> None:
        root = write_fields(tmp_path / "lab", 6, shown=SHOWN)
        with (root / "cells.csv").open("a") as file:
            file.write("0.png,8,1,1\n")  # glass, or a cell with another name
        fields = read_named_fields(root, NAMES)
        classes = Classes(tuple(range(10)), tuple(KEYS), tuple(c.colour for c in CLASSES))
        finder = Networks(members=(by_colour,), classes=classes, um_per_px=0.2)
        scales = {field.path: 0.2 for field in fields}
        index = write_named_cells(tmp_path / "set", root, fields, finder, scales, patch=None, seed=0, progress=False)
        assert [field["split"] for field in index["fields"]].count("val") == len(held_back(fields, 0)) == 1
        found = 0
        for split in ("train", "val"):
            shards = Shards(tmp_path / "set", split)
            for i in range(len(shards)):
                _, label = shards.read(i)
                instance, objects = shards.instance(i), shards.objects(i)
                np.testing.assert_array_equal(label == IGNORE, instance == 0)
                for number, (kind, x, y, width, height, visible, full) in enumerate(objects.tolist(), 1):
                    rows, columns = np.nonzero(instance == number)
                    assert set(label[rows, columns]) == {kind}
                    box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1, len(rows))
                    assert box == (x, y, width, height, visible)
                    assert visible == full
                found += len(objects)
            assert len(CellCrops(shards, crop=32)) == sum(len(shards.objects(i)) for i in range(len(shards)))
        named = sum(len(field.cells) for field in fields)
        assert found == sum(sum(field["cells"].values()) for field in index["fields"])
        assert 0 < found <= named - sum(index["left_out"].values())

    def test_fields_of_the_rarest_class_are_shared_out_first(self, tmp_path: Path) -> None:
        root = write_fields(tmp_path / "lab", 8, shown=SHOWN)
        (root / "cells.csv").write_text(
            "file,class,x,y\n"
            + "".join(f"{i}.png,{k},9,9\n" for i in range(8) for k in (9, 9, *([8] if i < 4 else [])))
        )
        for seed in range(5):
            held = held_back(read_named_fields(root, NAMES), seed)
            assert len(held) == 2
            assert len(held & {0, 1, 2, 3}) == 1
        with pytest.raises(UserError, match="annotate another"):
            held_back(read_named_fields(root, NAMES)[:1], 0)

    def test_what_belongs_to_fields_is_told(self, data: Path, tiny_run: Path, tmp_path: Path) -> None:
        told = CliRunner().invoke(main, ["fit", str(data), "--um-per-px", "0.2"])
        assert told.exit_code == 2
        assert "belongs to fields whose cells are named" in told.stderr
        assert "--um-per-px" in told.stderr
        told = CliRunner().invoke(main, ["fit", str(data), "--folds", "2", "--from", "shipped"])
        assert told.exit_code == 2
        assert "without folds" in told.stderr
        lab = write_fields(tmp_path / "lab", 2, shown=SHOWN)
        with pytest.raises(UserError, match=r"is no set: .* say what the names stand for \(classes\)"):
            fit(lab, start=tiny_run)
        with pytest.raises(UserError, match="finds cells itself"):
            fit(lab, classes=NAMES, um_per_px=0.2, start=tiny_run, finder="shipped")

    @pytest.mark.slow
    def test_before_and_after_are_what_evaluate_says_of_the_fields_held_back(self, data: Path, tmp_path: Path) -> None:
        learnt = [*TINY, "model.width=8", "images=640", "optimiser.lr=0.01"]
        start = fit(data, overrides=learnt, run=tmp_path / "start", pictures=False).run
        lab, run = write_fields(tmp_path / "lab", 6, shown=SHOWN), tmp_path / "run"
        asked = {"classes": NAMES, "um_per_px": 0.2, "start": start, "run": run, "pictures": False}
        tuned = fit(lab, overrides=["images=8", "epochs=1", "workers=0"], **asked).figures["tuned"]
        files = {field["file"]: field["split"] == "val" for field in read_index(run / "fields")["fields"]}
        assert sum(files.values()) == tuned["held_back"] == 1
        table = (lab / "cells.csv").read_text().splitlines(keepends=True)
        held = tmp_path / "held"
        held.mkdir()
        for file in (file for file, is_held in files.items() if is_held):
            (lab / file).rename(held / file)
            (held / "cells.csv").write_text("".join([table[0], *(row for row in table if row.startswith(f"{file},"))]))
        for network, when in ((start, "before"), (run, "after")):
            found = evaluate(network, held, classes=NAMES, um_per_px=0.2, progress=False)
            assert {name: found[name] for name in tuned[when]} == tuned[when]
        kept = [row for row in table if not (held / row.split(",")[0]).is_file()]
        (lab / "cells.csv").write_text("".join(kept))
        with pytest.raises(UserError, match=r"holds back fields that .* lacks"):
            fit(lab, resume=True, overrides=["images=16"], **asked)
