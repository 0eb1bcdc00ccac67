"""A count as text for a person."""

from collections.abc import Mapping

from segtrain.counting.summary import Share, Summary
from smearsynth.taxonomy import display_name

_COLUMNS = 5
"""Images that get a column of their own; of more, only the sum is told, and each is in the JSON."""
_NAME, _WIDTH = 26, 16


def table(images: Mapping[str, Summary], together: Summary) -> str:
    """Cells by class, in a column for each image where there are few, and what they say together."""
    columns = dict(images) if len(images) <= _COLUMNS else {}
    if len(images) != 1:
        columns[f"all {len(images)}"] = together
    lines = ["cells".ljust(_NAME) + "".join(_short(name).rjust(_WIDTH) for name in columns)]
    for key in together.cells:
        lines.append(_row(display_name(key), [summary.cells[key] for summary in columns.values()]))
    lines.append(_row("not counted, at the border", [summary.not_counted for summary in columns.values()]))
    said = [f"Warning: {sentence}." for sentence in together.warnings]
    return "\n".join([*lines, *_block(_facts(together)), *_block(said)])


def _facts(summary: Summary) -> list[str]:
    facts = []
    if summary.parasitaemia is not None:
        facts.append(f"parasitaemia{_percent(summary.parasitaemia)}, of {summary.red_cells:,} red cells")
    if summary.differential:
        facts.append(f"differential, of {summary.white_cells:,} white cell{'s' * (summary.white_cells != 1)}")
        facts += [f"  {display_name(key).ljust(12)}{_percent(share)}" for key, share in summary.differential.items()]
    if summary.platelets_per_red_cell is not None:
        facts.append(f"platelets per red cell  {summary.platelets_per_red_cell:.4f}")
    if summary.parasitaemia is not None or summary.differential:
        facts.append("Intervals tell the chance of having met these cells, not what the network takes a cell for.")
    return facts


def _percent(share: Share) -> str:
    return f"{share.value:>8.2%}  (95 % interval {share.low:.2%} to {share.high:.2%})"


def _row(name: str, counts: list[int]) -> str:
    return name.ljust(_NAME) + "".join(f"{count:{_WIDTH},d}" for count in counts)


def _short(name: str) -> str:
    return name if len(name) < _WIDTH else f"{name[: _WIDTH - 4]}..."


def _block(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []
