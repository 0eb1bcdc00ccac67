"""A dataset of random pictures, written straight to shards, for tests that need files but no smears."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from smearsynth.shards import format
from smearsynth.shards.writer import ShardWriter, pack
from smearsynth.taxonomy import CLASSES, INFECTED_RBC

PER_SHARD, MOST_CELLS = 7, 9
FIELDS = ("class", "x", "y", "w", "h", "visible", "full")
ALL = tuple(range(1, len(CLASSES)))


def write_set(
    root: Path,
    *,
    size: tuple[int, int] = (24, 24),
    digest: str = "ab" * 32,
    shown: Sequence[int] = ALL,
    cells: bool = False,
    **counts: int,
) -> Path:
    """`counts` samples per split, in shards of 7: blobs of random classes, of those `shown`, with colours of their own,
    and an index. cells: the set knows them, and parasites: dark middles of infected cells, not known in every third."""
    root.mkdir(parents=True, exist_ok=True)
    files, splits = [], {}
    for split, count in counts.items():
        samples = [picture(split, i, size, shown, cells=cells) for i in range(count)]
        for number, first in enumerate(range(0, count, PER_SHARD)):
            rows = samples[first : first + PER_SHARD]
            name = f"{split}-{number:05d}.h5"
            write_shard(root / name, split, rows)
            files.append({"name": name, "split": split, "samples": len(rows)})
        pixels = np.bincount(np.concatenate([s.label.ravel() for s in samples]), minlength=len(CLASSES))
        splits[split] = {"samples": count, "pixels": {c.key: int(pixels[c.id]) for c in CLASSES}}
    index = {"name": root.name, "digest": digest, "splits": splits, "files": [*files, {"name": "cells.h5"}]}
    (root / "index.json").write_text(json.dumps(index))
    return root


def write_fields(root: Path, count: int, *, shown: Sequence[int]) -> Path:
    """`count` fields of such discs as images, with a point in the middle of each that nothing hides, named by the
    number of its class, in `cells.csv`."""
    root.mkdir()
    rows = ["file,class,x,y"]
    for i in range(count):
        sample = picture("fields", i, (48, 48), shown, cells=True)
        Image.fromarray(sample.image).save(root / f"{i}.png")
        for kind, x, y, width, height, visible, full in sample.objects.tolist():
            if visible == full >= 60:
                rows.append(f"{i}.png,{kind},{x + width // 2},{y + height // 2}")
    (root / "cells.csv").write_text("\n".join(rows) + "\n")
    return root


def write_shard(path: Path, split: str, samples: list[format.ShardSample]) -> None:
    """One shard of `samples`."""
    cells = samples[0].parasite is not None
    version = format.WITH_PARASITES if cells else format.FORMAT_VERSION
    header = format.Header(
        split=split,
        looks=("natural",),
        recipe_hash="cd" * 32,
        bank_digest="",
        fields=FIELDS if cells else ("class",),
        format_version=version,
    )
    most = MOST_CELLS if cells else 1
    options = {"rows": len(samples), "size": samples[0].label.shape, "max_objects": most, "codec": "gzip"}
    with ShardWriter(path, header=header, **options) as writer:
        for sample in samples:
            writer.append(pack(sample, max_objects=most, codec="gzip"))


def picture(
    split: str, i: int, size: tuple[int, int], shown: Sequence[int] = ALL, *, cells: bool = False
) -> format.ShardSample:
    """Sample i of a split: four to eight discs, each in the colour of its class on glass of 235, and grain on all."""
    rng = np.random.default_rng([len(split), i])
    y, x = np.mgrid[: size[0], : size[1]]
    label, parasite = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    instance, objects = np.zeros(size, np.uint16), []
    for number in range(1, 1 + rng.integers(4, 9)):
        cy, cx, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(2, min(size) / 4)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        label[disc], instance[disc], parasite[disc] = shown[rng.integers(0, len(shown))], number, 0
        objects.append([shown_here := label[disc][:1].sum(), *box_of(disc), 0, disc.sum()])
        if shown_here == INFECTED_RBC:
            middle = (y - cy) ** 2 + (x - cx) ** 2 < (radius / 2) ** 2
            parasite[disc if number % 3 == 0 else middle] = 255 if number % 3 == 0 else 1
    for number, row in enumerate(objects, start=1):
        row[5] = (instance == number).sum()
    colours = np.array([(235, 235, 235), *(c.rgb for c in CLASSES[1:])])
    image = (colours[label] * 0.8 + rng.integers(0, 20, (*size, 3))).astype(np.uint8)
    if cells:
        image[parasite == 1] //= 4
    return format.ShardSample(
        image=image,
        label=label,
        instance=instance if cells else np.zeros(size, np.uint16),
        objects=np.array(objects, np.int32) if cells else np.zeros((0, 1), np.int32),
        background=0,
        scene=i,
        look=0,
        sample_id=format.sample_id(split, i, 0, ("natural",)),
        digest="0" * 64,
        parasite=parasite if cells else None,
    )


def box_of(disc: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width, height of a bool map; 0 where it is empty."""
    if not disc.any():
        return 0, 0, 0, 0
    rows, columns = np.nonzero(disc)
    return columns.min(), rows.min(), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
