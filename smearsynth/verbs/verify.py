"""Checks a dataset against its index, and its labels against the cells they were made from."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smearsynth.bank.bank import Bank
from smearsynth.base.errors import UserError
from smearsynth.base.progress import ProgressBar
from smearsynth.base.workers import checked_workers
from smearsynth.dataset import layout
from smearsynth.dataset.index_schema import DatasetError, IndexSchema, check_index
from smearsynth.dataset.verify.set_files import (
    content_errors,
    count_errors,
    listing_errors,
    lock_errors,
    read_bank,
    recipe_errors,
)
from smearsynth.dataset.verify.shard_check import CheckedShards, ShardTask, check_shards, warm_up
from smearsynth.shards.format import GENERATOR_VERSION
from smearsynth.taxonomy import SPLITS


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a check of a set found; printed, a line per error and a verdict.

    whole: no error. unchecked: a sentence for everything that could not be checked. samples: that could be read;
    labels: whether theirs were derived again. digest: of the set by its pixels, "" unless all could be read. seconds:
    of the whole check.
    """

    out: Path
    whole: bool
    errors: tuple[DatasetError, ...]
    unchecked: tuple[str, ...]
    samples: int
    labels: bool
    digest: str
    seconds: float

    def figures(self) -> dict[str, Any]:
        """As plain data, under the keys of `--json`."""
        return {"faults" if key == "errors" else key: value for key, value in asdict(self).items()}

    def __str__(self) -> str:
        lines = [str(error) for error in self.errors]
        lines += [f"not checked: {sentence}" for sentence in self.unchecked]
        verdict = "whole" if self.whole else f"{len(self.errors)} {'error' if len(self.errors) == 1 else 'errors'}"
        labels = ", every label derived again" if self.labels else ""
        lines.append(f"{self.out}: {verdict}; {self.samples:,} samples read{labels} in {self.seconds:.1f} s")
        return "\n".join([*lines, f"digest {self.digest}"] if self.digest else lines)


def verify(
    path: str | Path,
    *,
    labels: bool = False,
    bank: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Verification:
    """Checks every file of the dataset in `path`, every sample, and every figure of its index; writes nothing.

    labels: derive every label and instance map again from `objects` and the bank. bank: its file, where the set was
    handed on without cells.h5. workers: processes, by default one per core. progress: a bar on stderr, or lines in
    a log. Raises UserError where there is no dataset, where it is of a newer format, where `bank` is no bank or
    another one, and where labels are asked for and there is no bank.

    >>> checked = smearsynth.verify("quickstart", labels=True, progress=False)
    >>> checked.whole, checked.samples
    (True, 500)
    """
    started, out, workers = time.perf_counter(), Path(path), checked_workers(workers)
    index, errors = check_index(out)
    if index is None:
        shards, cells, unchecked = None, None, [f"anything but {layout.INDEX}, without which nothing can be"]
    else:
        cells, bank_errors = read_bank(out, index, Path(bank) if bank is not None else None)
        if labels and not (cells or bank_errors):
            raise UserError(f"{out} was handed on without {layout.BANK}: name its bank to derive labels", "bank")
        errors += [*_file_errors(out, index), *bank_errors]
        shards = _check_shards(out, index, cells, labels, workers, progress)
        errors += [*shards.errors, *recipe_errors(out, index)]
        for split in index.splits:
            if not _unread(index, shards, split):
                errors += count_errors(index, split, [r for r in shards.records.values() if r.split == split], cells)
        errors += lock_errors(out, index, cells)
        unchecked = list(_unchecked(index, shards, cells, labels))
    return Verification(
        out=out,
        whole=not errors,
        errors=tuple(errors),
        unchecked=tuple(unchecked),
        samples=shards.samples if shards else 0,
        labels=labels and cells is not None,
        digest=shards.digest if shards else "",
        seconds=round(time.perf_counter() - started, 3),
    )


def _file_errors(out: Path, index: IndexSchema) -> Iterator[DatasetError]:
    """Of all files but the shards, which `check_shards` reads."""
    yield from listing_errors(out, index)
    for file in index.files:
        if file.split is None and layout.is_own_file(out, file.name):
            yield from (DatasetError(file.name, what) for what in content_errors(out, file))


def _check_shards(
    out: Path, index: IndexSchema, bank: Bank | None, labels: bool, workers: int, progress: bool
) -> CheckedShards:
    there = [file for file in index.shards if layout.is_own_file(out, file.name)]
    tasks = [ShardTask(folder=out, file=file, index=index, bank=bank, labels=labels) for file in there]
    warm_up(bank if labels else None)
    total = sum(file.samples for file in there)
    with ProgressBar(what=out.name, unit="smears", total=total, shown=progress) as bar:
        return check_shards(index, tasks, workers=workers, tick=bar.update)


def _unread(index: IndexSchema, shards: CheckedShards, split: str) -> list[str]:
    return [file.name for file in index.shards if file.split == split and file.name not in shards.records]


def _unchecked(index: IndexSchema, shards: CheckedShards, bank: Bank | None, labels: bool) -> Iterator[str]:
    for split in SPLITS:
        if unread := _unread(index, shards, split):
            yield f"what {layout.INDEX} counts in {split}, for {', '.join(unread)} cannot be read in full"
    if bank is None:
        what = "where objects come from, and labels" if labels else "where objects come from"
        yield f"{what}: there is no {layout.BANK} that can be read; name another in its place"
    if labels and index.generator_version != GENERATOR_VERSION:
        yield f"whether generator version {index.generator_version} made labels as this one, {GENERATOR_VERSION}, does"
