"""The operating point: the lowest threshold that keeps to its false alarms; shares corrected by what it does; chosen on
a set, kept with the run, and used by `count` and `evaluate`."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from grafted_bank import grafted
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segtrain.cli import main
from segtrain.counting.cell_measures import count_field
from segtrain.counting.load import load
from segtrain.data.samples import Shards
from segtrain.evaluation.operate import operate
from segtrain.experiments.fit import fit
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.operating_point import EDGES, FILE, OperatingPoint, Rate, choose, corrected
from segtrain.inference.ready_networks import load_networks
from segtrain.training.run_folder import load_trained
from smearsynth.bank.bank_file import save_bank
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC
from smearsynth.verbs.build import build

pytestmark = pytest.mark.usefixtures("one_thread")
NONE = (0,) * len(EDGES)
"""No cell above any odds, where these do not matter."""


def point(recall: float, alarms: float, *, cells: int = 2000) -> OperatingPoint:
    return OperatingPoint(
        threshold=1.0,
        false_alarms=Rate(round(alarms * cells), cells),
        recall=Rate(round(recall * cells), cells),
        odds_of=("pixels",),
        healthy=NONE,
        infected=NONE,
        measured_on="set, val",
        epoch=4,
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 2.5, 5.0, 50.0]))
def test_no_lower_threshold_keeps_to_the_false_alarms(seed: int, false_alarms: float) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that scores are met several times.
    score = np.round(np.concatenate([rng.normal(-3, 1, 700), rng.normal(2, 2, 300)]), 1)
    infected = np.arange(1000) >= 700
    chosen = choose(score, infected, false_alarms=false_alarms, odds_of=("pixels",), measured_on="set", epoch=4)
    above = (score[~infected] > chosen.threshold).sum()
    assert above == chosen.false_alarms.hits
    assert above * 1000 <= false_alarms * 700
    assert chosen.recall.hits == (score[infected] > chosen.threshold).sum()
    lower = score[~infected][score[~infected] <= chosen.threshold]
    assert (score[~infected] > np.unique(lower)[-1] - 0.05).sum() * 1000 > false_alarms * 700


@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 0.9))
def test_where_few_are_infected_no_other_threshold_names_fewer_cells_wrongly(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    healthy, ill = rng.normal(-3, 1.5, 900), rng.normal(2, 2, 300)
    score, infected = np.concatenate([healthy, ill]), np.arange(1200) >= 900
    chosen = choose(score, infected, false_alarms=5, odds_of=("pixels",), measured_on="set", epoch=4)
    moved = chosen.at_prevalence(share)

    def wrong(threshold: float) -> float:
        return float((1 - share) * np.mean(healthy > threshold) + share * np.mean(ill <= threshold))

    assert wrong(moved.threshold) == pytest.approx(min(map(wrong, EDGES)))
    assert moved.threshold >= chosen.at_prevalence(min(3 * share, 0.99)).threshold
    assert (moved.false_alarms.hits, moved.false_alarms.total) == ((healthy > moved.threshold).sum(), 900)
    assert (moved.recall.hits, moved.recall.total) == ((ill > moved.threshold).sum(), 300)
    assert (moved.prevalence, moved.measured_on, moved.odds_of) == (share, "set", ("pixels",))


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 infected and 997 healthy .* takes 200 of each: build more smears"):
        choose(np.zeros(1000), np.arange(1000) < 3, false_alarms=5, odds_of=("pixels",), measured_on="set", epoch=4)


def test_with_a_perfect_network_nothing_is_corrected() -> None:
    share = corrected(Rate(13, 1000), point(1.0, 0.0, cells=10**7))
    assert share is not None
    assert share[0] == pytest.approx(0.013)
    # What is left is the interval of Agresti and Coull: of 14.92 in 1,003.84, 1.96 deviations of 0.00382 each way.
    assert share[1:] == pytest.approx((0.01486 - 1.96 * 0.00382, 0.01486 + 1.96 * 0.00382), abs=2e-5)


def test_false_alarms_alone_are_corrected_to_none_and_what_finds_no_more_than_chance_is_refused() -> None:
    assert corrected(Rate(0, 3000), point(0.6, 0.02)) is None, "false alarms would be more"
    assert corrected(Rate(5, 10), point(0.99, 0.9899, cells=10)) is None
    share = corrected(Rate(5, 1000), point(0.8, 0.005))
    assert share is not None
    assert share[0] == pytest.approx(0.0, abs=1e-12)
    assert share[1] == 0.0 < share[2]
    assert corrected(Rate(50, 1000), point(0.01, 0.01)) is None


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 300), st.integers(0, 300), st.integers(1, 300))
def test_an_interval_is_one_and_more_than_all_cells_are_never_infected(
    hits: int, total: int, found: int, alarms: int, cells: int
) -> None:
    measured = OperatingPoint(
        threshold=0.0,
        recall=Rate(min(found, cells), cells),
        false_alarms=Rate(min(alarms, cells), cells),
        odds_of=("pixels",),
        healthy=NONE,
        infected=NONE,
        measured_on="set",
        epoch=4,
    )
    share = corrected(Rate(min(hits, total), total), measured)
    assert share is None or (0 <= share[1] <= share[2] <= 1 and 0 <= share[0] <= 1)


@pytest.mark.parametrize(("true", "recall", "alarms"), [(0.013, 0.6, 0.01), (0.05, 0.8, 0.005), (0.3, 0.7, 0.05)])
def test_the_interval_holds_the_true_share_in_about_95_of_100_fields(true: float, recall: float, alarms: float) -> None:
    rng, held, values = np.random.default_rng(7), 0, []
    for _ in range(2000):
        measured = OperatingPoint(
            threshold=0.0,
            recall=Rate(int(rng.binomial(400, recall)), 400),
            false_alarms=Rate(int(rng.binomial(1500, alarms)), 1500),
            odds_of=("pixels",),
            healthy=NONE,
            infected=NONE,
            measured_on="set",
            epoch=4,
        )
        seen = int(rng.binomial(2500, true * recall + (1 - true) * alarms))
        share = corrected(Rate(seen, 2500), measured)
        assert share is not None
        held += share[1] <= true <= share[2]
        values.append(share[0])
    # Of 2,000 draws at 95 %, 94 to 98.5 lie within six deviations and the interval's known excess.
    assert 0.935 <= held / 2000 <= 0.99
    assert np.mean(values) == pytest.approx(true, rel=0.15)


def test_it_is_read_as_it_was_written_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert OperatingPoint.load(tmp_path) is None
    point(0.8, 0.005).save(tmp_path)
    assert OperatingPoint.load(tmp_path) == point(0.8, 0.005)
    known = json.loads((tmp_path / FILE).read_text())
    for change in ({"threshold": "NaN"}, {"recall": {"hits": 3, "total": 2}}, {"false_alarms": 7}, {"healthy": [3, 2]}):
        (tmp_path / FILE).write_text(json.dumps(known | change))
        with pytest.raises(UserError, match=r"operating_point\.json .*choose the operating point again"):
            OperatingPoint.load(tmp_path)
    (tmp_path / FILE).write_text(json.dumps({key: value for key, value in known.items() if key != "odds_of"}))
    with pytest.raises(UserError, match=r"'odds_of'.*choose the operating point again"):
        OperatingPoint.load(tmp_path)  # of a version whose odds were of something else


TINY = ("model.name=compact", "model.width=8", "batch=4", "optimiser.lr=0.01", "workers=0", "amp=off")
RECIPE = """\
version: 1
name: red
size: [96, 128]
count: {train: 60, val: 4, test: 100}
sources: [{kind: crops, root: not-read}]
scene:
  combinations: [none/mixed]
  parasitaemia_range: [0.4, 0.6]
  density_range: [0.4, 0.5]
  overlapping_range: [0, 0]
  touching_range: [0, 0]
