"""Figures as plain data, and as a table for a person."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segtrain.metrics.bootstrap import estimate_text

Figures = dict[str, Any]

NAMES = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "reference_accuracy": "reference accuracy",
    "foreground_dice": "foreground Dice",
    "calibration_error": "calibration error",
    "boundary_f1": "boundary F1",
    "hd95": "HD95, px",
    "white_accuracy": "white cells, balanced accuracy",
    "infected_recall": "infected cells, recall",
    "false_alarms": "false alarms per 1,000 healthy",
    "infected_accuracy": "infected or healthy, balanced",
    "threshold": "threshold",
}
"""What the figures are called in a table."""
_CLASS_COLUMNS = {"pixels": "pixels", "iou": "IoU", "dice": "Dice", "boundary_f1": "boundary F1", "hd95": "HD95"}
_IMAGE_COLUMNS = {
    "um_per_px": "um/px",
    "foreground_dice": "Dice",
    "baseline_dice": "Otsu Dice",
    "boxed": "boxed",
    "counted": "counted",
}
_OBJECT_COLUMNS = {
    "true": "cells",
    "found": "found",
    "f1": "F1",
    "pq": "PQ",
    "count_error": "count error",
    "count_bias": "bias",
}
_WIDTH = 13


def none_if_nan(value: float) -> float | None:
    """`value`, or None for nan, which JSON does not know: there was nothing to measure."""
    return None if math.isnan(value) else value


def without_nan(figures: Any) -> Any:
    """The same, with None for every nan, in mappings within it, too."""
    if isinstance(figures, Mapping):
        return {key: without_nan(inner) for key, inner in figures.items()}
    return none_if_nan(figures) if isinstance(figures, float) else figures


def by_key(keys: Sequence[str], rows: Sequence[Mapping[str, float]]) -> dict[str, Figures]:
    """The figures of each class under its key; None for nan."""
    return {key: {name: none_if_nan(value) for name, value in row.items()} for key, row in zip(keys, rows, strict=True)}


def estimate_line(name: str, estimate: Mapping[str, float | None], form: str, factor: float = 1) -> str:
    """A figure and its interval, each times `factor`, behind its name."""
    return f"{name:<34}{estimate_text(estimate, form, factor)}"


def table(figures: Figures) -> str:
    """One line per class, one per figure of the whole, and one per image where there are some; nan where there is
    nothing to measure."""
    per_class: dict[str, Figures] = figures["per_class"]
    columns = {key: name for key, name in _CLASS_COLUMNS.items() if key in next(iter(per_class.values()))}
    whole = [(name, figures[key]) for key, name in NAMES.items() if key in figures]
    if "baseline" in figures:
        whole.append(("foreground Dice, Otsu", figures["baseline"]["foreground_dice"]))
    width = max(len(name) for name, _ in whole) + 2
    parts = [_rows("class", per_class, columns), [name.ljust(width) + _cell(value) for name, value in whole]]
    if "objects" in figures:
        objects = figures["objects"]
        parts.append(_rows("cells", objects["per_class"] | {"any class": objects}, _OBJECT_COLUMNS))
    if "images" in figures:
        images = {image["name"]: image for image in figures["images"]}
        columns = {key: name for key, name in _IMAGE_COLUMNS.items() if key in figures["images"][0]}
        parts.append(_rows("image", images, columns))
    return "\n\n".join("\n".join(lines) for lines in parts)


def _rows(kind: str, rows: Mapping[str, Figures], columns: Mapping[str, str]) -> list[str]:
    width = max(len(name) for name in (kind, *rows)) + 2
    head = kind.ljust(width) + "".join(name.rjust(_WIDTH) for name in columns.values())
    return [head, *(name.ljust(width) + "".join(_cell(row[key]) for key in columns) for name, row in rows.items())]


def _cell(value: float | int | None) -> str:
    if value is None:
        return "nan".rjust(_WIDTH)
    return f"{value:{_WIDTH},d}" if isinstance(value, int) else f"{value:{_WIDTH}.4f}"
