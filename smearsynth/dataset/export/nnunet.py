"""nnU-Net's raw layout: cases of training and test, their labels, and `dataset.json`.

A colour image is one file, ID_0000.png, of which nnU-Net makes three channels by itself: the exception of its
`dataset_format.md` for natural images. Training and validation are both imagesTr, and `splits_final.json` keeps them
apart where it is put beside the preprocessed cases. Labels of 255, which nobody knows, get the highest number, as its
`ignore_label.md` asks.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smearsynth.dataset.export import png_folder
from smearsynth.dataset.export.export_folder import licences
from smearsynth.dataset.export.exported_set import ExportedSample, ExportedSet
from smearsynth.taxonomy import IGNORE

READING = """\
| file | holds |
| --- | --- |
| `dataset.json` | channels, labels, number of cases |
| `imagesTr/ID_0000.png`, `labelsTr/ID.png` | the smears of train and val, RGB, and their class ids |
| `imagesTs/ID_0000.png`, `labelsTs/ID.png` | the same of test |
| `splits_final.json` | which of them are val: copy it to `nnUNet_preprocessed/DatasetNNN_NAME/`, and train fold 0 |

nnU-Net takes a folder `nnUNet_raw/DatasetNNN_NAME`, NNN a number of its own.

```python
import json
import numpy as np
from PIL import Image

known = json.load(open("dataset.json"))
case = json.load(open("splits_final.json"))[0]["train"][0]
image = np.asarray(Image.open("imagesTr/" + case + "_0000.png"))
label = np.asarray(Image.open("labelsTr/" + case + ".png"))
```"""
_SPLITS = "splits_final.json"


class NnunetSample(NamedTuple):
    """The files of a sample. unknown: whether some pixel's class is."""

    name: str
    image: bytes
    label: bytes
    unknown: bool


def encode(sample: ExportedSample, dataset: ExportedSet) -> NnunetSample:
    unknown = sample.label == IGNORE
    label = np.where(unknown, np.uint8(len(dataset.header.class_ids)), sample.label)
    return NnunetSample(sample.row.sample_id, png_folder.rgb(sample.image), png_folder.ids(label), bool(unknown.any()))


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[NnunetSample]) -> None:
    """The files of a split; `dataset.json` and the splits of all so far."""
    part = "Ts" if split == "test" else "Tr"
    images, labels = out / f"images{part}", out / f"labels{part}"
    images.mkdir(exist_ok=True)
    labels.mkdir(exist_ok=True)
    names, unknown = [], False
    for sample in encoded:
        (images / f"{sample.name}_0000.png").write_bytes(sample.image)
        (labels / f"{sample.name}.png").write_bytes(sample.label)
        names.append(sample.name)
        unknown |= sample.unknown
    splits = _read(out / _SPLITS)[0] if (out / _SPLITS).exists() else {"train": [], "val": []}
    if part == "Tr":
        splits[split] = names
    _write(out / _SPLITS, [splits])
    header = dataset.header
    before = _read(out / "dataset.json") if (out / "dataset.json").exists() else {"labels": {}}
    keys = ["background", *header.class_keys[1:], *(["ignore"] if unknown or "ignore" in before["labels"] else [])]
    facts = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {key: number for number, key in enumerate(keys)},
        "numTraining": sum(map(len, splits.values())),
        "file_ending": ".png",
        "name": dataset.name,
        "description": f"synthetic blood smears, exported by smearsynth; digest {dataset.digest}",
        "licence": "; ".join(licences(dataset)),
    }
    _write(out / "dataset.json", facts)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, values: Any) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
