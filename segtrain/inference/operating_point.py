"""From evidence to a name: when a red cell counts as infected, and what that says of the blood.

A set of smears is a third infected, blood is not, and a network's own odds hold for its set. So the odds from which a
cell counts as infected are chosen for a share of false alarms, on smears of cells of a laboratory that gave none to the
training, and kept with the run together with what they let through and what they find there. With both rates known, a
raw share is corrected (Rogan and Gladen, Am. J. Epidemiol. 107, 1978). Who knows how many cells of a blood are infected
moves the threshold by it: the fewer there are, the more of what is called infected would be healthy.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from smearsynth.base.errors import UserError
from smearsynth.base.files import write_text

FILE = "operating_point.json"
"""In a run's folder."""
FALSE_ALARMS = 5.0
"""Healthy cells of 1,000 that may be called infected, by default."""
EDGES = np.linspace(-12, 12, 241)
"""Log-odds above which the cells that a point was chosen on are counted, for what other thresholds would do."""
LEAST_CELLS = 200
"""Healthy cells, and infected ones, below which no operating point is chosen."""
Z = 1.959963984540054
"""Of the normal distribution, for an interval of 95 %."""


@dataclass(frozen=True)
class Rate:
    """So many of so many."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        return self.hits / self.total


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """threshold: log-odds of infected against healthy above which a red cell is infected. false_alarms: healthy cells
    above it; recall: infected cells above it; both of those that were found as red cells. odds_of: what the odds are
    made of, as `Networks.odds_of`. healthy, infected: how many of these cells are above each of `EDGES`. measured_on:
    the set, its digest and the split. epoch: of the run, whose network it was chosen for. prevalence: share of infected
    red cells that it was moved for, None for a share of false alarms."""

    threshold: float
    false_alarms: Rate
    recall: Rate
    odds_of: tuple[str, ...]
    healthy: tuple[int, ...]
    infected: tuple[int, ...]
    measured_on: str
    epoch: int
    prevalence: float | None = None

    def at_prevalence(self, share: float) -> "OperatingPoint":
        """Moved to where fewest cells would be named wrongly if `share` of the red cells were infected, above 0 and
        below 1; the lowest such threshold, and its rates. UserError where it was chosen on too few cells to say so."""
        if self.recall.total < LEAST_CELLS:
            raise UserError(
                f"the operating point was chosen on {self.recall.total} infected cells ({self.measured_on}), and to "
                f"move it takes {LEAST_CELLS}: leave it out",
                "prevalence",
            )
        alarms = np.array(self.healthy) / self.false_alarms.total
        found = np.array(self.infected) / self.recall.total
        best = int(np.argmin((1 - share) * alarms + share * (1 - found)))
        return replace(
            self,
            threshold=float(EDGES[best]),
            false_alarms=Rate(self.healthy[best], self.false_alarms.total),
            recall=Rate(self.infected[best], self.recall.total),
            prevalence=share,
        )

    def save(self, run: Path) -> None:
        """Writes it into a run's folder."""
        content = {name: value for name, value in asdict(self).items() if name != "prevalence"}
        write_text(run / FILE, json.dumps(content) + "\n", run / f"{FILE}.part")

    @classmethod
    def load(cls, run: Path) -> Self | None:
        """That of a run, None where none was chosen. UserError where its file is broken."""
        path = run / FILE
        try:
            known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            alarms, recall = (
                Rate(int(known[name]["hits"]), int(known[name]["total"])) for name in ("false_alarms", "recall")
            )
            point = cls(
                threshold=float(known["threshold"]),
                false_alarms=alarms,
                recall=recall,
                odds_of=tuple(map(str, known["odds_of"])),
                healthy=tuple(map(int, known["healthy"])),
                infected=tuple(map(int, known["infected"])),
                measured_on=str(known["measured_on"]),
                epoch=int(known["epoch"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError) as error:
            raise UserError(
                f"{path} cannot be read ({error}), or is of an earlier version: choose the operating point again, or "
                "remove it"
            ) from error
        sane = all(0 <= r.hits <= r.total > 0 for r in (alarms, recall)) and math.isfinite(point.threshold)
        for rate, curve in ((alarms, point.healthy), (recall, point.infected)):
            sane &= len(curve) == len(EDGES) and all(0 <= above <= rate.total for above in curve)
        if not sane:
            raise UserError(f"{path} holds figures that cannot be: choose the operating point again, or remove it")
        return point


def choose(
    score: npt.NDArray[np.float64],
    infected: npt.NDArray[np.bool_],
    *,
    false_alarms: float,
    odds_of: tuple[str, ...],
    measured_on: str,
    epoch: int,
    least: int = LEAST_CELLS,
) -> OperatingPoint:
    """The lowest threshold at which no more than `false_alarms` of 1,000 healthy cells are above it.

    score: float64 (n,), log-odds of infected of red cells. infected: bool (n,), whether they are. least: infected cells
    that must be there. Raises UserError where there are too few of either.
    """
    healthy, ill = np.sort(score[~infected]), score[infected]
    if len(healthy) < LEAST_CELLS or len(ill) < least:
        raise UserError(
            f"{measured_on}: {len(ill)} infected and {len(healthy)} healthy red cells were found there, and an "
            f"operating point takes {LEAST_CELLS} of each: build more smears"
        )
    allowed = min(math.floor(false_alarms / 1000 * len(healthy)), len(healthy) - 1)
    threshold = float(healthy[len(healthy) - 1 - allowed])
    return OperatingPoint(
        threshold=threshold,
        false_alarms=Rate(int((healthy > threshold).sum()), len(healthy)),
        recall=Rate(int((ill > threshold).sum()), len(ill)),
        odds_of=odds_of,
        healthy=_above(healthy),
        infected=_above(ill),
        measured_on=measured_on,
        epoch=epoch,
    )


def _above(score: npt.NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(n) for n in (score[:, None] > EDGES).sum(axis=0))


def corrected(raw: Rate, point: OperatingPoint) -> tuple[float, float, float] | None:
    """The share of infected cells by what is known of the network, 0 to 1, and its interval of 95 %, which holds the
    chance in all three counts (Lang and Reiczigel, Prev. Vet. Med. 113, 2014); None where the known rates tell nothing
    of this blood: no more is found than false alarms are given, or fewer cells are called infected than these would
    be, or more than if all were."""
    recall, alarms = point.recall, point.false_alarms
    if recall.value <= alarms.value:
        return None
    value = (raw.value - alarms.value) / (recall.value - alarms.value)
    # Their formula: each share is drawn towards a half by the counts that make its own interval hold.
    total = raw.total + Z**2
    share = (raw.hits + Z**2 / 2) / total
    found, spared = (recall.hits + 1) / (recall.total + 2), (alarms.total - alarms.hits + 1) / (alarms.total + 2)
    gain = found + spared - 1
    if gain <= 0:
        return None
    middle = (share + spared - 1) / gain
    of_found, of_spared = found * (1 - found) / (recall.total + 2), spared * (1 - spared) / (alarms.total + 2)
    shift = 2 * Z**2 * (middle * of_found - (1 - middle) * of_spared)
    spread = share * (1 - share) / total + middle**2 * of_found + (1 - middle) ** 2 * of_spared
    half = Z * math.sqrt(spread) / gain
    low, high = middle + shift - half, middle + shift + half
    if high < 0 or low > 1:
        return None
    low, high = max(low, 0.0), min(high, 1.0)
    return min(max(value, 0.0), 1.0), low, high
