"""The set that is exported: what its index and the heads of its shards say. An imported one says less than a built
one.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from smearsynth import strict_json
from smearsynth.dataset import layout
from smearsynth.dataset.classes import classes_of
from smearsynth.dataset.index import MOST_BYTES
from smearsynth.dataset.verify.stated import File, Hash
from smearsynth.errors import UserError, first_line
from smearsynth.shards.format import Header
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import SPLITS


@dataclass(frozen=True, kw_only=True)
class Source:
    """header: of every shard, its split "". shards: those that hold samples, in dataset order. sources: what the index
    tells of each. whole: every shard has `instance` and `objects`. publish: whether the recipe says that the set may be
    handed on.
    """

    folder: Path
    name: str
    digest: str
    header: Header
    shards: tuple[File, ...]
    sources: tuple[dict[str, Any], ...]
    whole: bool
    publish: bool

    def path(self, shard: File) -> Path:
        return self.folder / shard.name


class _Index(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    name: str = ""
    digest: Hash
    files: tuple[File, ...]
    sources: tuple[dict[str, Any], ...] = ()
    publish: bool = False


def open_source(folder: Path) -> Source:
    """UserError where there is no set, or none whose shards are of one taxonomy and one list of looks."""
    index = _read_index(folder / layout.INDEX)
    shards = tuple(file for split in SPLITS for file in index.files if file.split == split and file.samples)
    if not shards:
        raise UserError(f"{folder / layout.INDEX} names no shard with samples: build or import the set again.")
    readers = [ShardReader(folder / shard.name) for shard in shards]
    header = replace(readers[0].header, split="")
    classes_of(readers[0].path, header)
    whole = all({"instance", "objects"} <= reader.names for reader in readers)
    if whole and "class" not in header.fields:
        raise UserError(f"{readers[0].path}: the columns of `objects` are {header.fields}, and none is class.")
    for reader in readers:
        if replace(reader.header, split="") != header:
            raise UserError(f"{reader.path} has other classes, looks or fields than {shards[0].name}.")
    return Source(
        folder=folder,
        name=index.name or folder.resolve().name,
        digest=index.digest,
        header=header,
        shards=shards,
        sources=index.sources,
        whole=whole,
        publish=index.publish,
    )


def _read_index(path: Path) -> _Index:
    try:
        return _Index.model_validate_json(strict_json.read(path, MOST_BYTES)[1])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: no dataset, or one that `build --resume` must finish.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its text"
        raise UserError(f"{path}: {place}: {first['msg']}; build or import the set again.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({first_line(error)}): build or import the set again.") from None
