"""A network tuned to a laboratory, on a few of its fields in which somebody has named cells.

The cells are found once and become a set in the run's folder (`named_cell_set`), on which the network learns on,
gently, from the weights that it had. A quarter of the fields is held back: on them both are measured, before and after,
by what `evaluate` says of annotated fields, so that whoever tunes sees whether it was worth it.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from segtrain.counting.cell_measures import FieldCells
from segtrain.data.samples import INSTANCE, read_index
from segtrain.evaluation.evaluate import count_file
from segtrain.evaluation.figures import Figures
from segtrain.evaluation.named_cells import NamedField, found_cell, measure_names, read_named_fields
from segtrain.experiments.fit import SHIPPED, Fitted, fit_config, start_config
from segtrain.experiments.named_cell_set import write_named_cells
from segtrain.importing.outlined_images import read_class_names
from segtrain.inference.operating_point import FALSE_ALARMS, LEAST_CELLS, OperatingPoint, choose
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.pretrained import CELLS, FINDER
from segtrain.reporting.model_card import NAMED, before_and_after, learnt_from
from segtrain.training.config import load_config
from segtrain.training.run_folder import CONFIG, FIELDS, RunFolder, load_trained, plain
from segtrain.training.setup import check_folder
from smearsynth.base.command_line import columns
from smearsynth.base.errors import UserError
from smearsynth.base.progress import with_progress
from smearsynth.fields.scale import AUTO, Scale
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC

_PATCH = 224
"""Side in px of what a network that finds cells is shown of a field; smears are of it, too."""
_ADVISED = 20
"""Cells of a class below which a network hardly learns it; more than a hundred add little."""


def fine_tune(
    folder: Path,
    *,
    classes: Mapping[str, str | None] | str | Path,
    um_per_px: str | float | None,
    finder: str | Path | None,
    start: str | Path | None,
    mix: str | Path | None,
    config: str | Path | None,
    overrides: Sequence[str],
    run: str | Path | None,
    resume: bool,
    pictures: bool,
) -> Fitted:
    """`segtrain.fit` on annotated fields, with its arguments.

    `tuned` of the figures, in `summary.json`, has start, finder, mix; fields and held_back, numbers of fields; cells,
    split -> class -> those to learn from or to measure by; left_out, reason -> annotations; before and after, what
    `measure_names` says of the fields held back; warnings. A start that finds cells learns their names in its own map,
    one that names them on crops. The operating point is chosen on the fields held back, where they show enough.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"{folder}: a few fields are learnt by one process: start it without torchrun")
    begins = CELLS if start is None or start == SHIPPED else Path(start)
    known = load_trained(begins)
    names = known.config.model.crop is not None
    if finder is not None and not names:
        raise UserError(f"{begins} finds cells itself: leave it out", "finder")
    finds = Path(finder or FINDER) if names else begins
    named = classes if isinstance(classes, Mapping) else read_class_names(Path(classes))
    said = list[str]()
    fields, scale = read_named_fields(folder, named, said), Scale(str(AUTO if um_per_px is None else um_per_px))
    paths = [field.path for field in fields]
    target = RunFolder(Path(run or Path("runs") / f"{folder.absolute().name}-{known.config.model.name}"))
    check_folder(target, resume=resume)
    before = load_networks([finds], cells=begins if names else None)
    beside = [] if mix is None else [f"mix.data={json.dumps(str(Path(mix).absolute()))}"]
    if resume and config is None:
        asked = load_config(target.path / CONFIG, [*beside, *overrides])
    else:
        asked = start_config(begins, maps=(INSTANCE,), config=config, overrides=[*beside, *overrides])
    if asked.mix and not Path(asked.mix.data).is_file():
        read_index(Path(asked.mix.data))
    scales = dict(zip(paths, scale.of_folder(paths, progress=True), strict=True))
    data = target.path / FIELDS
    asked = asked.model_copy(update={"data": str(data.absolute())})
    if not resume:
        part = data.with_suffix(".part")
        for old in (part, data):
            shutil.rmtree(old, ignore_errors=True)
        write_named_cells(
            part, folder, fields, replace(before, namer=None), scales, patch=None if names else _PATCH, seed=asked.seed
        )
        part.rename(data)
    index = read_index(data)
    # What was learnt from must not be measured on, whatever was annotated since.
    held = {field["file"] for field in index["fields"] if field["split"] == "val"}
    measured = [field for field in fields if field.path.relative_to(folder).as_posix() in held]
    if len(measured) < len(held):
        raise UserError(f"{target.path} holds back fields that {folder} lacks: put them back, or begin anew", "run")
    fitted = fit_config(asked, target, resume=resume, pictures=pictures)

    figures_before = measure_names(measured, partial(count_file, before, scales, []))
    now = load_networks([finds if names else target.path], cells=target.path if names else None, with_point=False)
    bar = with_progress(measured, what="count", unit="images", shown=True)
    found = {field.path: count_file(now, scales, [], field.path) for field in bar}
    where, epoch = f"{folder.resolve().name}, the fields held back", load_trained(target.path).epoch
    point = _operating_point(measured, found, before, now, where, epoch)
    if point:
        point.save(target.path)
    threshold = point.threshold if point else 0.0
    figures_after = measure_names(measured, lambda path: found[path].at(threshold), progress=False)
    cells = {split: Counter[str]() for split in ("train", "val")}
    for field in index["fields"]:
        cells[field["split"]].update(field["cells"])
    tuned = {
        "start": SHIPPED if begins == CELLS else str(begins),
        "finder": SHIPPED if finds == FINDER else str(finds),
        "mix": asked.mix.model_dump() if asked.mix else None,
        "fields": len(index["fields"]),
        "held_back": len(measured),
        "cells": {split: dict(found) for split, found in cells.items()},
        "left_out": index["left_out"],
        "before": figures_before,
        "after": figures_after,
    }
    tuned["warnings"] = [*said, *_warnings(tuned)]
    summary = plain(fitted.figures | {"tuned": tuned})
    target.write_summary(summary)
    return Fitted(run=target.path, figures=summary, more=tuned_text(summary["tuned"], index["warnings"]))


