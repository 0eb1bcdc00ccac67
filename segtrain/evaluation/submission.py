"""Predictions as anybody hands them in, of whatever framework: label maps by the ids of the samples.

| what | holds |
| --- | --- |
| a folder | `ID.png` of each sample: ids of the classes in a grey or palette PNG, or cells in one of 16 bits |
| a folder of `segtrain predict` | `ID_label.png`, and others that are left out |
| `.npz` | an array `ID` of each sample; or `sample_id` (N,) and `label` (N, H, W) |
| `.h5` | `sample_id` (N,) and `label` (N, H, W) |
| `.json` | results as COCO has them: `image_id`, `category_id` (of a class), `segmentation` and `score` of each cell |

An `image_id` of COCO is a sample's id, or its number in the split from 1, as `smearsynth export --format coco` has it;
of two cells that overlap the one with the higher score is on top, and what no cell covers is background.

A map of single cells has 1000 x class + the cell's number in its image, as Cityscapes has, and 0 for background: any
value from 1000 on says that it is one. In any other map 255, a cell whose class is unsure, counts as background: what
is not named is not found. All that is missing, too many, of another size or no class is named.
"""

import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt
from PIL import Image

from smearsynth.base.errors import UserError, first_line
from smearsynth.base.hdf5 import UNREADABLE, open_to_read, own_dataset
from smearsynth.base.json_values import read_json
from smearsynth.fields.cell_outlines import Outline, Raster
from smearsynth.fields.json_annotations import coco_outline
from smearsynth.taxonomy import IGNORE

IDS, LABEL = "sample_id", "label"
_OF_PREDICT = "_label"
_OF_CELLS = 1000
"""From this value on a map is of single cells."""
_SHOWN = 3
"""Ids that an error names."""
_MOST_BYTES = 2_000_000_000
"""Of results in COCO's format."""
_UNREADABLE = (*UNREADABLE, zipfile.BadZipFile, EOFError)

Map = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PredictedMap:
    """label: uint8 (H, W), ids of classes. cells: integers (H, W), 0 or a number that is one cell's alone; None where
    the prediction does not say which pixels are of one."""

    label: npt.NDArray[np.uint8]
    cells: Map | None


class Submission:
    """The predictions in a folder or file, read one by one."""

    def __init__(self, path: Path, ids: Sequence[str], read: Callable[[str, tuple[int, int]], Map]) -> None:
        """ids: of the samples that are there. read: gives the map of one, of an image of (H, W)."""
        self.path, self.ids, self._read = path, ids, read

    @classmethod
    def open(cls, path: Path, samples: Sequence[str]) -> Self:
        """samples: ids of all that are predicted, in the order of their split. Raises UserError where no predictions
        are there."""
        if path.is_dir():
            predicted = {file.stem.removesuffix(_OF_PREDICT): file for file in path.glob(f"*{_OF_PREDICT}.png")}
            files = predicted or {file.stem: file for file in sorted(path.glob("*.png"))}
            if not files:
                raise UserError(f"{path} holds no predictions: write ID.png of each sample, 8 bits, ids of the classes")
            return cls(path, list(files), lambda sample, _: _png(files[sample]))
        if not path.is_file():
            raise UserError(f"{path} is not there: name a folder of PNG files, an .npz, an .h5 or COCO's .json")
        try:
            if path.suffix == ".json":
                cells = _coco_results(path, samples)
                return cls(path, samples, lambda sample, shape: _painted(cells[sample], shape, f"{path}: {sample}"))
            if h5py.is_hdf5(path):
                with closing(open_to_read(path)) as file:
                    ids, values = own_dataset(file, IDS).asstr()[()].tolist(), own_dataset(file, LABEL)[()]
                return cls._of_arrays(path, ids, values)
            with np.load(path, allow_pickle=False) as arrays:
                if {IDS, LABEL} <= set(arrays):
                    return cls._of_arrays(path, arrays[IDS].astype(str).tolist(), arrays[LABEL])
                maps = {name: arrays[name] for name in arrays}
                return cls(path, list(maps), lambda sample, _: maps[sample])
        except _UNREADABLE as error:
            raise UserError(
                f"{path} cannot be read ({first_line(error)}): give an .npz or .h5 with `{IDS}` and `{LABEL}`, or a "
                "folder of PNG files"
            ) from None

    @classmethod
    def _of_arrays(cls, path: Path, ids: list[str], values: Map) -> Self:
        if values.ndim != 3 or len(values) != len(ids) or len(set(ids)) != len(ids):
            raise UserError(
                f"{path}: `{LABEL}` has the shape {values.shape} and `{IDS}` {len(set(ids))} different names: "
                "give (N, height, width) and N names"
            )
        row = {sample: i for i, sample in enumerate(ids)}
        return cls(path, ids, lambda sample, _: values[row[sample]])

    def check_ids(self, wanted: Sequence[str], what: str) -> None:
        """UserError where a sample is missing, or there is one that `what` does not have."""
        missing, extra = set(wanted) - set(self.ids), set(self.ids) - set(wanted)
        named = [f"{len(ids)} {of} ({_some(ids)})" for of, ids in (("missing", missing), ("too many", extra)) if ids]
        if named:
            raise UserError(f"{self.path}: of the {len(wanted):,} samples of {what}, {' and '.join(named)}")

    def read(self, sample: str, shape: tuple[int, int], classes: int) -> PredictedMap:
        """The prediction of a sample of that shape (H, W). UserError where it is of another, or a value is none of the
        classes 0 to `classes` - 1."""
        values, where = self._read(sample, shape), f"{self.path}: {sample}"
        if values.shape != shape:
            raise UserError(f"{where} has the shape {values.shape}, its image {shape}: predict at the image's own size")
        if not np.issubdtype(values.dtype, np.integer):
            raise UserError(f"{where} holds {values.dtype}: give whole numbers, the ids of the classes")
        of_cells = int(values.max()) >= _OF_CELLS
        if not of_cells:
            values = np.where(values == IGNORE, 0, values)
        label = values // _OF_CELLS if of_cells else values
        if values.min() < 0 or label.max() >= classes or (of_cells and ((values > 0) & (label == 0)).any()):
            wrong = values[(values < 0) | (label >= classes) | ((values > 0) & (label == 0))][0]
            raise UserError(f"{where} holds {wrong}, which is none of the classes 0 to {classes - 1}")
        return PredictedMap(label.astype(np.uint8), values if of_cells else None)


