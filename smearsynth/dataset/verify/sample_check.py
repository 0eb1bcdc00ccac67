"""One sample of a shard: its maps, object rows and small columns against one another, and against the bank.

`count_maps` counts label and instance map in one compiled pass. Nothing that a shard holds is used as an index before
its range was checked, for compiled loops check no bounds.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.dataset.index import ShardRecord, combination
from smearsynth.dataset.index_schema import IndexFile
from smearsynth.scene.label_maps import derive
from smearsynth.scene.parasite_maps import derive_parasites
from smearsynth.scene.scene import CELL, CLASS, OBJECT_FIELDS, Z, background_of
from smearsynth.scene.warp import TURN, cell_pixels, tile_sizes
from smearsynth.shards.format import sample_digest
from smearsynth.taxonomy import CLASSES, SPLITS

_FIRST_DERIVED = Z
"""This column of objects and those after it follow from the ones before and the bank."""
_FARTHEST = 2**22
"""Beyond any centre, in 1/256 px: the largest field and the reach of the largest cell are less than half of it."""
_RANGES = {
    "cx": (-_FARTHEST, _FARTHEST),
    "cy": (-_FARTHEST, _FARTHEST),
    "angle": (0, TURN - 1),
    "flip": (0, 1),
    "scale": (ONE // 2, 2 * ONE),
}
"""What a plan can give, ends included; `scale` as of the recipe's `scene.scale_range`."""
_MOST_PIXELS = 2**30
"""Pixels of footprints that one sample may need; 65,534 red cells of twice their size need less."""


class StoredSample(NamedTuple):
    """Rows of a shard's big datasets.

    image: uint8 (H, W, 3). label: uint8 (H, W). instance: uint16 (H, W). objects: int32 (n, 14), those in use; unused:
    int32, the other rows. parasite: uint8 (H, W), None in a set without.
    """

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16]
    objects: npt.NDArray[np.int32]
    unused: npt.NDArray[np.int32]
    parasite: npt.NDArray[np.uint8] | None

    @property
    def digest(self) -> str:
        """sha256, hex, of the pixels."""
        return sample_digest(self.image, self.label, self.instance, self.parasite)

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """int64 (n,), class id of each object, whatever the shard says."""
        return self.objects[:, CLASS].astype(np.int64)

    @property
    def background(self) -> int:
        """Which red cells there are, as an index into BACKGROUNDS."""
        return background_of(set(self.classes.tolist()))

    def differs_from(self, other: "StoredSample") -> list[str]:
        """Which of label, instance map, parasite mask and objects are not those of `other`."""
        names = ("label", "instance", "parasite", "objects")
        return [name for name in names if not np.array_equal(getattr(self, name), getattr(other, name))]


class MapCounts(NamedTuple):
    """pixels: int64 (256,), of each label. visible: int64 (n, 5), x, y, width, height of the pixels of each instance
    and their number. wrong: pixels whose label is not the class of their instance, or whose instance is none; x, y: of
    the first.
    """

    pixels: npt.NDArray[np.int64]
    visible: npt.NDArray[np.int64]
    wrong: int
    x: int
    y: int


def count_maps(
    label: npt.NDArray[np.uint8], instance: npt.NDArray[np.uint16], classes: npt.NDArray[np.int64]
) -> MapCounts:
    """Counts a label and an instance map (H, W) of n objects of `classes`, (n,)."""
    pixels, visible = np.zeros(256, np.int64), np.zeros((len(classes), 5), np.int64)
    wrong, first = _count(label, instance, classes, pixels, visible)
    y, x = divmod(first, label.shape[1])
    return MapCounts(pixels, visible, wrong, x, y)


@compiled()
def _count(label, instance, classes, pixels, visible):  # type: ignore[no-untyped-def]
    height, width = label.shape
    n = classes.size
    wrong, first = 0, 0
    for y in range(height):
        for x in range(width):
            number, here = np.int64(instance[y, x]), label[y, x]
            pixels[here] += 1
            if number > n or here != (classes[number - 1] if number > 0 else 0):
                if wrong == 0:
                    first = y * width + x
                wrong += 1
            if 0 < number <= n:
                box = visible[number - 1]
                if box[4] == 0:
                    box[0], box[1], box[2], box[3] = x, y, x, y
                box[0], box[2], box[3] = min(box[0], x), max(box[2], x), y
                box[4] += 1
    for i in range(n):
        if visible[i, 4] > 0:
            visible[i, 2] += 1 - visible[i, 0]
            visible[i, 3] += 1 - visible[i, 1]
    return wrong, first


def column_errors(sample: StoredSample, foreground: npt.NDArray[np.uint16], background: int) -> Iterator[str]:
    """The small columns `foreground`, uint16 (9,), and `background` against the object rows."""
    counts = [int((sample.classes == c.id).sum()) for c in CLASSES[1:]]
    if foreground.tolist() != counts:
        yield f"`foreground` is {foreground.tolist()}, and its objects are {counts}"
    if background != sample.background:
        yield f"`background` is {background}, and its objects make it {sample.background}"


def map_errors(sample: StoredSample, counts: MapCounts) -> Iterator[str]:
    """Label, instance map and object rows against one another. counts: of the sample's maps."""
    unknown = np.flatnonzero((sample.classes < 1) | (sample.classes >= len(CLASSES)))
    if unknown.size:
        yield f"object row {unknown[0]}: there is no class {sample.classes[unknown[0]]}{_such_rows(unknown.size)}"
    if sample.unused.any():
        yield "a row of `objects` beyond `object_count` is not 0"
    if counts.wrong:
        label, instance = (int(a[counts.y, counts.x]) for a in (sample.label, sample.instance))
        yield (
            f"label is not the class of the instance at {counts.wrong} pixels, first at x={counts.x}, y={counts.y}: "
            f"label {label}, instance {instance}"
        )
    z = np.arange(len(sample.objects))
    yield from _row_errors(sample.objects, np.column_stack([z, counts.visible]), "the maps")