def _operating_point(
    fields: Sequence[NamedField],
    found: Mapping[Path, FieldCells],
    before: Networks,
    now: Networks,
    where: str,
    epoch: int,
) -> OperatingPoint | None:
    """From which odds on a red cell is infected: chosen on the fields held back, where they show healthy cells enough
    for it and an infected one, else that of the network that was begun with, if its odds were made of the same."""
    red = {CLASSES[HEALTHY_RBC].key: False, CLASSES[INFECTED_RBC].key: True}
    meant = [(cell.key, found_cell(cell, found[field.path])) for field in fields for cell in field.cells]
    odds = [(it.infected_odds, red[key]) for key, it in meant if key in red and it and it.infected_odds is not None]
    score, infected = np.array([odd for odd, _ in odds]), np.array([ill for _, ill in odds], bool)
    if infected.any() and (~infected).sum() >= LEAST_CELLS:
        return choose(
            score,
            infected,
            false_alarms=FALSE_ALARMS,
            odds_of=now.odds_of,
            measured_on=where,
            epoch=epoch,
            least=1,
        )
    old = before.operating_point
    return replace(old, epoch=epoch) if old and old.odds_of == now.odds_of else None


def _warnings(tuned: Figures) -> list[str]:
    """What whoever tunes should know before the network is used, as sentences."""
    learnt, held = (tuned["cells"][split] for split in ("train", "val"))
    found = [
        f"{key}: {learnt.get(key, 0)} cells to learn from, and {_ADVISED} to 100 of a class are advised"
        for key in sorted(learnt | held)
        if learnt.get(key, 0) < _ADVISED
    ]
    found += [
        f"{key}: none is in the fields held back, so nobody knows what became of it"
        for key in learnt
        if key not in held
    ]
    if not tuned["mix"]:
        found.append("no smears were learnt beside (`mix`), so what it knew of other laboratories may be forgotten")
    for part, name, said, form, sign in NAMED:
        before, after = (tuned[when][part][name]["value"] for when in ("before", "after"))
        if before is not None and after is not None and sign * after < sign * before:
            found.append(f"{said} got worse: {before:{form}} before, {after:{form}} after")
    return found


def tuned_text(tuned: Figures, of_images: Sequence[str] = ()) -> str:
    """Before and after, for a person. of_images: further warnings, which name files."""
    table = columns(["", "before", "after"], before_and_after(tuned), text=("",))
    return "\n".join(
        [*learnt_from(tuned), table, *(f"Note: {sentence}." for sentence in (*of_images, *tuned["warnings"]))]
    )
