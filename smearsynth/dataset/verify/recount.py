"""What the index tells in numbers, counted again from the samples of a shard."""

from collections import Counter

import numpy as np

from smearsynth.cells.bank import Bank
from smearsynth.dataset.record import ShardRecord, combination
from smearsynth.dataset.verify.sample import Sample
from smearsynth.dataset.verify.stated import File
from smearsynth.dataset.verify.survey import Survey
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.taxonomy import CLASSES

_CLASS, _CELL = OBJECT_FIELDS.index("class"), OBJECT_FIELDS.index("cell")


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
        self._combinations[combination(objects[:, _CLASS], sample.background)] += 1
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
