"""A label and instance map counted in one pass.

One sample against itself: pixels against digest, maps against object rows, and these against the small columns.

Label and instance map derived again from a sample's objects and the bank, by what made them, pixel for pixel.

What the index tells in numbers, counted again from the samples of a shard.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.dataset.index import ShardRecord, combination
from smearsynth.dataset.verify.stated_index import File
from smearsynth.scene.label_maps import derive
from smearsynth.scene.scene import OBJECT_FIELDS, background_of
from smearsynth.scene.warp import TURN, cell_pixels, tile_sizes
from smearsynth.shards.format import sample_digest
from smearsynth.taxonomy import CLASSES, SPLITS


class Survey(NamedTuple):
    """pixels: i8 (256,), of each label. seen: i8 (n, 5), x, y, width, height of the pixels of each instance and their
    number. strange: pixels whose label is not the class of their instance, or whose instance is none; x, y: the first.
    """

    pixels: npt.NDArray[np.int64]
    seen: npt.NDArray[np.int64]
    strange: int
    x: int
    y: int


def survey(label: npt.NDArray[np.uint8], instance: npt.NDArray[np.uint16], classes: npt.NDArray[np.int64]) -> Survey:
    """Of maps u1 and u2 (H, W) of n objects of `classes`, i8 (n,)."""
    pixels, seen = np.zeros(256, np.int64), np.zeros((len(classes), 5), np.int64)
    strange, first = _count(label, instance, classes, pixels, seen)
    y, x = divmod(first, label.shape[1])
    return Survey(pixels, seen, strange, x, y)


@compiled()
def _count(label, instance, classes, pixels, seen):  # type: ignore[no-untyped-def]
    height, width = label.shape
    n = classes.size
    strange, first = 0, 0
    for y in range(height):
        for x in range(width):
            number, here = np.int64(instance[y, x]), label[y, x]
            pixels[here] += 1
            if number > n or here != (classes[number - 1] if number > 0 else 0):
                if strange == 0:
                    first = y * width + x
                strange += 1
            if 0 < number <= n:
                box = seen[number - 1]
                if box[4] == 0:
                    box[0], box[1], box[2], box[3] = x, y, x, y
                box[0], box[2], box[3] = min(box[0], x), max(box[2], x), y
                box[4] += 1
    for i in range(n):
        if seen[i, 4] > 0:
            seen[i, 2] += 1 - seen[i, 0]
            seen[i, 3] += 1 - seen[i, 1]
    return strange, first


_CLASS, _Z = OBJECT_FIELDS.index("class"), OBJECT_FIELDS.index("z")


class Sample(NamedTuple):
    """Rows of a shard's big datasets. objects: i4 (n, 14), those in use; unused: i4, the others."""

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16]
    objects: npt.NDArray[np.int32]
    unused: npt.NDArray[np.int32]

    @property
    def digest(self) -> str:
        """sha256, hex, of the pixels."""
        return sample_digest(self.image, self.label, self.instance)

    @property
    def classes(self) -> npt.NDArray[np.int64]:
        """Class id of each object."""
        return self.objects[:, _CLASS].astype(np.int64)

    @property
    def background(self) -> int:
        """Which red cells there are, as an index into BACKGROUNDS."""
        return background_of(set(self.classes.tolist()))

    def unlike(self, other: "Sample") -> list[str]:
        """Which of label, instance map and objects are not those of `other`."""
        return [name for name in self._fields[1:4] if not np.array_equal(getattr(self, name), getattr(other, name))]


def column_faults(sample: Sample, foreground: npt.NDArray[np.uint16], background: int) -> Iterator[str]:
    """The small columns `foreground`, u2 (9,), and `background` against the object rows."""
    counts = [int((sample.classes == c.id).sum()) for c in CLASSES[1:]]
    if foreground.tolist() != counts:
        yield f"`foreground` is {foreground.tolist()}, and its objects are {counts}"
    if background != sample.background:
        yield f"`background` is {background}, and its objects make it {sample.background}"


def map_faults(sample: Sample, found: Survey) -> Iterator[str]:
    """Label, instance map and object rows against each other."""
    wrong = np.flatnonzero((sample.classes < 1) | (sample.classes >= len(CLASSES)))
    if wrong.size:
        yield f"object row {wrong[0]}: there is no class {sample.classes[wrong[0]]}{_more(wrong.size)}"
    if sample.unused.any():
        yield "a row of `objects` beyond `object_count` is not 0"
    if found.strange:
        label, instance = (int(a[found.y, found.x]) for a in (sample.label, sample.instance))
        yield (
            f"label is not the class of the instance at {found.strange} pixels, first at x={found.x}, y={found.y}: "
            f"label {label}, instance {instance}"
        )
    rows = np.arange(len(sample.objects))
    yield from row_faults(sample.objects, _Z, np.column_stack([rows, found.seen]), "the maps")


