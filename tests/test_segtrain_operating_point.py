"""The operating point: the lowest threshold that keeps to its false alarms; shares corrected by what it does."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segtrain.counting.operating_point import FILE, OperatingPoint, Rate, choose, corrected, threshold_of
from smearsynth.base.errors import UserError


def point(recall: float, alarms: float, *, cells: int = 2000) -> OperatingPoint:
    return OperatingPoint(
        threshold=1.0,
        false_alarms=Rate(round(alarms * cells), cells),
        recall=Rate(round(recall * cells), cells),
        measured_on="set, val",
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 2.5, 5.0, 50.0]))
def test_no_lower_threshold_keeps_to_the_false_alarms(seed: int, false_alarms: float) -> None:
    rng = np.random.default_rng(seed)
    # Rounded, so that scores are met several times.
    score = np.round(np.concatenate([rng.normal(-3, 1, 700), rng.normal(2, 2, 300)]), 1)
    infected = np.arange(1000) >= 700
    chosen = choose(score, infected, false_alarms=false_alarms, measured_on="set")
    above = (score[~infected] > chosen.threshold).sum()
    assert above == chosen.false_alarms.hits
    assert above * 1000 <= false_alarms * 700
    assert chosen.recall.hits == (score[infected] > chosen.threshold).sum()
    lower = score[~infected][score[~infected] <= chosen.threshold]
    assert (score[~infected] > np.unique(lower)[-1] - 0.05).sum() * 1000 > false_alarms * 700


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(UserError, match=r"3 infected and 997 healthy .* takes 200 of each: build more smears"):
        choose(np.zeros(1000), np.arange(1000) < 3, false_alarms=5, measured_on="set")


def test_with_a_perfect_network_nothing_is_corrected() -> None:
    share = corrected(Rate(13, 1000), point(1.0, 0.0, cells=10**7))
    assert share is not None
    assert share[0] == pytest.approx(0.013)
    # What is left is the interval of Agresti and Coull: of 14.92 in 1,003.84, 1.96 deviations of 0.00382 each way.
    assert share[1:] == pytest.approx((0.01486 - 1.96 * 0.00382, 0.01486 + 1.96 * 0.00382), abs=2e-5)


def test_false_alarms_alone_are_corrected_to_none_and_what_finds_no_more_than_chance_is_refused() -> None:
    share = corrected(Rate(5, 1000), point(0.8, 0.005))
    assert share is not None
    assert share[0] == pytest.approx(0.0, abs=1e-12)
    assert share[1] == 0.0 < share[2]
    assert corrected(Rate(50, 1000), point(0.01, 0.01)) is None


@pytest.mark.parametrize(("true", "recall", "alarms"), [(0.013, 0.6, 0.01), (0.05, 0.8, 0.005), (0.3, 0.7, 0.05)])
def test_the_interval_holds_the_true_share_in_about_95_of_100_fields(true: float, recall: float, alarms: float) -> None:
    rng, held, values = np.random.default_rng(7), 0, []
    for _ in range(2000):
        measured = OperatingPoint(
            threshold=0.0,
            recall=Rate(int(rng.binomial(400, recall)), 400),
            false_alarms=Rate(int(rng.binomial(1500, alarms)), 1500),
            measured_on="set",
        )
        seen = int(rng.binomial(2500, true * recall + (1 - true) * alarms))
        share = corrected(Rate(seen, 2500), measured)
        assert share is not None
        held += share[1] <= true <= share[2]
        values.append(share[0])
    # Of 2,000 draws at 95 %, 94 to 98.5 lie within six deviations and the interval's known excess.
    assert 0.935 <= held / 2000 <= 0.99
    assert np.mean(values) == pytest.approx(true, rel=0.15)


def test_the_threshold_of_a_prevalence_is_bayes() -> None:
    assert threshold_of(0.3, 0.3) == pytest.approx(0)
    # A cell with even odds by the likelihood alone: log-odds of the training's share; infected at 0.013 by 0.013.
    log_odds = threshold_of(0.013, 0.33)
    likelihood = np.exp(log_odds) * (1 - 0.33) / 0.33
    assert likelihood * 0.013 / (1 - 0.013) == pytest.approx(1)


def test_it_is_read_as_it_was_written_and_a_broken_one_is_named(tmp_path: Path) -> None:
    assert OperatingPoint.load(tmp_path) is None
    point(0.8, 0.005).save(tmp_path)
    assert OperatingPoint.load(tmp_path) == point(0.8, 0.005)
    known = json.loads((tmp_path / FILE).read_text())
    for change in ({"threshold": "NaN"}, {"recall": {"hits": 3, "total": 2}}, {"false_alarms": 7}):
        (tmp_path / FILE).write_text(json.dumps(known | change))
        with pytest.raises(UserError, match=r"operating_point\.json .*choose the operating point again"):
            OperatingPoint.load(tmp_path)
