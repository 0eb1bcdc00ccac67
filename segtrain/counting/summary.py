"""What a laboratory reports of the cells that were counted, whether they were enough to report it, and that as text."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import betaincinv

from segtrain.counting.cell_measures import MeasuredCell
from segtrain.inference.operating_point import OperatingPoint, Rate, Z, corrected
from smearsynth.base.command_line import columns
from smearsynth.taxonomy import (
    CLASSES,
    HEALTHY_RBC,
    INFECTED_RBC,
    PLATELET_CLUMP,
    RED_CELLS,
    THROMBOCYTE,
    UNSURE,
    WHITE_CELLS,
    display_name,
)

ENOUGH_RED = 2000
"""Red cells for a parasitaemia. Counts on thin films are against 1,000 or 2,000; of 2,000 they lie nearer to the truth
(simulation in Malaria Journal 19, 2020, s12936-020-03352-z, table 3)."""
ENOUGH_WHITE = 200
"""White cells for a differential: what each of two examiners counts for the 400 of the reference method (CLSI
H20-A2)."""
SUSPECT = (
    "half of the red cells or more are called infected, which blood hardly ever holds: mind colour, light and scale of "
    "the image"
)
"""Warning of a parasitaemia that an image out of order gives."""
_DOUBTFUL = 0.5
"""Confidence under which less than half of what the network saw of a cell speaks for its class."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CountSummary:
    """Of all counted cells.

    cells: how many by class, of every class that the network knows. unsure: those whose class is not sure, which are in
    no other count. parasitaemia: infected of all red cells;
    parasitaemia_corrected: the same by what the network's operating point lets through and misses, None without one.
    differential: share of each white-cell class among `differential_of` white cells. platelets_per_red_cell: of single
    platelets. None or empty where no such cell was seen or the network does not distinguish them. warnings: sentences.
    """

    cells: dict[str, int]
    red_cells: int
    white_cells: int
    unsure: int
    not_counted: int
    parasitaemia: Share | None
    parasitaemia_corrected: Share | None
    differential: dict[str, Share]
    differential_of: int
    platelets_per_red_cell: float | None
    warnings: tuple[str, ...]

    @property
    def white_keys(self) -> list[str]:
        """Keys of the white-cell classes that the network knows."""
        return [CLASSES[i].key for i in WHITE_CELLS if CLASSES[i].key in self.cells]


def summarise(
    cells: Sequence[MeasuredCell],
    *,
    keys: Sequence[str],
    point: OperatingPoint | None = None,
    white_cells: int | None = None,
) -> CountSummary:
    """cells: all that were found, also those at the border that do not count. keys: of the network's classes,
    background first. point: of the network. white_cells: of which the differential is, the first ones in the order of
    `cells`, as an examiner counts to 100 or 200 and stops; None: of all."""
    counted = [cell for cell in cells if cell.counted]
    frequency = Counter(cell.kind for cell in counted)
    by_class = {key: frequency[key] for key in keys[1:]}
    red = sum(by_class.get(CLASSES[i].key, 0) for i in RED_CELLS)
    white = [CLASSES[i].key for i in WHITE_CELLS if CLASSES[i].key in by_class]
    seen = [cell.kind for cell in counted if cell.kind in white]
    whites = len(seen)
    typed = Counter(seen[:white_cells])
    of = typed.total()
    malaria = {CLASSES[i].key for i in (INFECTED_RBC, HEALTHY_RBC)} <= by_class.keys()
    platelets = by_class.get(CLASSES[THROMBOCYTE].key)
    infected = by_class.get(CLASSES[INFECTED_RBC].key, 0)
    better = corrected(Rate(infected, red), point) if point and malaria and red else None
    useless = ("the operating point's known errors do not fit this blood: its parasitaemia is not corrected",)
    return CountSummary(
        cells=by_class,
        red_cells=red,
        white_cells=whites,
        unsure=frequency[UNSURE],
        not_counted=len(cells) - len(counted),
        parasitaemia=wilson(infected, red) if malaria and red else None,
        parasitaemia_corrected=Share(value=better[0], low=better[1], high=better[2]) if better else None,
        differential={key: exact(typed[key], of) for key in white} if of else {},
        differential_of=of,
        platelets_per_red_cell=platelets / red if platelets is not None and red else None,
        warnings=(
            *((SUSPECT,) if malaria and red and 2 * infected >= red else ()),
            *(useless if point and malaria and red and not better else ()),
            *_too_few(frequency, red, whites, malaria=malaria, differential=len(white) > 1, enough=white_cells),
            *_doubtful(by_class, Counter(cell.kind for cell in counted if cell.confidence < _DOUBTFUL)),
        ),
    )


def is_suspect(summary: CountSummary) -> bool:
    """Whether it warns of its parasitaemia."""
    return SUSPECT in summary.warnings


def wilson(hits: int, total: int) -> Share:
    """hits of total, with the 95 % score interval of E. B. Wilson, J. Am. Stat. Assoc. 22 (1927). total: 1 or more."""
    share, weight = hits / total, Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = Z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    # At the ends of the scale the interval ends there too, but for rounding.
    low, high = (0.0 if hits == 0 else middle - half), (1.0 if hits == total else middle + half)
    return Share(value=share, low=low, high=high)


