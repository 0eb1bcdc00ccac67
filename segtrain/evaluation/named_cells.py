"""Names held against an expert's: cells of real fields that somebody annotated, and what a network calls them.

Points, boxes and outlines of any annotation tool (`fields.annotations`), or images in a folder of their class, each of
one cell of that class: the largest white cell, where there is none the largest that is unsure, or the largest of all
where no white cell is meant. What a name of the annotations stands for is the user's to say. A cell that was annotated
and is not found, or unsure, counts as named wrongly.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segtrain.counting.cell_measures import FieldCells, MeasuredCell
from segtrain.evaluation.figures import Figures, estimate_line
from segtrain.importing.outlined_images import class_error
from segtrain.metrics.bootstrap import Floats, bootstrap
from smearsynth.base.errors import UserError
from smearsynth.base.files import walk_files
from smearsynth.base.images import IMAGE_SUFFIXES
from smearsynth.base.progress import with_progress
from smearsynth.fields.annotation_files import SUFFIXES
from smearsynth.fields.annotations import read_annotations
from smearsynth.fields.cell_outlines import Outline
from smearsynth.taxonomy import BY_KEY, CLASSES, HEALTHY_RBC, INFECTED_RBC, UNSURE, WHITE_CELLS

_REACH = 3
"""Pixels at the networks' scale by which a point may lie beside its cell."""
_LEAST_FILLED = 0.25
"""Share of a box that a cell must fill to be what the box names: a round cell fills 0.78 of its own."""
_ALARMS = 0.01
"""Share of the healthy red cells that are above the odds at which networks of different odds are held side by side."""
_ODDS = np.linspace(-15, 15, 601)
"""Edges of the histogram of log-odds by which those are found."""
NOT_FOUND = "not found"

Box = tuple[float, float, float, float]
"""x, y of the upper left corner, width, height, px of the image; width and height 0 for a point."""
Count = Callable[[Path], FieldCells]
"""An image's file to its cells, in pixels of the image."""


class Called(NamedTuple):
    """What a network calls a cell: the key of a class, `UNSURE` or `NOT_FOUND`; odds: log-odds of infected, of a red
    cell."""

    key: str
    odds: float | None


class NamedCell(NamedTuple):
    """key: of its class. name: as it is annotated. box: None for the one cell of an image in a folder of its class.
    outline: px of the image, where somebody drew it."""

    key: str
    name: str
    box: Box | None
    outline: Outline | None = None


@dataclass(frozen=True, kw_only=True)
class NamedField:
    """An image and the cells that are named in it."""

    path: Path
    cells: tuple[NamedCell, ...]


