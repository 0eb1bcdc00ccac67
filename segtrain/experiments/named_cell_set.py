"""The named cells of annotated fields as a set, which a training reads as it reads smears.

A network finds the cells of each field, once, and an annotation names the found cell that it means. Named cells have
their class, an instance and a row of `objects`; all else is ignored, for nobody said what it is. A sample is a whole
field at the scale of the networks, or a patch of it. Fields, not cells, are held back for validation: the cells of one
field share stain, light and focus.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.cell_measures import FieldCells, count_field
from segtrain.counting.watershed_split import Labels
from segtrain.data.cell_crops import crop_at
from segtrain.data.sampler import shuffled_order
from segtrain.evaluation.named_cells import NamedField, found_cell
from segtrain.importing.import_plan import Patches, windows
from segtrain.inference.field_prediction import image_warnings
from segtrain.inference.image_reader import open_image
from segtrain.inference.ready_networks import Networks
from segtrain.inference.tiles import RescaledImage
from smearsynth.base.errors import UserError
from smearsynth.base.files import write_text
from smearsynth.base.images import Pixels
from smearsynth.base.progress import with_progress
from smearsynth.shards.format import IMPORTED_FIELDS, Header, ImportedSample, dataset_digest, sample_digest, sample_id
from smearsynth.shards.writer import ShardWriter, pack_imported
from smearsynth.taxonomy import BY_KEY, CLASSES, IGNORE

INDEX = "index.json"
HELD_BACK = 4
"""Of so many fields, one is held back."""
Kinds = npt.NDArray[np.uint8]


def held_back(fields: Sequence[NamedField], seed: int) -> set[int]:
    """Numbers of the fields that are validated on, in a keyed order; those that show the rarest class share it out
    first. UserError for a single field."""
    if len(fields) < 2:
        raise UserError("a field must be held back, and there is one with named cells: annotate another", "dataset")
    cells = Counter(cell.key for field in fields for cell in field.cells)
    rarest = [min(cells[cell.key] for cell in field.cells) for field in fields]
    ranked = sorted(shuffled_order(len(fields), seed, 0).tolist(), key=lambda i: rarest[i])
    return set(ranked[min(HELD_BACK // 2, len(ranked) - 1) :: HELD_BACK])


def write_named_cells(
    out: Path,
    folder: Path,
    fields: Sequence[NamedField],
    networks: Networks,
    um_per_px: Mapping[Path, float],
    *,
    patch: int | None,
    seed: int,
    progress: bool = True,
) -> dict[str, Any]:
    """Writes the shards and `index.json` into the folder `out`, and returns what that holds: beside what all sets have,
    `fields` (file, split and cells by class of each), `left_out` (reason to annotations) and `warnings`.

    folder: of the fields. networks: that find the cells. um_per_px: of each field. patch: side of the samples, px;
    None: whole fields. UserError where an image cannot be read, and where no annotated cell of either split was found.
    """
    out.mkdir(parents=True)
    held, left_out = held_back(fields, seed), Counter[str]()
    samples: dict[str, list[ImportedSample]] = {"train": [], "val": []}
    known, warnings = [], list[str]()
    for number, field in enumerate(with_progress(fields, what="find cells", unit="images", shown=progress)):
        split = "val" if number in held else "train"
        image = open_image(field.path)
        try:
            warnings += image_warnings(image, networks)
            found = count_field(networks, image, um_per_px[field.path])[0]
            pixels = RescaledImage(image, um_per_px[field.path] / networks.um_per_px).rows(0, found.map.shape[0])
        finally:
            image.close()
        named = _named(field, found, left_out)
        of_field = Counter(CLASSES[kind].key for kind in named[named > 0].tolist())
        name = field.path.relative_to(folder).as_posix()
        known.append({"file": name, "split": split, "cells": dict(of_field)})
        area = np.bincount(found.map.ravel(), minlength=len(named))
        for piece in _pieces(pixels, found.map, patch):
            sample = _sample(*piece, named, area, scene=number, name=sample_id(split, len(samples[split]), 0, ()))
            samples[split] += [sample] * bool(sample.objects is not None and len(sample.objects))
    for split, made in samples.items():
        if not made:
            raise UserError(f"none of the cells annotated in the {split} fields was found: look at scale and boxes")
    index = {
        "digest": dataset_digest(sample.digest for made in samples.values() for sample in made),
        "um_per_px": networks.um_per_px,
        "splits": {split: {"samples": len(made)} for split, made in samples.items()},
        "fields": known,
        "left_out": dict(left_out),
        "warnings": warnings,
        "files": [file for split, made in samples.items() for file in _write(out, split, made, networks)],
    }
    write_text(out / INDEX, json.dumps(index, indent=1) + "\n", out / f"{INDEX}.part")
    return index


def _named(field: NamedField, found: FieldCells, left_out: Counter[str]) -> Kinds:
    """uint8 (n + 1,): by number in `found.map` the class that a cell is annotated as, 0 for none; and counts the
    annotations that name no cell."""
    meant: defaultdict[int, set[int]] = defaultdict(set)
    for cell in field.cells:
        it = found_cell(cell, found)
        if it is None:
            left_out["not found"] += 1
        else:
            meant[it.number].add(BY_KEY[cell.key].id)
    named = np.zeros(len(found.cells) + 1, np.uint8)
    for number, kinds in meant.items():
        if len(kinds) > 1:
            left_out["named as several classes"] += len(kinds)
        else:
            named[number] = kinds.pop()
    return named


def _pieces(pixels: Pixels, cells: Labels, patch: int | None) -> list[tuple[Pixels, Labels]]:
    """A field and its map of cells, whole or in patches; of a field smaller than a patch one, mirrored."""
    if patch is None:
        return [(pixels, cells)]
    inside = windows(Patches(size=(patch, patch)), cells.shape) if min(cells.shape) >= patch else [(0, 0)]
    return [(crop_at(pixels, left, top, patch), crop_at(cells, left, top, patch)) for top, left in inside]


def _sample(
    image: Pixels, cells: Labels, named: Kinds, area: npt.NDArray[np.int64], *, scene: int, name: str
) -> ImportedSample:
    """cells: int32 (H, W), numbers of cells. named: as `_named` gives it. area: int64 (n + 1,), of the whole cells."""
    boxes, visible = ndimage.find_objects(cells), np.bincount(cells.ravel(), minlength=len(named))
    numbers = [n for n in np.flatnonzero(named).tolist() if visible[n]]
    row = np.zeros(len(named), np.uint16)
    row[numbers] = np.arange(1, len(numbers) + 1)
    objects = []
    for n in numbers:
        rows, columns = boxes[n - 1]
        box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        objects.append([named[n], *box, visible[n], area[n]])
    instance, label = row[cells], np.where(named > 0, named, IGNORE).astype(np.uint8)[cells]
    return ImportedSample(
        image=image,
        label=label,
        instance=instance,
        objects=np.array(objects, np.int32).reshape(-1, len(IMPORTED_FIELDS)),
        scene=scene,
        group=scene,
        sample_id=name,
        digest=sample_digest(image, label, instance),
    )


def _write(out: Path, split: str, samples: Sequence[ImportedSample], networks: Networks) -> list[dict[str, Any]]:
    """The shards of a split, one for each size of its samples; their entries in the index."""
    by_size: defaultdict[tuple[int, ...], list[ImportedSample]] = defaultdict(list)
    for sample in samples:
        by_size[sample.label.shape].append(sample)
    most, files = max(len(sample.objects) for sample in samples if sample.objects is not None), []
    header = Header(
        split=split,
        looks=("original",),
        recipe_hash="",
        bank_digest="",
        fields=IMPORTED_FIELDS,
        um_per_px=networks.um_per_px,
        generator_version=0,
    )
    for number, ((height, width), of_size) in enumerate(by_size.items()):
        path = out / f"{split}-{number:05d}.h5"
        options = {"rows": len(of_size), "size": (height, width), "max_objects": most, "codec": "gzip"}
        with ShardWriter(path, header=header, **options) as writer:  # type: ignore[arg-type]
            for sample in of_size:
                writer.append(pack_imported(sample, max_objects=most, codec="gzip"))
        files.append({"name": path.name, "split": split, "samples": len(of_size)})
    return files
