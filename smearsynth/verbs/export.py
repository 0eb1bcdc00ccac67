"""Writes a dataset in a form that other tools read."""

import errno
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.progress import ProgressBar
from smearsynth.base.workers import checked_workers
from smearsynth.dataset.export import coco, huggingface, nnunet, png_folder, webdataset, yolo
from smearsynth.dataset.export.export_folder import check_target, replaced, write_about
from smearsynth.dataset.export.exported_set import (
    ExportedSample,
    ExportedSet,
    SampleRow,
    Selection,
    open_set,
    read_sample,
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class ExportFormat(NamedTuple):
    """encode: all that can be done with one sample, in any thread. write_split: the samples of a split, as `encode`
    gives them, in the order of the set. reading: what is written and how it is read, for its README. needs_objects:
    whether it has no meaning without them. withholds: whether nothing that is written may tell of labels. head:
    what its README begins with, of the set and the samples of each split.
    """

    encode: Callable[[ExportedSample, ExportedSet], Any]
    write_split: Callable[[Path, ExportedSet, str, Iterable[Any]], None]
    reading: str
    needs_objects: bool = False
    withholds: bool = False
    head: Callable[[ExportedSet, dict[str, int]], str] | None = None


FORMATS = {
    "png": ExportFormat(png_folder.encode, png_folder.write_split, png_folder.READING),
    "coco": ExportFormat(coco.encode, coco.write_split, coco.READING, needs_objects=True),
    "webdataset": ExportFormat(webdataset.encode, webdataset.write_split, webdataset.READING),
    "yolo": ExportFormat(yolo.encode, yolo.write_split, yolo.POLYGONS, needs_objects=True),
    "yolo-boxes": ExportFormat(partial(yolo.encode, boxes=True), yolo.write_split, yolo.BOXES, needs_objects=True),
    "nnunet": ExportFormat(nnunet.encode, nnunet.write_split, nnunet.READING),
    "huggingface": ExportFormat(
        huggingface.encode, huggingface.write_split, huggingface.READING, head=huggingface.front_matter
    ),
    "images": ExportFormat(png_folder.encode_image, png_folder.write_images, png_folder.IMAGES_READING, withholds=True),
}


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was written. samples: of each split. seconds: of the whole; per_second: samples in one of them. publish:
    whether the recipe of the set says that it may be handed on.
    """

    out: Path
    format: str
    samples: dict[str, int]
    publish: bool
    seconds: float
    per_second: float

    def __str__(self) -> str:
        counted = ", ".join(f"{split} {count:,}" for split, count in self.samples.items())
        line = f"{self.out}: {counted} as {self.format} in {self.seconds:.1f} s"
        if self.publish:
            return line
        return f"{line}\nnot for publication: the recipe of the set does not say that it may be handed on"


def export(
    path: str | Path,
    *,
    format: str,
    out: str | Path,
    split: str | None = None,
    look: str | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> ExportResult:
    """Writes the samples of the dataset in `path` to the folder `out`; the same samples give the same bytes.

    format: one of FORMATS. split, look: one of them, by default all. limit: most samples per split. overwrite: replace
    an export that is there. workers: threads, by default one per core. progress: a bar on stderr, or lines in
    a log. Raises UserError for what the user can mend, a damaged shard among it, and WorkError where the disk is
    full; then nothing is left of the export.

    >>> smearsynth.export("quickstart", format="png", out="quickstart-png", limit=2, progress=False).samples
    {'train': 2, 'val': 2, 'test': 2}
    """
    started, folder, target = time.perf_counter(), Path(path), Path(out)
    if format not in FORMATS:
        raise UserError(f"There is no format {format!r}: choose one of {', '.join(FORMATS)}.")
    chosen, workers = FORMATS[format], checked_workers(workers)
    check_target(target, folder, overwrite=overwrite)
    dataset = open_set(folder)
    selection = Selection(dataset=dataset, split=split, look=look, limit=limit)
    if chosen.needs_objects and not dataset.has_objects:
        raise UserError(f"{folder} has no `instance` and `objects`, and {format} is all about them: export png.")
    splits = selection.splits()

    def encode(row: SampleRow) -> object:
        return chosen.encode(read_sample(dataset, row), dataset)

    try:
        with (
            replaced(target) as work,
            ProgressBar(what=target.name, unit="smears", total=sum(splits.values()), shown=progress) as bar,
        ):
            head = chosen.head(dataset, splits) if chosen.head else ""
            write_about(work, selection, format, chosen.reading, head=head, withholds=chosen.withholds)
            for name in splits:
                encoded = _in_threads(encode, selection.rows(name), workers)
                chosen.write_split(work, dataset, name, _counted(encoded, bar.update))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkError(
                f"{target}: the disk is full, and the export was given up: make room, and try again."
            ) from error
        raise
    seconds = time.perf_counter() - started
    return ExportResult(
        out=target,
        format=format,
        samples=splits,
        publish=dataset.publish,
        seconds=round(seconds, 3),
        per_second=round(sum(splits.values()) / seconds, 1),
    )


def _in_threads(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`work` of each item, in their order. Decompression and encoding hold no lock; few results wait at a time."""
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _counted(items: Iterable[Item], tick: Callable[[int], object]) -> Iterator[Item]:
    for item in items:
        yield item
        tick(1)
