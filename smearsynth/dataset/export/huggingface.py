"""The layout of the Hugging Face hub, which its library `datasets` loads without a script.

Images of the classes and of the cells are columns beside the smear: of a `metadata.jsonl` it takes every field that
ends in `_file_name` for a picture. Such folders of small files are what the hub shows in its viewer; for sets of more
than some ten thousand smears it advises tar files, which `webdataset` writes.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from smearsynth.dataset.export import png_folder
from smearsynth.dataset.export.exported_set import ExportedSample, ExportedSet, object_rows

READING = """\
| file | holds |
| --- | --- |
| `data/SPLIT/image/ID.png` | the smear, RGB |
| `data/SPLIT/label/ID.png` | class ids, 8 bits |
| `data/SPLIT/instance/ID.png` | 16 bits: 0 is background, each other value one cell |
| `data/SPLIT/metadata.jsonl` | a line for each smear: its files, its id, and its cells |

```python
from datasets import load_dataset

smear = load_dataset("FOLDER OR NAME ON THE HUB", split="train")[0]
smear["image"], smear["label"], smear["instance"], smear["objects"]
```"""
_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_COLUMNS = ("instance", "class", "x", "y", "w", "h", "visible")
_LICENCES = {"CC-BY-4.0": "cc-by-4.0", "MIT": "mit"}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


class HubSample(NamedTuple):
    """A sample's files by column, and its line of metadata."""

    files: dict[str, bytes]
    line: dict[str, Any]


def encode(sample: ExportedSample, dataset: ExportedSet) -> HubSample:
    files = {"image": png_folder.rgb(sample.image), "label": png_folder.ids(sample.label)}
    line: dict[str, Any] = {"sample_id": sample.row.sample_id}
    if sample.instance is not None:
        files["instance"] = png_folder.ids(sample.instance)
        line["objects"] = [
            {name: row[name] for name in _COLUMNS if name in row} for row in object_rows(sample, dataset.header)
        ]
    return HubSample(files, line)


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[HubSample]) -> None:
    """The files of a split, and a line of metadata for each smear."""
    folder = out / "data" / _SPLITS[split]
    for name in ("image", "label", *(["instance"] if dataset.has_objects else [])):
        (folder / name).mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as metadata:
        for files, line in encoded:
            names = {name: f"{name}/{line['sample_id']}.png" for name in files}
            for name, content in files.items():
                (folder / names[name]).write_bytes(content)
            columns = {"file_name" if name == "image" else f"{name}_file_name": file for name, file in names.items()}
            metadata.write(json.dumps(columns | line) + "\n")


def front_matter(dataset: ExportedSet, splits: dict[str, int]) -> str:
    """What the hub reads at the head of a README: title, licence, where each split is. JSON is YAML."""
    total = sum(splits.values())
    licences = {str(source.get("licence")) for source in dataset.sources}
    known = _LICENCES.get(licences.pop()) if len(licences) == 1 else None
    facts = {
        "pretty_name": dataset.name,
        "license": known or "other",
        "task_categories": ["image-segmentation"],
        "tags": ["blood-smear", "microscopy", "malaria", "synthetic"],
        "size_categories": [next((name for most, name in _SIZES if total < most), "n>1M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": _SPLITS[s], "path": f"data/{_SPLITS[s]}/**"} for s in splits],
            }
        ],
    }
    return "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in facts.items()) + "---\n\n"
