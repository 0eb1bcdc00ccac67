"""COCO instances: one JSON file per split, its images beside it.

A cell is what shows of it, pixel for pixel: masks are run-lengths and no polygons, which would move its edge.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from smearsynth.base.instance_outlines import encode_instances
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


class CocoSample(NamedTuple):
    """A sample's file and its entries, without the ids of annotations."""

    png: bytes
    image: dict[str, Any]
    annotations: list[dict[str, Any]]


def encode(sample: ExportedSample, dataset: ExportedSet) -> CocoSample:
    row = sample.row
    height, width = sample.label.shape
    image = {
        "id": row.number,
        "file_name": f"{row.sample_id}.png",
        "width": width,
        "height": height,
        "look": row.look,
    }
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


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[CocoSample]) -> None:
    """Ids begin at 1, in the order of the set; an image's is its number in the split, whatever is left out."""
    folder, path = out / split, out / "annotations" / f"instances_{split}.json"
    folder.mkdir()
    path.parent.mkdir(exist_ok=True)
    numbers = count(1)
    # Images wait in a file of their own while annotations stream out, so that memory does not grow with the set.
    with path.open("w", encoding="utf-8") as file, TemporaryFile("w+", encoding="utf-8", dir=out) as images:
        file.write(_head(dataset) + ',\n"annotations": [')
        for done, (png, image, annotations) in enumerate(encoded):
            (folder / image["file_name"]).write_bytes(png)
            images.write(_entry(image, first=not done))
            for annotation in annotations:
                number = next(numbers)
                file.write(_entry({"id": number, "image_id": image["id"], **annotation}, first=number == 1))
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


def _entry(entry: dict[str, Any], *, first: bool) -> str:
    """An entry of a list that it begins or goes on."""
    return f"{'' if first else ','}\n{json.dumps(entry)}"
