"""Label and instance map derived again from a sample's objects and the bank, by what made them, pixel for pixel."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.dataset.verify.sample import Sample, row_faults
from smearsynth.fixed_point import ONE
from smearsynth.scene.labels import derive
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.scene.turns import TURN
from smearsynth.scene.warp import pool_of, tile_sizes
from smearsynth.taxonomy import SPLITS

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
_Z = OBJECT_FIELDS.index("z")


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
    due = sample.objects[:, _Z:].astype(np.int64)
    due[made.kept] = np.column_stack([made.kept, made.visible, made.full])
    yield from row_faults(sample.objects, _Z, due, "the bank")
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
    if tile_sizes(pool_of(bank), cells, columns["scale"]).sum() > _MOST_PIXELS:
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
