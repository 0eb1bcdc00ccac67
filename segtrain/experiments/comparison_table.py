"""Who takes part in a comparison: configs, and what is varied of each. And its table, as Markdown and as CSV.

A row is a mapping: name, model, data, data_digest, split, budget, run, error; figures as `evaluate` gives them, with
per_class; parameters, gmac, size; images, images_per_second, training_seconds, epochs, best_epoch; fields, what
`evaluate` gives of folders of real fields, by name. What a row lacks (a baseline has no parameters, a failed training
no figures) is an empty cell.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from segtrain.evaluation.figures import NAMES
from segtrain.metrics.bootstrap import estimate_text
from segtrain.training.config import KIND, Config, load_config
from smearsynth.base.config_file import Place, parse_value
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import display_name


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One training. name: the config's file name, and what is varied. overrides: "key=value" each, in their order."""

    name: str
    file: Path
    overrides: tuple[str, ...]
    data: str | None
    """The dataset, where the config names none."""

    @property
    def folder(self) -> str:
        """The name, fit for a folder."""
        return re.sub(r"[^\w.=+-]+", "-", self.name)

    def config(self, *further: str) -> Config:
        """With `further` overrides, its `data` an absolute path. Raises UserError with every error."""
        config = load_config(self.file, (*self.overrides, *further))
        root = config.data or self.data
        if root is None:
            raise UserError(f"{self.file}: names no `data:`, and none is given for all: give one of them", "data")
        return config.model_copy(update={"data": str(Path(root).absolute())})


def read_candidates(
    files: Sequence[Path], *, varied: Sequence[str], overrides: Sequence[str], data: str | Path | None
) -> list[Candidate]:
    """Every config with every combination of what is varied. varied: "key=value,value,..." each. Raises UserError."""
    if not files:
        raise UserError("There is nothing to compare: name configs, each by -c.")
    choices = [_choices(text) for text in varied]
    found = [
        Candidate(
            name=" ".join((file.stem, *(name for name, _ in chosen))),
            file=file,
            overrides=(*overrides, *(override for _, override in chosen)),
            data=str(data) if data else None,
        )
        for file in files
        for chosen in product(*choices)
    ]
    of_folder: dict[str, Candidate] = {}
    for candidate in found:
        other = of_folder.setdefault(candidate.folder, candidate)
        if other is not candidate:
            raise UserError(
                f"{candidate.file} and {other.file} would both be called {candidate.name!r}: rename a file, or name "
                "each but once."
            )
    return found


def _choices(text: str) -> list[tuple[str, str]]:
    """Name and override of every value that "key=value,value,..." gives a key."""
    key, equals, values = text.partition("=")
    listed, errors = parse_value(f"[{values}]", Place(text, "vary"), KIND)
    if errors or not listed or not equals:
        raise UserError(f"{text}: must read key=value,value,..., as in optimiser.lr=1e-3,1e-4", "vary")
    # JSON is YAML, so a value comes back from an override as it went in.
    return [(f"{key.rpartition('.')[2]}={_shown(value)}", f"{key}={json.dumps(value)}") for value in listed]


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


Row = dict[str, Any]

_FIGURES = ("pixel_accuracy", "miou", "foreground_dice", "reference_accuracy")
_CSV = ("name", "model", "data", "data_digest", "split", *_FIGURES)
_CSV_AFTER = (
    *("parameters", "gmac", "height", "width", "images", "images_per_second", "training_seconds"),
    *("epochs", "best_epoch", "budget", "run", "error"),
)


def markdown(rows: Sequence[Row], *, split: str, budget: str, machine: str) -> str:
    """A caption that says what was measured and where, the table, and why a training failed."""
    columns = _columns(rows)
    cells = [[name for name, _ in columns], ["---", *("---:" for _ in columns[1:])]]
    cells += [[cell(row) for _, cell in columns] for row in rows]
    lines = ["| " + " | ".join(line) + " |" for line in cells]
    data = dict.fromkeys((row["data"], row["data_digest"]) for row in rows if row.get("data_digest"))
    sets = ", ".join(f"`{Path(name).name}` ({digest[:12]})" for name, digest in data)
    caption = (
        f"Split `{split}` of {sets or 'no dataset'}; {budget}, of which the epoch that is best on the validation split "
        f"is measured; of each class its IoU; {machine}."
    )
    real = _field_lines(rows)
    failed = [f"- {row['name']} failed: {row['error']}" for row in rows if row.get("error")]
    return "\n".join([caption, "", *lines, *real, *([""] if failed else []), *failed]) + "\n"