looks: [reference]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Infected and healthy red cells on white."""
    folder = tmp_path_factory.mktemp("red")
    (folder / "red.yaml").write_text(RECIPE)
    save_bank(grafted(), folder / "bank.h5")
    build(folder / "red.yaml", out=folder / "set", bank=folder / "bank.h5", workers=1, progress=False)
    return folder / "set"


@pytest.fixture(scope="module")
def other(data: Path) -> Path:
    """A set of the same cells in other places."""
    folder = data.parent
    options = {"bank": folder / "bank.h5", "workers": 1, "progress": False, "overrides": ["seed=1"]}
    build(folder / "red.yaml", out=folder / "other", **options)
    return folder / "other"


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    overrides = [*TINY, "epochs=6", "loss.cells={least: 20}", "loss.cross_entropy={weights: none}"]
    return fit(data, overrides=overrides, run=tmp_path_factory.mktemp("runs") / "run", pictures=False).run


@pytest.mark.slow
def test_it_is_chosen_on_a_set_and_kept_with_the_run(run: Path, other: Path) -> None:
    result = CliRunner().invoke(main, ["operate", str(run), str(other), "--false-alarms", "20", "--json"])
    assert result.exit_code == 0, result.stderr
    point = OperatingPoint.load(run)
    assert point is not None
    assert json.loads(result.stdout)["threshold"] == point.threshold
    assert point.false_alarms.value <= 0.02
    assert min(point.false_alarms.total, point.recall.total) > 200
    networks, shards = load_networks([run]), Shards(other, "test")
    alarms = infected = 0
    for number in range(len(shards)):
        image, label = shards.read(number)
        found, _ = count_field(networks, ArrayReader(image, "smear"), 0.2)
        for cell in found.cells:
            assert cell.infected_odds is not None
            assert (cell.kind == "infected_rbc") == (cell.infected_odds > point.threshold)
            kinds = np.bincount(label[found.map == cell.number], minlength=10)
            alarms += bool(kinds.argmax() == HEALTHY_RBC and cell.kind == "infected_rbc")
            infected += bool(kinds.argmax() == INFECTED_RBC and cell.kind == "infected_rbc")
    assert abs(alarms - point.false_alarms.hits) <= 3
    assert abs(infected - point.recall.hits) <= 3 + 0.02 * point.recall.hits


@pytest.mark.slow
def test_count_corrects_by_it_and_says_so(run: Path, data: Path, tmp_path: Path) -> None:
    epoch = load_trained(run).epoch
    replace(point(0.8, 0.01, cells=1000), threshold=-50.0, epoch=epoch).save(run)
    Image.fromarray(np.asarray(Shards(data, "test").read(0)[0])).save(tmp_path / "field.png")
    command = ["count", str(run), str(tmp_path / "field.png"), "--um-per-px", "0.2", "--out", str(tmp_path / "c.csv")]
    command.append("--overwrite")
    told = CliRunner().invoke(main, [*command, "--json"])
    figures = json.loads(told.stdout)["all"]
    assert figures["cells"]["healthy_rbc"] == 0
    assert figures["parasitaemia"]["value"] == figures["parasitaemia_corrected"]["value"] == 1
    assert "corrected" in CliRunner().invoke(main, command).stdout
    replace(point(0.01, 0.01, cells=1000), threshold=50.0, epoch=epoch).save(run)
    useless = CliRunner().invoke(main, [*command, "--json"])
    figures = json.loads(useless.stdout)["all"]
    assert (figures["parasitaemia"]["value"], figures["parasitaemia_corrected"]) == (0, None)
    assert any("is not corrected" in sentence for sentence in figures["warnings"])


@pytest.mark.slow
def test_a_share_that_is_known_moves_it_and_every_table_says_so(run: Path, data: Path, tmp_path: Path) -> None:
    # Of healthy cells none is above -1, and of infected ones none above 3: whoever expects few goes by the first.
    curve = {"healthy": np.where(EDGES < -1, 900, 0), "infected": np.where(EDGES < 3, 950, 0)}
    plain = {name: tuple(values.tolist()) for name, values in curve.items()}
    replace(point(0.8, 0.01, cells=1000), threshold=50.0, epoch=load_trained(run).epoch, **plain).save(run)
    Image.fromarray(np.asarray(Shards(data, "test").read(0)[0])).save(tmp_path / "field.png")
    command = ["count", str(run), str(tmp_path / "field.png"), "--um-per-px", "0.2", "--out", str(tmp_path / "c.csv")]
    told = CliRunner().invoke(main, [*command, "--prevalence", "0.02", "--json"])
    assert told.exit_code == 0, told.stderr
    figures = json.loads(told.stdout)
    known = {"operating_point": -1.0, "false_alarms": "0 of 1000", "recall": "950 of 1000", "prevalence": 0.02}
    assert known.items() <= figures["made_with"].items()
    with (tmp_path / "c.csv").open(newline="") as file:
        assert {row["prevalence"] for row in csv.DictReader(file)} == {"0.02"}
    moved = load(run, prevalence=0.02)
    cells = moved.count(tmp_path / "field.png", 0.2).found[0].cells
    assert "infected_rbc" in {cell.kind for cell in cells}
    assert all((cell.kind == "infected_rbc") == (cell.infected_odds > -1) for cell in cells)
    label = np.asarray(moved.predict(tmp_path / "field.png", 0.2).label)
    assert label[round(cells[0].y), round(cells[0].x)] == moved.networks.classes.id_of(cells[0].kind)
    assert {cell["class"] for cell in load(run).count(tmp_path / "field.png", 0.2).cells} == {"healthy_rbc"}
    for wrong in ("0", "1", "-0.1", "nan"):
        assert CliRunner().invoke(main, [*command, "--prevalence", wrong]).exit_code == 2
        with pytest.raises(UserError, match="is no share of infected red cells"):
            load(run, prevalence=float(wrong))
    with pytest.raises(UserError, match="several runs have no operating point together"):
        load(run, others=[run], prevalence=0.02)
    (run / FILE).unlink()
    told = CliRunner().invoke(main, [*command, "--overwrite", "--prevalence", "0.02"])
    assert told.exit_code == 2
    assert "choose one with `segtrain operate`" in told.stderr
    assert "--prevalence" in told.stderr


@pytest.mark.slow
def test_annotated_fields_are_named_at_the_operating_point(run: Path, data: Path, tmp_path: Path) -> None:
    epoch = load_trained(run).epoch
    shards = Shards(data, "test")
    rows, wanted = ["file,class,x,y,width,height"], {INFECTED_RBC: 0, HEALTHY_RBC: 0}
    for number in range(6):
        image, label = shards.read(number)
        Image.fromarray(np.asarray(image)).save(tmp_path / f"{number}.png")
        instance = shards.instance(number)
        for cell in np.unique(instance)[1:]:
            ys, xs = np.nonzero(instance == cell)
            if len(ys) > 60:
                kind = int(label[ys[0], xs[0]])
                wanted[kind] += 1
                name = {INFECTED_RBC: "ring", HEALTHY_RBC: "rbc"}[kind]
                rows.append(f"{number}.png,{name},{xs.min()},{ys.min()},{np.ptp(xs) + 1},{np.ptp(ys) + 1}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "names.yaml").write_text("ring: infected_rbc\nrbc: healthy_rbc\n")
    alarms = {}
    for threshold in (-50.0, 50.0):
        replace(point(0.5, 0.0), threshold=threshold, epoch=epoch).save(run)
        command = ["evaluate", str(run), str(tmp_path), "--classes", str(tmp_path / "names.yaml"), "--um-per-px", "0.2"]
        figures = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)["infection"]
        assert (figures["infected"], figures["healthy"]) == tuple(wanted.values())
        alarms[threshold] = figures["false_alarms_per_1000"]["value"], figures["recall"]["value"]
    assert alarms[50.0] == (0, 0)
    # A box may hold more of a neighbour than of its own cell, and that is then what it is called.
    assert min(alarms[-50.0][0] / 1000, alarms[-50.0][1]) > 0.9


@pytest.mark.slow
def test_what_cannot_be_chosen_is_refused(run: Path, data: Path, other: Path, tmp_path: Path) -> None:
    plain = fit(data, overrides=[*TINY, "epochs=1"], run=tmp_path / "plain", pictures=False).run
    with pytest.raises(UserError, match=r"plain has not learnt to name whole cells: train it with `loss\.cells`"):
        operate(plain, other, progress=False)
    with pytest.raises(UserError, match=r"infected and \d+ healthy red cells were found there"):
        operate(run, other, split="val", progress=False)
    replace(point(0.5, 0.1), epoch=99).save(run)
    with pytest.raises(UserError, match=r"healthy red cells were found there"):
        operate(run, other, split="val", progress=False)
    kept = OperatingPoint.load(run)
    assert kept is not None, "what is refused loses nothing"
    assert kept.epoch == 99
    with pytest.raises(UserError, match=r"was trained on .* take a set of cells of another laboratory"):
        operate(run, data, progress=False)


@pytest.mark.slow
def test_one_of_another_network_or_of_other_odds_is_refused(run: Path) -> None:
    epoch = load_trained(run).epoch
    for change, words in (
        ({"epoch": 99}, "was chosen for the network of epoch 99"),
        ({"odds_of": ("crop", "pixels")}, r"was chosen for odds of crop \+ pixels, and not for odds of pixels"),
    ):
        replace(point(0.8, 0.005), **{"epoch": epoch, **change}).save(run)
        with pytest.raises(UserError, match=words):
            load_networks([run])