def _png(path: Path) -> Map:
    try:
        with Image.open(path) as image:
            if len(image.getbands()) > 1:
                raise UserError(f"{path} is a picture in colour: write ids of classes as a grey or palette PNG")
            values: Map = np.asarray(image)
            return values
    except _UNREADABLE as error:
        raise UserError(f"{path} cannot be read ({first_line(error)}): write it again") from None


def _coco_results(path: Path, samples: Sequence[str]) -> dict[str, list[tuple[int, Outline]]]:
    """Of each sample its cells, the surest last: class and outline. Raises ValueError and others as it is read."""
    found: dict[str, list[tuple[float, int, Outline]]] = {sample: [] for sample in samples}
    for count, cell in enumerate(read_json(path, _MOST_BYTES)[0]):
        image, outline = cell["image_id"], coco_outline(cell["segmentation"])
        sample = samples[image - 1] if isinstance(image, int) and 0 < image <= len(samples) else str(image)
        if sample not in found:
            raise UserError(f"{path}: [{count}]: {image!r} is no sample: give its id, or its number from 1")
        kind = int(cell["category_id"])
        if kind == IGNORE:
            continue
        if not 0 < kind < IGNORE:
            raise UserError(f"{path}: [{count}]: category_id {kind} is no class of cells: they are numbered from 1")
        if outline is not None:
            found[sample].append((float(cell.get("score", 1)), kind, outline))
    if many := [sample for sample, cells in found.items() if len(cells) >= _OF_CELLS]:
        raise UserError(f"{path}: {many[0]} has {_OF_CELLS:,} cells or more: leave out those of the lowest score")
    return {
        sample: [(kind, outline) for _, kind, outline in sorted(cells, key=lambda cell: cell[0])]
        for sample, cells in found.items()
    }


def _painted(cells: Sequence[tuple[int, Outline]], shape: tuple[int, int], where: str) -> Map:
    """int64 (H, W): 1000 x class + number of the cells, later ones on top. where: for messages."""
    values = np.zeros(shape, np.int64)
    for number, (kind, outline) in enumerate(cells, 1):
        if isinstance(outline, Raster) and outline.made_on != shape:
            raise UserError(f"{where} has a mask of {outline.made_on}, its image {shape}: predict at that size")
        window, mask = outline.draw(shape)
        values[window][mask] = _OF_CELLS * kind + number
    return values


def _some(ids: set[str]) -> str:
    names = sorted(ids)
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
