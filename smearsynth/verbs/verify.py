"""Holds a dataset against its index, and its labels against the cells they were made from."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from smearsynth.bank.bank import Bank
from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.verify.set_files import (
    content_faults,
    count_faults,
    kept_faults,
    listing_faults,
    origin_faults,
    read_bank,
)
from smearsynth.dataset.verify.shard_check import Found, Task, check_shards, warm_up
from smearsynth.dataset.verify.stated_index import Fault, Stated, read_stated
from smearsynth.shards.format import GENERATOR_VERSION
from smearsynth.taxonomy import SPLITS
from smearsynth.verbs.preparation import checked_workers


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a check of a set found.

    whole: no fault. faults: all of them. unchecked: a sentence for everything that could not be checked. samples:
    those that could be read; labels: whether theirs were derived again. digest: of the set by its pixels, "" unless
    all could be read. seconds: of the whole check.
    """

    out: Path
    whole: bool
    faults: tuple[Fault, ...]
    unchecked: tuple[str, ...]
    samples: int
    labels: bool
    digest: str
    seconds: float


def verify(
    path: str | Path,
    *,
    labels: bool = False,
    bank: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Verification:
    """Checks every file of a dataset, every sample, and every figure of its index; writes nothing.

    labels: derive every label and instance map again from `objects` and the bank. bank: its file, where the set was
    handed on without cells.h5. workers: processes, by default one per core. progress: a bar on stderr where that is a
    terminal. Raises UserError where there is no dataset, where it is of a newer format, where `bank` is no bank or
    another one, and where labels are asked for and there is no bank.
    """
    started, out, workers = time.perf_counter(), Path(path), checked_workers(workers)
    stated, faults = read_stated(out)
    if stated is None:
        found, cells, unchecked = None, None, [f"all that {layout.INDEX} should tell of"]
    else:
        cells, told = read_bank(out, stated, Path(bank) if bank is not None else None)
        if labels and not (cells or told):
            raise UserError(f"{out} was handed on without {layout.BANK}: name its bank by --bank to derive labels.")
        faults += [*_file_faults(out, stated), *told]
        found = _check_shards(out, stated, cells, labels, workers, progress)
        faults += found.faults
        faults += [*_index_faults(out, stated, found, cells), *origin_faults(out, stated, cells)]
        unchecked = list(_unchecked(out, stated, found, cells, labels))
    return Verification(
        out=out,
        whole=not faults,
        faults=tuple(faults),
        unchecked=tuple(unchecked),
        samples=found.samples if found else 0,
        labels=labels and cells is not None,
        digest=found.digest if found else "",
        seconds=round(time.perf_counter() - started, 3),
    )


def as_text(found: Verification) -> str:
    """The result for a person: a line per fault and per thing that was not checked, then the sum."""
    lines = [str(fault) for fault in found.faults]
    lines += [f"not checked: {sentence}" for sentence in found.unchecked]
    verdict = "whole" if found.whole else f"{len(found.faults)} {'fault' if len(found.faults) == 1 else 'faults'}"
    labels = ", every label derived again" if found.labels else ""
    lines.append(f"{found.out}: {verdict}; {found.samples:,} samples read{labels} in {found.seconds:.1f} s")
    return "\n".join([*lines, f"digest {found.digest}"] if found.digest else lines)


def _file_faults(out: Path, stated: Stated) -> Iterator[Fault]:
    yield from listing_faults(out, stated)
    for file in stated.files:
        if file.split is None and layout.is_own_file(out, file.name):
            yield from (Fault(file.name, what) for what in content_faults(out, file))


def _check_shards(out: Path, stated: Stated, bank: Bank | None, labels: bool, workers: int, progress: bool) -> Found:
    there = [file for file in stated.shards if layout.is_own_file(out, file.name)]
    tasks = [Task(folder=out, file=file, stated=stated, bank=bank, labels=labels) for file in there]
    warm_up(bank if labels else None)
    tqdm.monitor_interval = 0  # its thread would not survive a fork
    total = sum(file.samples for file in there)
    with tqdm(total=total, unit=" smears", desc=out.name, disable=None if progress else True) as bar:
        return check_shards(stated, tasks, workers=workers, tick=bar.update)


def _index_faults(out: Path, stated: Stated, found: Found, bank: Bank | None) -> Iterator[Fault]:
    yield from kept_faults(out, stated, found.records)
    for split, told in stated.splits.items():
        if not _unread(stated, found, split):
            yield from count_faults(told, split, [r for r in found.records.values() if r.split == split], bank)


def _unread(stated: Stated, found: Found, split: str) -> list[str]:
    return [file.name for file in stated.shards if file.split == split and file.name not in found.records]


def _unchecked(out: Path, stated: Stated, found: Found, bank: Bank | None, labels: bool) -> Iterator[str]:
    for split in SPLITS:
        if unread := _unread(stated, found, split):
            yield f"what {layout.INDEX} counts in {split}, for {', '.join(unread)} cannot be read in full"
    if bank is None:
        what = "where objects come from, and labels" if labels else "where objects come from"
        yield f"{what}: there is no {layout.BANK} that can be read; --bank FILE takes its place"
    if labels and stated.generator_version != GENERATOR_VERSION:
        yield f"whether generator version {stated.generator_version} made labels as this one, {GENERATOR_VERSION}, does"
    if not (out / layout.STATE).is_dir():
        yield f"how many cells were left out: only {layout.STATE} of the build tells that per shard"
