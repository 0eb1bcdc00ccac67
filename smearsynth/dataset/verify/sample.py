"""One sample against itself: pixels against digest, maps against object rows, and these against the small columns."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.dataset.verify.survey import Survey
from smearsynth.scene.scene import OBJECT_FIELDS, background_of
from smearsynth.shards.digest import sample_digest
from smearsynth.taxonomy import CLASSES

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
