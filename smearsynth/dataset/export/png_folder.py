"""Folders of PNG files, one per sample, with tables beside them; and arrays as PNG, which the other formats write too.

OpenCV encodes in half the time of Pillow, 68 kB against 67 kB per smear of 224 x 224 px; only Pillow writes palettes.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from smearsynth.dataset.export.exported_set import ExportedSample, ExportedSet, object_columns, object_rows
from smearsynth.shards.format import SHORT_DIGEST

_IGNORED = "#ffffff"
"""Colour of a label that is no class."""


def rgb(image: npt.NDArray[np.uint8]) -> bytes:
    """uint8 (H, W, 3) RGB as a colour PNG of 8 bits."""
    return ids(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def ids(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """uint8 or uint16 (H, W) as a grey PNG of 8 or 16 bits, for any reader gives these values back."""
    done, encoded = cv2.imencode(".png", values)
    assert done, "OpenCV encodes every array of these types"
    return encoded.tobytes()


def coloured(label: npt.NDArray[np.uint8], colours: Sequence[str]) -> bytes:
    """uint8 (H, W) as a PNG with a palette: it looks as `colours`, "#rrggbb" each, say, and Pillow reads the ids."""
    unused = 0 if label.max() < len(colours) else 256 - len(colours)
    image = Image.fromarray(label).convert("P")
    image.putpalette(bytes.fromhex("".join(colour[1:] for colour in [*colours, *[_IGNORED] * unused])))
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


READING = """\
| file | holds |
| --- | --- |
| `SPLIT/image/ID.png` | the smear, RGB |
| `SPLIT/label/ID.png` | class ids, 8 bits |
| `SPLIT/colour/ID.png` | the same ids in the colours of the classes, as a palette |
| `SPLIT/instance/ID.png` | 16 bits: 0 is background, each other value one cell of `objects.csv` |
| `SPLIT/parasite/ID.png` | where the set knows it: 0 no parasite, 1 parasite, 255 unknown |
| `SPLIT/samples.csv` | ids and facts of each sample |
| `SPLIT/objects.csv` | every cell: position in px, angle in degrees, box and area of what shows of it |

```python
import csv
import numpy as np
from PIL import Image

with open("{split}/samples.csv", newline="") as file:
    sample = next(csv.DictReader(file))["sample_id"]
image, label = (np.asarray(Image.open(f"{split}/{{kind}}/{{sample}}.png")) for kind in ("image", "label"))
```"""
IMAGES_READING = """\
`SPLIT/NAME.png` is a smear, RGB; nothing here says what is in it. NAME is the head of the sample's digest: whoever has
the set finds its labels by it, and `segtrain score` takes predictions under these names."""
_SAMPLES = ("sample_id", "scene", "look", "background", "height", "width", "objects", "digest")


class PngSample(NamedTuple):
    """A sample's files by kind, its line of samples.csv and its lines of objects.csv."""

    files: dict[str, bytes]
    line: dict[str, Any]
    objects: list[dict[str, Any]]


def encode(sample: ExportedSample, dataset: ExportedSet) -> PngSample:
    row, header = sample.row, dataset.header
    files = {
        "image": rgb(sample.image),
        "label": ids(sample.label),
        "colour": coloured(sample.label, header.class_colours),
    }
    if sample.parasite is not None:
        files["parasite"] = ids(sample.parasite)
    objects: list[dict[str, Any]] = []
    if sample.instance is not None:
        files["instance"] = ids(sample.instance)
        objects = [{"sample_id": row.sample_id, **placed} for placed in object_rows(sample, header)]
    height, width = sample.label.shape
    line = {name: getattr(row, name) for name in ("sample_id", "scene", "look", "background", "digest")}
    return PngSample(files, {**line, "height": height, "width": width, "objects": len(objects)}, objects)


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[PngSample]) -> None:
    """A split in a folder of its own."""
    folder = out / split
    more = (["instance"] if dataset.has_objects else []) + (["parasite"] if dataset.header.has_parasites else [])
    for kind in ("image", "label", "colour", *more):
        (folder / kind).mkdir(parents=True)
    with ExitStack() as tables:
        samples = tables.enter_context(_table(folder / "samples.csv", _SAMPLES))
        if dataset.has_objects:
            names = ("sample_id", *object_columns(dataset.header))
            objects = tables.enter_context(_table(folder / "objects.csv", names))
        for files, line, rows in encoded:
            for kind, content in files.items():
                (folder / kind / f"{line['sample_id']}.png").write_bytes(content)
            samples.writerow(line)
            if dataset.has_objects:
                objects.writerows(rows)


def encode_image(sample: ExportedSample, _: ExportedSet) -> tuple[str, bytes]:
    """The smear alone, under a name that tells nothing: ids tell the number in the set, and that which combination."""
    return sample.row.digest[:SHORT_DIGEST], rgb(sample.image)


def write_images(out: Path, _: ExportedSet, split: str, encoded: Iterable[tuple[str, bytes]]) -> None:
    """The smears of a split."""
    (out / split).mkdir()
    for name, png in encoded:
        (out / split / f"{name}.png").write_bytes(png)


@contextmanager
def _table(path: Path, names: Sequence[str]) -> "Iterator[csv.DictWriter[str]]":
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        yield table