def row_faults(objects: npt.NDArray[np.int32], first: int, due: npt.NDArray[np.int64], source: str) -> Iterator[str]:
    """Where columns `first` and following of the object rows are not `due`, i8 (n, columns), as `source` gives them."""
    wrong = np.argwhere(objects[:, first : first + due.shape[1]] != due)
    if wrong.size:
        row, column = wrong[0]
        yield (
            f"object row {row}: {OBJECT_FIELDS[first + column]} is {objects[row, first + column]}, and "
            f"{due[row, column]} by {source}{_more(len(set(wrong[:, 0].tolist())))}"
        )


def _more(rows: int) -> str:
    return f" ({rows} such rows)" if rows > 1 else ""


_FAR = 2**22
"""Beyond any centre, in 1/256 px: the largest field and the reach of the largest cell are less than half of it."""
_BOUNDS = {
    "cx": (-_FAR, _FAR),
    "cy": (-_FAR, _FAR),
    "angle": (0, TURN - 1),
    "flip": (0, 1),
    "scale": (ONE // 2, 2 * ONE),
}
"""What a plan can give, ends included; `scale` as of the recipe's `scene.scale_range`."""
_MOST_PIXELS = 2**30
"""Pixels of footprints that one sample may need; 65,534 red cells of twice their size need less."""
_FIRST_DERIVED = OBJECT_FIELDS.index("z")


def derived_faults(sample: Sample, bank: Bank, split: str) -> Iterator[str]:
    """Where maps or object rows are not what objects and bank give."""
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
    yield from row_faults(sample.objects, _FIRST_DERIVED, due, "the bank")
    rows = np.concatenate([[0], made.kept + 1]).astype(np.uint16)
    instance = rows[made.instance]
    yield from _pixel_faults("label", sample.label, made.label, instance)
    yield from _pixel_faults("instance", sample.instance, instance, instance)


def _impossible(objects: npt.NDArray[np.int32], bank: Bank, split: int) -> str:
    """Why the rows cannot be drawn, "" where they can; compiled loops check no bounds."""
    columns = dict(zip(OBJECT_FIELDS, objects.T.astype(np.int64), strict=True))
    for name, (low, high) in {"cell": (0, len(bank) - 1), **_BOUNDS}.items():
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


def _pixel_faults(
    name: str, stored: npt.NDArray[np.integer], due: npt.NDArray[np.integer], instance: npt.NDArray[np.uint16]
) -> Iterator[str]:
    if np.array_equal(stored, due):
        return
    wrong = np.argwhere(stored != due)
    y, x = wrong[0]
    object_row = f"object row {instance[y, x] - 1}" if instance[y, x] else "the background"
    yield (
        f"{name} is not what objects and bank give at {len(wrong)} pixels, first at x={x}, y={y}: "
        f"{stored[y, x]} there, {due[y, x]} by {object_row}"
    )


_CLASS_COLUMN, _CELL = OBJECT_FIELDS.index("class"), OBJECT_FIELDS.index("cell")


class Recount:
    """Counts samples as they pass. Without a bank it knows no sources."""

    def __init__(self, bank: Bank | None) -> None:
        self._bank = bank
        self._samples = 0
        self._pixels = np.zeros(len(CLASSES), np.int64)
        self._objects = np.zeros(len(CLASSES), np.int64)
        self._by_source = np.zeros((len(CLASSES), len(bank.sources) if bank else 0), np.int64)
        self._combinations: Counter[str] = Counter()

    def add(self, sample: Sample, found: Survey) -> None:
        """One sample; object rows of no class or no cell are left out."""
        self._samples += 1
        self._pixels += found.pixels[: len(CLASSES)]
        of_class = (sample.classes > 0) & (sample.classes < len(CLASSES))
        objects = sample.objects[of_class]
        classes = sample.classes[of_class]
        self._objects += np.bincount(classes, minlength=len(CLASSES))
        self._combinations[combination(objects[:, _CLASS_COLUMN], sample.background)] += 1
        if self._bank:
            cells = objects[:, _CELL]
            known = (cells >= 0) & (cells < len(self._bank))
            np.add.at(self._by_source, (classes[known], self._bank.source[cells[known]]), 1)

    def record(self, file: File) -> ShardRecord | None:
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