def derived_errors(sample: StoredSample, bank: Bank, split: str) -> Iterator[str]:
    """Label, instance map, parasite mask and object rows against those that the planner makes of objects and bank,
    pixel for pixel."""
    impossible = _impossible(sample.objects, bank, SPLITS.index(split))
    if impossible:
        yield f"{impossible}, so its label cannot be derived"
        return
    made = derive(sample.objects, bank, sample.label.shape)
    hidden = np.setdiff1d(np.arange(len(sample.objects)), made.kept)
    if hidden.size:
        yield f"object row {hidden[0]} shows no pixel by the bank"
    due = sample.objects[:, _FIRST_DERIVED:].astype(np.int64)
    due[made.kept] = np.column_stack([made.kept, made.visible, made.full])
    yield from _row_errors(sample.objects, due, "the bank")
    instance = np.concatenate([[0], made.kept + 1]).astype(np.uint16)[made.instance]
    maps: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]] = [
        ("label", sample.label, made.label),
        ("instance", sample.instance, instance),
    ]
    if sample.parasite is not None and bank.has_parasites:
        maps.append(("parasite", sample.parasite, derive_parasites(sample.objects, bank, sample.label.shape)))
    for name, stored, derived in maps:
        wrong = np.argwhere(stored != derived)
        if wrong.size:
            y, x = wrong[0]
            by = f"object row {instance[y, x] - 1}" if instance[y, x] else "the background"
            yield (
                f"{name} is not what objects and bank give at {len(wrong)} pixels, first at x={x}, y={y}: "
                f"{stored[y, x]} there, {derived[y, x]} by {by}"
            )


def _row_errors(objects: npt.NDArray[np.int32], due: npt.NDArray[np.int64], source: str) -> Iterator[str]:
    """Where the columns of the object rows from `z` on are not `due`, int64 (n, columns), as `source` gives them."""
    wrong = np.argwhere(objects[:, _FIRST_DERIVED : _FIRST_DERIVED + due.shape[1]] != due)
    if wrong.size:
        row, column = wrong[0]
        at = _FIRST_DERIVED + column
        yield (
            f"object row {row}: {OBJECT_FIELDS[at]} is {objects[row, at]}, and {due[row, column]} by {source}"
            f"{_such_rows(len(set(wrong[:, 0].tolist())))}"
        )


def _such_rows(rows: int) -> str:
    return f" ({rows} such rows)" if rows > 1 else ""


def _impossible(objects: npt.NDArray[np.int32], bank: Bank, split: int) -> str:
    """Why the rows cannot be drawn, "" where they can."""
    columns = dict(zip(OBJECT_FIELDS, objects.T.astype(np.int64), strict=True))
    for name, (low, high) in {"cell": (0, len(bank) - 1), **_RANGES}.items():
        wrong = np.flatnonzero((columns[name] < low) | (columns[name] > high))
        if wrong.size:
            return f"object row {wrong[0]}: {name} is {columns[name][wrong[0]]}, and no plan gives that"
    cells = columns["cell"]
    for name, there, due in (
        ("class", columns["class"], bank.class_id[cells]),
        ("split", np.full(len(cells), split), bank.split[cells]),
    ):
        wrong = np.flatnonzero(there != due)
        if wrong.size:
            row = wrong[0]
            return f"object row {row}: cell {cells[row]} is of {name} {due[row]} in the bank and of {there[row]} here"
    if tile_sizes(cell_pixels(bank), cells, columns["scale"]).sum() > _MOST_PIXELS:
        return "its objects cover more than any plan draws"
    return ""


class Recount:
    """Counts the samples of a shard as they pass, as its build did. Without a bank it knows no sources."""

    def __init__(self, bank: Bank | None) -> None:
        self._bank = bank
        self._samples = 0
        self._pixels = np.zeros(len(CLASSES), np.int64)
        self._objects = np.zeros(len(CLASSES), np.int64)
        self._by_source = np.zeros((len(CLASSES), len(bank.sources) if bank else 0), np.int64)
        self._combinations: Counter[str] = Counter()

    def add(self, sample: StoredSample, counts: MapCounts) -> None:
        """One sample; object rows of no class or no cell are left out."""
        self._samples += 1
        self._pixels += counts.pixels[: len(CLASSES)]
        objects = sample.objects[(sample.classes > 0) & (sample.classes < len(CLASSES))]
        classes, cells = objects[:, CLASS], objects[:, CELL]
        self._objects += np.bincount(classes, minlength=len(CLASSES))
        self._combinations[combination(classes, sample.background)] += 1
        if self._bank:
            known = (cells >= 0) & (cells < len(self._bank))
            np.add.at(self._by_source, (classes[known], self._bank.source[cells[known]]), 1)

    def record(self, file: IndexFile) -> ShardRecord | None:
        """Of the shard `file`, `dropped` left at 0; None unless all its samples passed."""
        if self._samples != file.samples:
            return None
        return ShardRecord(
            name=file.name,
            split=str(file.split),
            first=file.first_scene,
            stop=file.first_scene + file.scenes,
            samples=file.samples,
            size=file.size,
            sha256=file.sha256,
            pixels=tuple(self._pixels.tolist()),
            objects=tuple(self._objects.tolist()),
            dropped=0,
            combinations=dict(sorted(self._combinations.items())),
            class_by_source=tuple(map(tuple, self._by_source.tolist())),
        )