_OF_NAMES = {
    "false alarms per 1,000": ("infection", "false_alarms_per_1000", ".1f"),
    "recall": ("infection", "recall", ".2f"),
    "recall at 10 per 1,000": ("infection", "recall_at_10_per_1000", ".2f"),
    "parasitaemia": ("infection", "parasitaemia", ".2%"),
    "annotated": ("infection", "parasitaemia_true", ".2%"),
    "white-cell types": ("white_cells", "balanced_accuracy", ".2f"),
}
"""Columns of a folder of named cells: where its figure is, and how it is written."""


def _field_lines(rows: Sequence[Row]) -> list[str]:
    """A second table: networks on real fields, each figure with its interval; no lines where none was measured."""
    measured = {row["name"]: _on_fields(row) for row in rows if row.get("fields")}
    columns = list(dict.fromkeys(column for figures in measured.values() for column in figures))
    if not columns:
        return []
    cells = [["on real fields", *columns], ["---", *("---:" for _ in columns)]]
    cells += [[name, *(figures.get(column, ("", None))[0] for column in columns)] for name, figures in measured.items()]
    return ["", *("| " + " | ".join(line) + " |" for line in cells)]


def _on_fields(row: Row) -> dict[str, tuple[str, dict[str, float | None]]]:
    """By column what is shown, and the figure: value, low, high."""
    found = {}
    for name, figures in (row.get("fields") or {}).items():
        if "foreground_dice" in figures:
            value = figures["foreground_dice"]
            dice = {"value": value, "low": None, "high": None}
            found[f"{name}: foreground Dice"] = ("" if value is None else f"{value:.3f}", dice)
            continue
        for column, (part, key, form) in _OF_NAMES.items():
            figure = figures[part][key]
            if figure["value"] is not None:
                found[f"{name}: {column}"] = (estimate_text(figure, form), figure)
    return found


def as_csv(rows: Sequence[Row]) -> str:
    """Every row with all it has; numbers to the last bit."""
    keys = _classes(rows)
    real = {row["name"]: _flat_fields(row) for row in rows}
    columns = dict.fromkeys(column for figures in real.values() for column in figures)
    head = [*_CSV, *(f"iou_{key}" for key in keys), *_CSV_AFTER, *columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        height, width = row.get("size") or (None, None)
        flat = {**row, "height": height, "width": width, **{f"iou_{key}": _iou(row, key) for key in keys}}
        flat |= real[row["name"]]
        writer.writerow([flat.get(name) for name in head])
    return text.getvalue()


def _flat_fields(row: Row) -> dict[str, float | None]:
    """Figures on real fields and their intervals by column of the CSV."""
    return {
        column if end == "value" else f"{column}, {end}": value
        for column, (_, figure) in _on_fields(row).items()
        for end, value in figure.items()
    }


def _columns(rows: Sequence[Row]) -> list[tuple[str, Callable[[Row], str]]]:
    several = len({row.get("data") for row in rows}) > 1
    data = [("data", lambda row: f"`{Path(row['data']).name}`" if row.get("data") else "")] if several else []
    figures = [(NAMES[key], _number(key, ".4f")) for key in ("pixel_accuracy", "miou", "foreground_dice")]
    classes = [(display_name(key), _of_class(key)) for key in _classes(rows)]
    return [
        ("network", lambda row: row["name"] if not row.get("error") else f"{row['name']}: failed"),
        *data,
        *figures,
        *classes,
        ("parameters", _number("parameters", ",d")),
        ("GMAC", _number("gmac", ".3g")),
        ("images/s", _number("images_per_second", ",.1f")),
        ("training, min", _number("training_seconds", ",.1f", per=60)),
        ("images seen", _number("images", ",d")),
    ]


def _classes(rows: Iterable[Row]) -> list[str]:
    """Keys of all classes, in the order in which rows have them."""
    return list(dict.fromkeys(key for row in rows for key in row.get("per_class", {})))


def _iou(row: Row, key: str) -> float | None:
    return row.get("per_class", {}).get(key, {}).get("iou")


def _number(key: str, form: str, *, per: float = 1) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = row.get(key)
        return "" if value is None else format(value if per == 1 else value / per, form)

    return cell


def _of_class(key: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = _iou(row, key)
        return "" if value is None else f"{value:.3f}"

    return cell
