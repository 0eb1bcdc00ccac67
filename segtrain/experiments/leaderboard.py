"""Entries that `score` wrote, side by side: the table of a benchmark, as Markdown or as a page.

Entries are of one set and split, by its digest; the best mIoU stands first. What an entry used beside the set stands in
its row: two that used different data are not to be compared as methods.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from segtrain.metrics.bootstrap import estimate_text
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.files import write_text
from smearsynth.base.html_page import HtmlTable, write_page
from smearsynth.base.json_values import read_json

_PACKAGE = Path(__file__).parents[1]
_MOST_BYTES = 1_000_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Estimate(_Part):
    value: float | None
    low: float | None = None
    high: float | None = None


class _Set(_Part):
    name: str | None
    digest: str
    split: str
    samples: int


class _Objects(_Part):
    f1: float | None
    pq: float | None
    count_error: float | None


class _Infection(_Part):
    false_alarms_per_1000: _Estimate
    recall: _Estimate


class _White(_Part):
    balanced_accuracy: _Estimate


class _Names(_Part):
    infection: _Infection
    white_cells: _White


class _Cells(_Part):
    objects: _Objects
    names: _Names | None = None


class ScoredEntry(_Part):
    """What the table shows of an entry, as `score` wrote it."""

    name: str
    external_data: str
    pretraining: str
    link: str = ""
    set: _Set
    miou: _Estimate
    pixel_accuracy: _Estimate
    foreground_dice: _Estimate
    reference_accuracy: float | None
    boundary_f1: float | None
    cells: _Cells | None = None


def leaderboard(entries: Sequence[str | Path], *, out: str | Path | None = None) -> str:
    """The table of entries, files that `score` wrote, as Markdown. out: a file for it, .md or .html. Raises UserError:
    a file that is no entry, entries of different sets or of one name, an ending of `out` that is neither.

    >>> import numpy as np
    >>> test = smearsynth.open("quickstart")["test"]
    >>> np.savez("glass.npz", **{smear.id: 0 * smear.label for smear in test})
    >>> stated = {"name": "all glass", "external_data": "none", "pretraining": "none"}
    >>> entry = segtrain.score("glass.npz", "quickstart", out="glass.json", progress=False, **stated)
    >>> segtrain.leaderboard(["glass.json"], out="leaderboard.html").startswith("| entry | mIoU |")
    True
    """
    if not entries:
        raise UserError("There is nothing to compare: name entries that `segtrain score` wrote.", "entries")
    if out is not None and Path(out).suffix not in (".md", ".html"):
        raise UserError(f"{out}: the table is written as .md or .html", "out")
    read = [(Path(path), _read(Path(path))) for path in entries]
    first, names = read[0], set[str]()
    for path, entry in read:
        if (entry.set.digest, entry.set.split) != (first[1].set.digest, first[1].set.split):
            raise UserError(
                f"{path} was scored on {entry.set.name}, split {entry.set.split} ({entry.set.digest[:12]}), "
                f"{first[0]} on {first[1].set.name}, split {first[1].set.split} ({first[1].set.digest[:12]}): "
                "compare entries of one set and split",
                "entries",
            )
        if entry.name in names:
            raise UserError(f"{path}: there is another entry of the name {entry.name!r}: name it anew", "entries")
        names.add(entry.name)
    ranked = sorted((entry for _, entry in read), key=lambda entry: -(entry.miou.value or 0))
    head = ["entry", *_COLUMNS]
    rows = [[entry.name, *(column(entry) for column in _COLUMNS.values())] for entry in ranked]
    plain = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    for row, entry in zip(plain, ranked, strict=True):
        row[0] = f"[{row[0]}]({entry.link})" if entry.link else row[0]
    lines = [head, ["---", *("---:" for _ in _COLUMNS)], *plain]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
    if out is not None and Path(out).suffix == ".html":
        table = HtmlTable(head, rows)
        write_page(Path(out), "experiments/leaderboard.html", package=_PACKAGE, table_shown=table, of=first[1].set)
    elif out is not None:
        write_text(Path(out), text)
    return text


def _read(path: Path) -> ScoredEntry:
    try:
        return ScoredEntry.model_validate(read_json(path, _MOST_BYTES)[0])
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"{path} is no entry that `segtrain score` wrote: {place}: {error.errors()[0]['msg']}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as an entry ({first_line(error)}): score it again") from None


def _interval(estimate: _Estimate | None, form: str) -> str:
    return "-" if estimate is None else estimate_text(estimate.model_dump(), form)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _names(entry: ScoredEntry) -> _Names | None:
    return entry.cells.names if entry.cells else None


_COLUMNS: dict[str, Callable[[ScoredEntry], str]] = {
    "mIoU": lambda e: _interval(e.miou, ".4f"),
    "pixel accuracy": lambda e: _interval(e.pixel_accuracy, ".4f"),
    "reference accuracy": lambda e: _number(e.reference_accuracy, ".4f"),
    "foreground Dice": lambda e: _interval(e.foreground_dice, ".4f"),
    "boundary F1": lambda e: _number(e.boundary_f1, ".3f"),
    "cells, F1": lambda e: _number(e.cells.objects.f1 if e.cells else None, ".3f"),
    "cells, PQ": lambda e: _number(e.cells.objects.pq if e.cells else None, ".3f"),
    "count error": lambda e: _number(e.cells.objects.count_error if e.cells else None, ".2f"),
    "white-cell types": lambda e: _interval(n.white_cells.balanced_accuracy if (n := _names(e)) else None, ".3f"),
    "infected, recall": lambda e: _interval(n.infection.recall if (n := _names(e)) else None, ".3f"),
    "false alarms per 1,000": lambda e: _interval(
        n.infection.false_alarms_per_1000 if (n := _names(e)) else None, ".1f"
    ),
    "external data": lambda e: e.external_data,
    "pretraining": lambda e: e.pretraining,
}
