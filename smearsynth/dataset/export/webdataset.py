"""WebDataset: tar files that a training reads from front to back, from a disk, a web server or a bucket.

They hold nothing of this machine or moment, so equal samples give equal bytes.
"""

import json
import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from smearsynth.dataset.export import png_folder
from smearsynth.dataset.export.exported_set import ExportedSample, ExportedSet, object_rows

READING = """\
`SPLIT-000000.tar`, `SPLIT-000001.tar` and so on hold, of each sample:

| file | holds |
| --- | --- |
| `ID.png` | the smear, RGB |
| `ID.label.png` | class ids, 8 bits |
| `ID.instance.png` | 16 bits: 0 is background, each other value the `instance` of one cell of the JSON |
| `ID.parasite.png` | where the set knows it: 0 no parasite, 1 parasite, 255 unknown |
| `ID.json` | facts of the sample; its cells: position in px, angle in degrees, box and area of what shows |

```python
from glob import glob
from io import BytesIO
import numpy as np
import webdataset
from PIL import Image

def pixels(kind, content):
    return np.asarray(Image.open(BytesIO(content))) if kind.endswith(".png") else None

smears = webdataset.WebDataset(sorted(glob("{split}-*.tar")), shardshuffle=False).decode(pixels)
sample = next(iter(smears))
image, label = sample["png"], sample["label.png"]
```

Labels and instances are numbers: do not `decode("pil")`, which makes 8-bit RGB of every picture."""
_MOST_BYTES = 256 * 2**20
"""Of pictures and JSON per tar file: 3,000 smears of 224 x 224 px."""

TarSample = dict[str, bytes]
"""The files of a sample by their names."""


def encode(sample: ExportedSample, dataset: ExportedSet) -> TarSample:
    row, header = sample.row, dataset.header
    facts = {name: getattr(row, name) for name in ("sample_id", "scene", "look", "background", "digest")}
    facts["um_per_px"] = header.um_per_px
    files = {"png": png_folder.rgb(sample.image), "label.png": png_folder.ids(sample.label)}
    if sample.instance is not None:
        files["instance.png"] = png_folder.ids(sample.instance)
        facts["objects"] = object_rows(sample, header)
    if sample.parasite is not None:
        files["parasite.png"] = png_folder.ids(sample.parasite)
    files["json"] = json.dumps(facts).encode()
    return {f"{row.sample_id}.{kind}": content for kind, content in files.items()}


def write_split(out: Path, dataset: ExportedSet, split: str, encoded: Iterable[TarSample]) -> None:  # noqa: ARG001
    """The tar files of a split."""
    for number, samples in groupby(_numbered(encoded), itemgetter(0)):
        with tarfile.open(out / f"{split}-{number:06d}.tar", "x", format=tarfile.USTAR_FORMAT) as tar:
            for _, files in samples:
                for name, content in files.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, BytesIO(content))


def _numbered(encoded: Iterable[TarSample]) -> Iterator[tuple[int, TarSample]]:
    """Each sample with the number of the tar file that it goes to."""
    number = held = 0
    for files in encoded:
        size = sum(map(len, files.values()))
        if held and held + size > _MOST_BYTES:
            number, held = number + 1, 0
        held += size
        yield number, files
