"""The folder that Ultralytics' YOLO trains on: images, and beside them a line for each cell, as a polygon or as a box.

YOLO draws a polygon by `cv2.fillPoly`, which fills the pixels that it runs through, at whole pixels; others take the
pixels whose centres it encloses. So each polygon runs a little inside of the sides of the cell's pixels: in either way
it is the cell to the pixel, but for what the form cannot hold. Holes are filled, and of a cell that shows in several
parts these are joined by a line.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import yaml
from scipy.ndimage import find_objects

from smearsynth.base.instance_outlines import outlines
from smearsynth.dataset.export import png_folder
from smearsynth.dataset.export.exported_set import ExportedSample, ExportedSet
from smearsynth.taxonomy import SPLITS

_READING = """\
| file | holds |
| --- | --- |
| `data.yaml` | splits and names of the classes: what `yolo train data=data.yaml` takes |
| `images/SPLIT/ID.png` | the smear, RGB |
| `labels/SPLIT/ID.txt` | a line for each cell: its class, counted from 0 without background, then SHAPE |

```python
from pathlib import Path
import yaml

names = yaml.safe_load(open("data.yaml"))["names"]
label = sorted(Path("labels/{split}").iterdir())[0]
cells = [(names[int(number)], shape) for number, *shape in map(str.split, label.read_text().splitlines())]
```"""
POLYGONS, BOXES = (
    _READING.replace("SHAPE", shape)
    for shape in (
        "the x and y of the corners of its polygon, as shares of width and height of the image",
        "x and y of the middle, width and height of its box, as shares of width and height of the image",
    )
)
_INSIDE = 0.1
"""Pixels."""


class YoloSample(NamedTuple):
    """The files of a sample."""

    name: str
    png: bytes
    lines: str


def encode(sample: ExportedSample, dataset: ExportedSet, *, boxes: bool = False) -> YoloSample:
    assert sample.instance is not None
    assert sample.objects is not None
    classes = sample.objects[:, dataset.header.fields.index("class")].tolist()
    height, width = sample.instance.shape
    lines = []
    for value, shape in (_boxes if boxes else _polygons)(sample.instance):
        shares = " ".join(f"{share:.6f}" for share in (shape / (width, height)).ravel())
        lines.append(f"{classes[value - 1] - 1} {shares}\n")
    return YoloSample(sample.row.sample_id, png_folder.rgb(sample.image), "".join(lines))


def _boxes(instance: npt.NDArray[np.uint16]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Middle and size, float64 (2, 2), of what shows of each cell."""
    for value, box in enumerate(find_objects(instance), start=1):
        if box is not None:
            low, high = (np.array([getattr(side, end) for side in box[::-1]]) for end in ("start", "stop"))
            yield value, np.array([(low + high) / 2, high - low])


def _polygons(instance: npt.NDArray[np.uint16]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Corners, float64 (n, 2), px."""
    for value, parts in outlines(instance).items():
        ring, *others = (_inside(part[0]) for part in parts)
        for other in others:
            ring = _joined(ring, other)
        yield value, ring


def _inside(ring: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """A ring of `outlines`, moved into its part, which lies to the left of each side."""
    step = np.sign(np.roll(ring, -1, axis=0) - ring)
    inwards = np.stack([step[:, 1], -step[:, 0]], axis=1)
    return ring + _INSIDE * (inwards + np.roll(inwards, 1, axis=0))


def _joined(ring: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One ring of two: from the corner nearest to the other one there, around it, and back on the same line."""
    away = np.square(ring[:, None] - other[None]).sum(axis=2)
    here, there = np.unravel_index(away.argmin(), away.shape)
    around = np.roll(other, -there, axis=0)
    return np.concatenate([ring[: here + 1], around, around[:1], ring[here:]])


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[YoloSample]) -> None:
    """The files of a split, and `data.yaml` of all splits so far."""
    images, labels = (out / kind / split for kind in ("images", "labels"))
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for name, png, lines in encoded:
        (images / f"{name}.png").write_bytes(png)
        (labels / f"{name}.txt").write_text(lines, encoding="utf-8")
    known: dict[str, Any] = {name: f"images/{name}" for name in SPLITS if (out / "images" / name).is_dir()}
    known["names"] = dict(enumerate(dataset.header.class_keys[1:]))
    (out / "data.yaml").write_text(yaml.safe_dump(known, sort_keys=False), encoding="utf-8")
