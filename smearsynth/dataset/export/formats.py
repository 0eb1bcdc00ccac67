"""The formats by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from smearsynth.dataset.export import coco, png, webdataset
from smearsynth.dataset.export.samples import Sample
from smearsynth.dataset.export.source import Source


class Format(NamedTuple):
    """encode: all that can be done with one sample, in any thread. write_split: the samples of a split, as `encode`
    gives them, in the order of the set. reading: what is written and how it is read, for its README. objects: whether
    it has no meaning without them."""

    encode: Callable[[Sample, Source], Any]
    write_split: Callable[[Path, Source, str, Iterable[Any]], None]
    reading: str
    objects: bool = False


FORMATS = {
    "png": Format(png.encode, png.write_split, png.READING),
    "coco": Format(coco.encode, coco.write_split, coco.READING, objects=True),
    "webdataset": Format(webdataset.encode, webdataset.write_split, webdataset.READING),
}
