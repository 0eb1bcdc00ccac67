"""The folds of a cross-validation: which sample is held out when, as a table that is written once and then only read.

A CSV file `sample_id,group,fold`: a line per sample, folds numbered from 1. Every training of the cross-validation
reads it, so what is held out is the same after a resume, for another network, and for whoever repeats the study.
"""

import csv
import io
from pathlib import Path

import numpy as np

from segtrain.data.sampler import Index
from segtrain.data.samples import Shards
from smearsynth.base.errors import UserError

FOLDS = "folds.csv"
"""The table's name in the run of a cross-validation."""
_HEADER = ("sample_id", "group", "fold")
_POOLED = ("train", "val")
"""Splits whose samples are divided anew. The test split stays what nothing was trained on or chosen by."""


def pooled(root: Path) -> Shards:
    """The samples that folds are made of. UserError where the set does not say which belong together."""
    shards = Shards(root, *_POOLED)
    if shards.groups is None:
        raise UserError(
            f"{root} cannot be divided into folds: its shards record no group per sample, and smears composed of the "
            "same cells must not stand in two folds. `segtrain import` records groups; of a recipe, build one set for "
            "each fold with another `seed`, which divides the cells anew."
        )
    return shards


def table_of(shards: Shards, fold: Index) -> str:
    """The table as text. fold: int64 (N,), from 1."""
    assert shards.groups is not None
    text = io.StringIO()
    rows = ((shards.sample_id(i), shards.groups[i], fold[i]) for i in range(len(shards)))
    csv.writer(text, lineterminator="\n").writerows([_HEADER, *rows])
    return text.getvalue()


def read_folds(table: Path, shards: Shards) -> Index:
    """int64 (N,): the fold of every sample. UserError where the table is not one of these samples, leaves a fold empty,
    or divides a group."""
    try:
        with table.open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{table} cannot be read as a table of folds ({reason}): check its path.") from error
    if tuple(header) != _HEADER or not all(len(row) == 3 and row[1].isdecimal() and row[2].isdecimal() for row in rows):
        raise UserError(f"{table} is no table of folds: its lines must read {','.join(_HEADER)}, the last two numbers.")
    found = {name: (int(group), int(fold)) for name, group, fold in rows}
    assert shards.groups is not None
    for i, group in enumerate(shards.groups.tolist()):
        name = shards.sample_id(i)
        if name not in found or found[name][0] != group:
            raise UserError(
                f"{table} is of another set than {shards.root}: it lacks the sample {name}, or has it in another "
                "group; use the table of this set, or let `segtrain fit --folds K` write one."
            )
    if len(rows) != len(shards):
        raise UserError(
            f"{table} has {len(rows)} samples of {shards.root}, which has {len(shards)}: use its own table."
        )
    fold = np.array([found[shards.sample_id(i)][1] for i in range(len(shards))], np.int64)
    _check_folds(table, fold, shards.groups)
    return fold


def _check_folds(table: Path, fold: Index, groups: Index) -> None:
    numbers = set(fold.tolist())
    if len(numbers) < 2 or numbers != set(range(1, len(numbers) + 1)):
        raise UserError(f"{table}: folds are numbered {sorted(numbers)}; number two or more from 1 without gaps.")
    pairs = np.unique(np.stack([groups, fold]), axis=1)
    divided = [group for group, times in zip(*np.unique(pairs[0], return_counts=True), strict=True) if times > 1]
    if divided:
        raise UserError(f"{table}: group {divided[0]} stands in several folds; a group belongs into one.")