def exact(hits: int, total: int) -> Share:
    """hits of total, with the exact binomial 95 % interval of Clopper and Pearson, Biometrika 26 (1934): rounded to
    whole per cent outwards, the limits in the table of C. L. Rümke, Triangle 4 (1960), by which laboratories judge a
    differential. Each class is one against all others. total: 1 or more."""
    low = float(betaincinv(hits, total - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, total - hits, 0.975)) if hits < total else 1.0
    return Share(value=hits / total, low=low, high=high)


def _too_few(
    cells: Counter[str], red: int, whites: int, *, malaria: bool, differential: bool, enough: int | None
) -> list[str]:
    warnings = []
    if not cells.total():
        return ["no cell was counted"]
    if malaria and red < ENOUGH_RED:
        warnings.append(f"red cells counted: {red}; a parasitaemia takes {ENOUGH_RED}: mind its interval")
    if differential and whites < (enough or ENOUGH_WHITE):
        takes = f"was asked of {enough}" if enough else f"takes {ENOUGH_WHITE}"
        warnings.append(f"white cells counted: {whites}; a differential {takes}: mind its intervals")
    clumps = cells[CLASSES[PLATELET_CLUMP].key]
    if clumps:
        are = "clump of platelets is" if clumps == 1 else "clumps of platelets are"
        warnings.append(f"{clumps} {are} not in the platelets per red cell, which is too low by theirs")
    return warnings


def _doubtful(cells: dict[str, int], doubtful: Counter[str]) -> list[str]:
    return [
        f"{display_name(key)}: of {count} counted, {doubtful[key]} have a confidence under {_DOUBTFUL}; look at them"
        for key, count in cells.items()
        if 2 * doubtful[key] > count
    ]


_MAX_COLUMNS = 5
"""Images that get a column of their own; of more, only the sum is shown, and each is in the JSON."""
_NAME_WIDTH, _WIDTH = 26, 16


def summary_table(images: Mapping[str, CountSummary], together: CountSummary) -> str:
    """Cells by class, in a column for each image where there are few, and what they say together."""
    columns = dict(images) if len(images) <= _MAX_COLUMNS else {}
    if len(images) != 1:
        columns[f"all {len(images)}"] = together
    lines = ["cells".ljust(_NAME_WIDTH) + "".join(_short(name).rjust(_WIDTH) for name in columns)]
    for key in together.cells:
        lines.append(_row(display_name(key), [summary.cells[key] for summary in columns.values()]))
    if together.unsure:
        lines.append(_row(UNSURE, [summary.unsure for summary in columns.values()]))
    lines.append(_row("not counted, at the border", [summary.not_counted for summary in columns.values()]))
    warnings = [f"Warning: {sentence}." for sentence in together.warnings]
    return "\n".join([*lines, *_block(_facts(together)), *_block(warnings)])


def pooled_table(groups: Sequence[tuple[str, str, int, CountSummary]]) -> str:
    """A line for each group. groups: what it is, its name, how many images it has, and their summary."""
    head = ("of", "name", "images", "red cells", "parasitaemia", "95 % interval", "corrected", "white cells")
    return columns(head, [_group(*group) for group in groups], text=("of", "name"))


def _group(of: str, name: str, images: int, summary: CountSummary) -> tuple[object, ...]:
    share, better = summary.parasitaemia, summary.parasitaemia_corrected
    uncorrected = (f"{share.value:.2%}", f"{share.low:.2%} to {share.high:.2%}") if share else ("-", "-")
    corrected = f"{better.value:.2%}" if better else "-"
    return (of, name, images, f"{summary.red_cells:,}", *uncorrected, corrected, f"{summary.white_cells:,}")


def _facts(summary: CountSummary) -> list[str]:
    facts = []
    if summary.parasitaemia is not None:
        facts.append(f"parasitaemia{_percent(summary.parasitaemia)}, of {summary.red_cells:,} red cells")
    if summary.parasitaemia_corrected is not None:
        facts.append(f"  corrected {_percent(summary.parasitaemia_corrected)}, by the operating point's known errors")
    if summary.differential:
        of = f"the first {summary.differential_of:,} of " * (summary.differential_of != summary.white_cells)
        facts.append(f"differential, of {of}{summary.white_cells:,} white cell{'s' * (summary.white_cells != 1)}")
        facts += [f"  {display_name(key).ljust(12)}{_percent(share)}" for key, share in summary.differential.items()]
    if summary.platelets_per_red_cell is not None:
        facts.append(f"platelets per red cell  {summary.platelets_per_red_cell:.4f}")
    if summary.parasitaemia is not None or summary.differential:
        facts.append("Intervals tell the chance of having met these cells, not what the network takes a cell for.")
    return facts


def _percent(share: Share) -> str:
    return f"{share.value:>8.2%}  (95 % interval {share.low:.2%} to {share.high:.2%})"


def _row(name: str, counts: list[int]) -> str:
    return name.ljust(_NAME_WIDTH) + "".join(f"{count:{_WIDTH},d}" for count in counts)


def _short(name: str) -> str:
    return name if len(name) < _WIDTH else f"{name[: _WIDTH - 4]}..."


def _block(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []
