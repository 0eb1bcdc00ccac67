"""COCO instances: one JSON file per split, its images beside it.

A cell is what shows of it, pixel for pixel: masks are run-lengths and no polygons, which would move its edge.

The run-length encoding is that of `maskApi.c` of the COCO API, written here because pycocotools would be a dependency
for it alone, and encodes a mask per cell, which makes large fields slow; `encode_instances` encodes a map at once. A
mask is read column by column; its runs have the lengths c0, c1, ... of pixels out, in, out and so on. From the fourth
on a length is stored as its difference to the length two before, and each as groups of five bits, the lowest first, in
characters from "0" on, of which the sixth bit says that another group follows.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from smearsynth.dataset.export import png_folder
from smearsynth.dataset.export.export_folder import licences
from smearsynth.dataset.export.exported_set import ExportedSample, ExportedSet

READING = """\
| file | holds |
| --- | --- |
| `SPLIT/ID.png` | the smear, RGB |
| `annotations/instances_SPLIT.json` | COCO: a category per class, an annotation per cell, what shows of it as RLE |

```python
from pycocotools.coco import COCO

coco = COCO("annotations/instances_{split}.json")
image = coco.imgs[1]
cells = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
mask = coco.annToMask(cells[0])    # (height, width) uint8, 1 where the cell shows
```"""
_GROUPS = np.arange(7)
"""Of five bits: enough for images of up to 2**34 pixels."""


class CocoSample(NamedTuple):
    """A sample's file and its entries, their ids left out."""

    png: bytes
    image: dict[str, Any]
    annotations: list[dict[str, Any]]


def encode(sample: ExportedSample, dataset: ExportedSet) -> CocoSample:
    row = sample.row
    height, width = sample.label.shape
    image = {"file_name": f"{row.sample_id}.png", "width": width, "height": height, "look": row.look}
    return CocoSample(png_folder.rgb(sample.image), image, list(_annotations(sample, dataset)))


def _annotations(sample: ExportedSample, dataset: ExportedSet) -> Iterator[dict[str, Any]]:
    assert sample.instance is not None
    assert sample.objects is not None
    classes = sample.objects[:, dataset.header.fields.index("class")].tolist()
    areas = np.bincount(sample.instance.ravel()).tolist()
    boxes = find_objects(sample.instance)
    for value, counts in encode_instances(sample.instance).items():
        rows, columns = boxes[value - 1]
        yield {
            "category_id": classes[value - 1],
            "segmentation": {"size": list(sample.instance.shape), "counts": counts},
            "area": areas[value],
            "bbox": [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
            "iscrowd": 0,
        }


def encode_instances(instance: npt.NDArray[np.uint16]) -> dict[int, str]:
    """The compressed `counts` of every value above 0 in uint16 (H, W), by ascending value."""
    flat = instance.T.ravel()
    bounds = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, stops = np.append(0, bounds), np.append(bounds, flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")[np.count_nonzero(values == 0) :]
    found, first = np.unique(values[order], return_index=True)
    if not found.size:
        return {}
    runs = np.stack([starts[order], stops[order]], axis=1)
    lengths = [np.diff(np.concatenate([[0], part.ravel(), [flat.size]])) for part in np.split(runs, first[1:])]
    lengths = [of_mask if of_mask[-1] else of_mask[:-1] for of_mask in lengths]
    return dict(zip(found.tolist(), _compressed(lengths), strict=True))


def _compressed(masks: list[npt.NDArray[np.int64]]) -> list[str]:
    """The text of the run lengths of each mask, all characters computed together."""
    place = np.concatenate([np.arange(lengths.size) for lengths in masks])
    values = np.concatenate(masks)
    late = np.flatnonzero(place > 2)
    values[late] -= values[late - 2]
    bound = 16 * 32**_GROUPS
    size = 1 + np.count_nonzero((values[:, None] >= bound) | (values[:, None] < -bound), axis=1)[:, None]
    groups = (values[:, None] >> 5 * _GROUPS) & 31
    characters = ord("0") + groups + 32 * (size - 1 > _GROUPS)
    text = characters[size > _GROUPS].astype(np.uint8).tobytes().decode("ascii")
    ends = np.cumsum(np.add.reduceat(size.ravel(), np.flatnonzero(place == 0))).tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[CocoSample]) -> None:
    """Ids begin at 1, in the order of the set."""
    folder, path = out / split, out / "annotations" / f"instances_{split}.json"
    folder.mkdir()
    path.parent.mkdir(exist_ok=True)
    numbers = count(1)
    # Images wait in a file of their own while annotations stream out, so that memory does not grow with the set.
    with path.open("w", encoding="utf-8") as file, TemporaryFile("w+", encoding="utf-8", dir=out) as images:
        file.write(_head(dataset) + ',\n"annotations": [')
        for image_id, (png, image, annotations) in enumerate(encoded, start=1):
            (folder / image["file_name"]).write_bytes(png)
            images.write(_entry(image_id, image))
            for annotation in annotations:
                file.write(_entry(next(numbers), {"image_id": image_id, **annotation}))
        file.write('\n],\n"images": [')
        images.seek(0)
        shutil.copyfileobj(images, file)
        file.write("\n]}\n")


def _head(dataset: ExportedSet) -> str:
    """`info`, `licenses` and `categories`, of a JSON object that goes on."""
    header = dataset.header
    categories = [
        {"id": number, "name": key, "supercategory": "cell", "color": list(bytes.fromhex(colour[1:]))}
        for number, key, colour in zip(header.class_ids, header.class_keys, header.class_colours, strict=True)
    ]
    head = {
        "info": {
            "description": f"{dataset.name}: synthetic blood smears, exported by smearsynth",
            "version": dataset.digest,
            "um_per_px": header.um_per_px,
            "publish": dataset.publish,
        },
        "licenses": [{"id": number, "name": text} for number, text in enumerate(licences(dataset), start=1)],
        "categories": categories[1:],
    }
    return json.dumps(head, ensure_ascii=False)[:-1]


def _entry(number: int, entry: dict[str, Any]) -> str:
    """An entry of a list that it begins or goes on."""
    return f"{',' if number > 1 else ''}\n{json.dumps({'id': number, **entry})}"
