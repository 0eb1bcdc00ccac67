"""Figures as plain data, and as a table for a person."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Figures = dict[str, Any]

NAMES = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "reference_accuracy": "reference accuracy",
    "foreground_dice": "foreground Dice",
    "calibration_error": "calibration error",
    "boundary_f1": "boundary F1",
    "hd95": "HD95, px",
}
"""What the figures are called in a table."""
_COLUMNS = {"pixels": "pixels", "iou": "IoU", "dice": "Dice", "boundary_f1": "boundary F1", "hd95": "HD95"}


def known(value: float) -> float | None:
    """None for nan, which JSON has no word for: there was nothing to measure."""
    return None if math.isnan(value) else value


def by_key(keys: Sequence[str], rows: Sequence[Mapping[str, float]]) -> dict[str, Figures]:
    """The figures of each class under its key; None for nan."""
    return {key: {name: known(value) for name, value in row.items()} for key, row in zip(keys, rows, strict=True)}


def table(figures: Figures) -> str:
    """One line per class, then one per figure of the whole; nan where there is nothing to measure."""
    per_class: dict[str, Figures] = figures["per_class"]
    columns = [name for name in _COLUMNS if name in next(iter(per_class.values()))]
    width = max(len(key) for key in (*per_class, *NAMES.values())) + 2
    lines = ["class".ljust(width) + "".join(_COLUMNS[name].rjust(13) for name in columns)]
    lines += [key.ljust(width) + "".join(_cell(row[name]) for name in columns) for key, row in per_class.items()]
    lines += ["", *(name.ljust(width) + _cell(figures[key]) for key, name in NAMES.items() if key in figures)]
    return "\n".join(lines)


def images_table(images: Sequence[Figures], columns: Mapping[str, str]) -> str:
    """One line per image. columns: key of a figure to its heading."""
    width = max(len(image["name"]) for image in images) + 2
    lines = ["image".ljust(width) + "".join(heading.rjust(13) for heading in columns.values())]
    lines += [image["name"].ljust(width) + "".join(_cell(image[key]) for key in columns) for image in images]
    return "\n".join(lines)


def _cell(value: float | int | None) -> str:
    if value is None:
        return "nan".rjust(13)
    return f"{value:13,d}" if isinstance(value, int) else f"{value:13.4f}"