def read_named_fields(
    folder: Path, classes: Mapping[str, str | None], warnings: list[str] | None = None, page: int | None = None
) -> list[NamedField]:
    """classes: what a name of the annotations, or of a folder, stands for: the key of a class, None to leave it out.
    warnings: a sentence on what was left out of the annotations is added for each reason. page: of the images. Raises
    UserError: no image, no annotation, a name that `classes` lacks, an annotation that is broken."""
    wrong = [f"{name}: {error}" for name, key in classes.items() if (error := class_error(key))]
    if wrong:
        raise UserError("\n".join(wrong), "classes")
    classes = {UNSURE: None, **classes}
    files = sorted(path.relative_to(folder).as_posix() for path in walk_files(folder)[0] if path.is_file())
    images = [file for file in files if Path(file).suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise UserError(f"{folder}: there is no image; name a folder of fields")
    found = read_annotations(
        folder, images, [file for file in files if Path(file).suffix.lower() in SUFFIXES], page=page
    )
    if warnings is not None:
        left_out = sorted((found.left_out + Counter({"crowd": len(found.crowds)})).items())
        warnings += [f"left out of the annotations: {reason} ({number:,})" for reason, number in left_out]
    named: list[tuple[str, str, Box | None, Outline | None]] = [
        (c.file, c.name, (c.x, c.y, c.width, c.height), c.outline) for c in found.cells
    ]
    if not named:
        named = [(file, Path(file).parent.name, None, None) for file in images]
    unknown = sorted({name for _, name, _, _ in named} - classes.keys())
    if unknown:
        raise UserError(
            f"{folder}: what {', '.join(map(repr, unknown[:5]))} stands for is not said: name its class, or null to "
            "leave it out",
            "classes",
        )
    cells: defaultdict[str, list[NamedCell]] = defaultdict(list)
    for file, name, box, outline in named:
        if key := classes[name]:
            cells[file].append(NamedCell(key, name, box, outline))
    if not cells:
        raise UserError(f"{folder}: no annotated cell is of a class that is asked for", "classes")
    return [NamedField(path=folder / file, cells=tuple(of_field)) for file, of_field in sorted(cells.items())]


def measure_names(fields: Sequence[NamedField], count: Count, *, progress: bool = True) -> Figures:
    """images, cells: annotated. infection: healthy, infected, false_alarms_per_1000, recall, recall_by_name,
    parasitaemia_true, parasitaemia (of the annotated cells that are called red), recall_at_10_per_1000 (at the odds
    that 10 of 1,000 of these healthy cells are above: what a network can tell, whatever its operating point; None of
    one that does not name whole cells), confusion (true key -> called key, "unsure" or "not found" -> cells).
    white_cells: confusion and balanced_accuracy. outlines: of the cells that somebody drew, `cells`, mean `iou` with
    the cell that is found there (0 where none is), and the share `found_at_half` of an IoU of 0.5 or more. Each figure
    is a mapping of value, low and high, the interval of 95 % by the bootstrap over images; None where there is nothing
    to measure.
    """
    called: list[list[tuple[NamedCell, Called]]] = []
    drawn = []
    for field in with_progress(fields, what="count", unit="images", shown=progress):
        found = count(field.path)
        called.append([(cell, _called(cell, found)) for cell in field.cells])
        ious = np.array([_iou(cell.outline, found) for cell in field.cells if cell.outline])
        drawn.append([len(ious), ious.sum(), (ious >= 0.5).sum()])
    units = np.arange(len(called))
    (separated,) = bootstrap(np.stack([_histogram(pairs) for pairs in called]), units, _recall_at)
    by_name: defaultdict[str, Counter[bool]] = defaultdict(Counter)
    infected = CLASSES[INFECTED_RBC].key
    for cell, found_as in (pair for pairs in called for pair in pairs):
        if cell.key == infected:
            by_name[cell.name][found_as.key == infected] += 1
    figures = naming_figures(np.stack([_table(pairs) for pairs in called]), units)
    figures["infection"] |= {
        "recall_at_10_per_1000": separated.plain(),
        "recall_by_name": {
            name: {"found": hits[True], "cells": hits.total()} for name, hits in sorted(by_name.items())
        },
    }
    iou, at_half = bootstrap(np.array(drawn, np.float64), units, _of_outlines)
    figures["outlines"] = {
        "cells": sum(int(row[0]) for row in drawn),
        "iou": iou.plain(),
        "found_at_half": at_half.plain(),
    }
    return figures


def naming_figures(tables: npt.NDArray[np.int64], units: npt.NDArray[np.int64]) -> Figures:
    """images, cells, infection and white_cells as of `measure_names`, but for what takes odds or the annotations' own
    names. tables: int64 (N, 10, 10 or 11), of each image the cells by true class and what they are called, 0 for not
    found, 10 for unsure. units: int64 (N,), images of one number are drawn together."""
    whole = tables.sum(axis=0)
    names = ("false_alarms_per_1000", "recall", "parasitaemia_true", "parasitaemia", "balanced_accuracy")
    figures = dict(zip(names, (found.plain() for found in bootstrap(tables, units, _statistics)), strict=True))
    columns = (NOT_FOUND, *(c.key for c in CLASSES[1:]), UNSURE)
    red, white = (
        {CLASSES[i].key: {columns[j]: int(n) for j, n in enumerate(whole[i]) if n} for i in kinds if whole[i].any()}
        for kinds in ((INFECTED_RBC, HEALTHY_RBC), WHITE_CELLS)
    )
    return {
        "images": len(tables),
        "cells": int(whole.sum()),
        "infection": {
            "healthy": int(whole[HEALTHY_RBC].sum()),
            "infected": int(whole[INFECTED_RBC].sum()),
            **{name: figures[name] for name in names[:4]},
            "confusion": red,
        },
        "white_cells": {"confusion": white, "balanced_accuracy": figures["balanced_accuracy"]},
    }


def _called(cell: NamedCell, found: FieldCells) -> Called:
    """What the cell is called that is annotated so."""
    meant = found_cell(cell, found)
    return Called(meant.kind, meant.infected_odds) if meant else Called(NOT_FOUND, None)


def found_cell(cell: NamedCell, found: FieldCells) -> MeasuredCell | None:
    """The cell of its field that an annotation means; None where none was found there."""
    if cell.box is None:
        white = [c for c in found.cells if c.kind in {CLASSES[i].key for i in WHITE_CELLS}]
        unsure = [c for c in found.cells if c.kind == UNSURE]
        of_white = BY_KEY[cell.key].id in WHITE_CELLS
        return max((white or unsure) if of_white else found.cells, key=lambda c: c.area_um2, default=None)
    if cell.outline:
        inside = _under(cell.outline, found)
        best = int(inside[1:].argmax()) + 1
        enough = inside[best] >= max(1, _LEAST_FILLED * inside.sum())
        return found.cells[best - 1] if enough else None
    down, across = (there / here for there, here in zip(found.map.shape, found.native_shape, strict=True))
    x, y, width, height = cell.box
    reach = 0 if width else _REACH
    rows = slice(max(0, round(y * down) - reach), round((y + height) * down) + 1 + reach)
    columns = slice(max(0, round(x * across) - reach), round((x + width) * across) + 1 + reach)
    window = found.map[rows, columns]
    inside = np.bincount(window.ravel(), minlength=2)
    best = int(inside[1:].argmax()) + 1
    if inside[best] < max(1, _LEAST_FILLED * window.size if width else 1):
        return None
    return found.cells[best - 1]


def _under(outline: Outline, found: FieldCells) -> npt.NDArray[np.int64]:
    """int64 (n + 1,): pixels of the image in an outline, by the number of the cell that is found there, 0 for none."""
    height, width = found.native_shape
    window, mask = outline.draw((height, width))
    rows, columns = (
        ((np.arange(side.start, side.stop) + 0.5) * there / here).astype(int)
        for side, there, here in zip(window, found.map.shape, found.native_shape, strict=True)
    )
    return np.bincount(found.map[np.ix_(rows, columns)][mask], minlength=max(2, len(found.cells) + 1))


def _iou(outline: Outline, found: FieldCells) -> float:
    """Intersection over union of an outline and the cell that most of it is found as; 0 for none."""
    inside = _under(outline, found)
    best = int(inside[1:].argmax()) + 1
    to_native = math.prod(found.native_shape) / found.map.size
    area = np.count_nonzero(found.map == best) * to_native
    return float(inside[best] / (inside.sum() + area - inside[best])) if inside[best] else 0.0


def _of_outlines(sums: Floats) -> Floats:
    """float64 (B, 2) of float64 (B, 3): mean IoU and share of 0.5 or more; nan without outlines."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = sums[:, 1:] / sums[:, :1]
        return means


def _table(pairs: Sequence[tuple[NamedCell, Called]]) -> npt.NDArray[np.int64]:
    """int64 (10, 11): annotated class by what it is called, 0 for what was not found, 10 for what is unsure."""
    table = np.zeros((len(CLASSES), len(CLASSES) + 1), np.int64)
    column = {**{key: kind.id for key, kind in BY_KEY.items()}, NOT_FOUND: 0, UNSURE: len(CLASSES)}
    for cell, called in pairs:
        table[BY_KEY[cell.key].id, column[called.key]] += 1
    return table


def _histogram(pairs: Sequence[tuple[NamedCell, Called]]) -> npt.NDArray[np.int64]:
    """int64 (2, 1 + bins): annotated healthy and infected red cells by their log-odds; first those that have none."""
    rows = []
    for kind in (HEALTHY_RBC, INFECTED_RBC):
        odds = [called.odds for cell, called in pairs if BY_KEY[cell.key].id == kind]
        known = np.clip([value for value in odds if value is not None], _ODDS[0], _ODDS[-1])
        rows.append(np.concatenate(([len(odds) - len(known)], np.histogram(known, _ODDS)[0])))
    return np.stack(rows)


def _recall_at(histograms: Floats) -> Floats:
    """float64 (B, 1) of float64 (B, 2, 1 + bins): recall of infected cells where `_ALARMS` of the healthy ones are
    above, nan where there are none of either or no odds."""
    above = np.cumsum(histograms[:, :, ::-1], axis=2)[:, :, ::-1]
    total = above[:, :, 0]
    quiet = above[:, 0, 1:] <= _ALARMS * total[:, :1]
    first = np.where(quiet.any(axis=1), quiet.argmax(axis=1), quiet.shape[1] - 1)
    found = np.where(quiet.any(axis=1), above[np.arange(len(above)), 1, 1 + first], 0)
    measured = (total > 0).all(axis=1) & (above[:, :, 1].sum(axis=1) > 0)
    return np.where(measured, found / np.maximum(total[:, 1], 1), np.nan)[:, None]


def _statistics(tables: Floats) -> Floats:
    """float64 (B, 5) of float64 (B, 10, 10 or 11): false alarms per 1,000, recall, true and raw parasitaemia, and the
    mean over the white-cell types of the share that is called so; nan where there is nothing to measure."""
    with np.errstate(invalid="ignore", divide="ignore"):
        annotated = tables.sum(axis=2)
        right = tables[:, range(len(CLASSES)), range(len(CLASSES))] / annotated
        red = annotated[:, HEALTHY_RBC] + annotated[:, INFECTED_RBC]
        called = tables[:, (INFECTED_RBC, HEALTHY_RBC)].sum(axis=1)
        white = right[:, list(WHITE_CELLS)]
        there = ~np.isnan(white)
        return np.stack(
            [
                1000 * tables[:, HEALTHY_RBC, INFECTED_RBC] / annotated[:, HEALTHY_RBC],
                right[:, INFECTED_RBC],
                annotated[:, INFECTED_RBC] / red,
                called[:, INFECTED_RBC] / (called[:, INFECTED_RBC] + called[:, HEALTHY_RBC]),
                np.where(there, white, 0).sum(axis=1) / there.sum(axis=1),
            ],
            axis=1,
        )


def names_table(figures: Figures) -> str:
    """The figures for a person."""
    infection, white = figures["infection"], figures["white_cells"]
    lines = [f"{figures['cells']:,} cells are named in {figures['images']} images"]
    outlined = figures.get("outlines", {})
    if outlined.get("cells"):
        lines.append(estimate_line(f"IoU of {outlined['cells']:,} outlined cells", outlined["iou"], ".2f"))
        lines.append(estimate_line("  share of 0.5 or more", outlined["found_at_half"], ".2f"))
    if infection["healthy"]:
        lines.append(estimate_line("false alarms per 1,000 healthy", infection["false_alarms_per_1000"], ".1f"))
    if infection["infected"]:
        lines.append(estimate_line("recall of infected cells", infection["recall"], ".2f"))
        if infection.get("recall_at_10_per_1000", {}).get("value") is not None:
            lines.append(estimate_line("  at 10 false alarms per 1,000", infection["recall_at_10_per_1000"], ".2f"))
        for name, hits in infection.get("recall_by_name", {}).items():
            lines.append(f"  {name:<32}{hits['found']} of {hits['cells']}")
        lines.append(estimate_line("parasitaemia, annotated, %", infection["parasitaemia_true"], ".2f", 100))
        lines.append(estimate_line("parasitaemia, raw, %", infection["parasitaemia"], ".2f", 100))
    if white["confusion"]:
        lines.append(estimate_line("white-cell types, balanced", white["balanced_accuracy"], ".2f"))
        for key, called in white["confusion"].items():
            lines.append(
                f"  {key:<32}" + ", ".join(f"{kind} {n}" for kind, n in sorted(called.items(), key=lambda c: -c[1]))
            )
    return "\n".join(lines)
