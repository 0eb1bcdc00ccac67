"""Writes the shards of an import: every pair is read once more, resampled, cut and packed by threads, in order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from segtrain.importing.in_order import in_order
from segtrain.importing.patches import Window
from segtrain.importing.plan import ShardPlan, Source, shards
from segtrain.importing.reading import Reader
from segtrain.importing.resample import resample
from segtrain.importing.survey import read_image, read_label
from smearsynth.errors import WorkError
from smearsynth.images import Pixels
from smearsynth.shards.digest import sample_digest
from smearsynth.shards.format import Header, ImportedSample, sample_id
from smearsynth.shards.writer import Packed, ShardWriter, pack_imported

_CODEC = "gzip"


@dataclass(frozen=True, kw_only=True)
class Written:
    """A sample that is in its shard, and where it was cut: top and left of its window, px."""

    sample_id: str
    digest: str
    source: Source
    window: Window


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """A shard that is on the disk. pixels: i8 (256,), how many have each label."""

    plan: ShardPlan
    samples: tuple[Written, ...]
    pixels: npt.NDArray[np.int64]


def write_shards(
    out: Path, sources: Sequence[Source], *, reader: Reader, header: Header, progress: bool
) -> Iterator[WrittenShard]:
    """The shards, one after another. sources: in the order of their samples. header: of all shards, but for its split.
    Raises WorkError where a file is not what it was."""
    made = in_order(partial(_make, reader=reader), _numbered(sources))
    samples = (sample for together in made for sample in together)
    total = sum(len(source.windows) for source in sources)
    with tqdm(total=total, unit=" samples", desc="write", leave=False, disable=None if progress else True) as bar:
        for plan in shards(sources):
            yield _write(out, plan, islice(samples, plan.samples), replace(header, split=plan.split), bar)


def _numbered(sources: Sequence[Source]) -> Iterator[tuple[Source, int]]:
    """Each source with the number of its first sample in its split."""
    next_of: Counter[str] = Counter()
    for source in sources:
        yield source, next_of[source.split]
        next_of[source.split] += len(source.windows)


def _write(
    out: Path,
    plan: ShardPlan,
    samples: Iterator[tuple[Written, Packed, npt.NDArray[np.int64]]],
    header: Header,
    bar: "tqdm[NoReturn]",
) -> WrittenShard:
    written, total = [], np.zeros(256, np.int64)
    with ShardWriter(
        out / plan.name,
        header=header,
        rows=plan.samples,
        size=plan.size,
        max_objects=0,
        codec=_CODEC,
        temporary=out / f"{plan.name}.part",
    ) as writer:
        for sample, packed, pixels in samples:
            writer.append(packed)
            written.append(sample)
            total += pixels
            bar.update()
    return WrittenShard(plan=plan, samples=tuple(written), pixels=total)


def _make(task: tuple[Source, int], *, reader: Reader) -> list[tuple[Written, Packed, npt.NDArray[np.int64]]]:
    """The samples of a source, the first of them with that number."""
    source, first = task
    pair, (height, width) = source.surveyed.pair, source.sample
    image, image_sha256 = read_image(pair)
    reading, mask_sha256 = read_label(pair, reader)
    _check_unchanged(pair.image, image_sha256, source.surveyed.image_sha256)
    _check_unchanged(pair.mask, mask_sha256, source.surveyed.mask_sha256)
    image, label = resample(image, reading.label, source.resampled)
    return [
        _packed(source, first + i, (y, x), image[y : y + height, x : x + width], label[y : y + height, x : x + width])
        for i, (y, x) in enumerate(source.windows)
    ]


def _check_unchanged(path: Path, now: str, before: str) -> None:
    if now != before:
        raise WorkError(f"{path} was changed while it was imported: begin again.")


def _packed(
    source: Source, number: int, window: Window, image: Pixels, label: Pixels
) -> tuple[Written, Packed, npt.NDArray[np.int64]]:
    name, digest = sample_id(source.split, number, 0, ()), sample_digest(image, label)
    sample = ImportedSample(image=image, label=label, scene=number, group=source.group, sample_id=name, digest=digest)
    written = Written(sample_id=name, digest=digest, source=source, window=window)
    return written, pack_imported(sample, codec=_CODEC), np.bincount(label.ravel(), minlength=256)
