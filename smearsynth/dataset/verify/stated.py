"""What `index.json` states, held against its form before anything of it is believed."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smearsynth import taxonomy
from smearsynth.dataset import layout
from smearsynth.dataset.differences import differences, shown
from smearsynth.dataset.index import classes, seal
from smearsynth.dataset.verify.fault import Fault, first_line
from smearsynth.errors import UserError
from smearsynth.recipe.model import Side, SplitName
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.format import FORMAT_VERSION, Header
from smearsynth.taxonomy import TAXONOMY_VERSION

_MOST_BYTES = 256_000_000
"""An index has some hundred bytes per shard; what is larger is another kind of file."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Counts = dict[str, Count]
BySource = dict[str, Counts]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class File(_Part):
    """A file of the set; a shard has a split. Its name can not leave the folder."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")]
    size: Count
    sha256: Hash
    split: SplitName | None = None
    first_scene: Count = 0
    scenes: Count = 0
    samples: Count = 0


class Split(_Part):
    """One of `splits`; see `dataset.index`."""

    scenes: Count
    samples: Count
    shards: Count
    dropped: Count
    pixels: Counts
    objects: Counts
    combinations: Counts
    class_by_source: BySource
    cells: BySource


class Stated(_Part):
    """The keys of an index that are checked; see `dataset.index`."""

    name: str
    digest: Hash
    recipe_hash: Hash
    bank_digest: Hash
    format_version: int
    generator_version: int
    size: tuple[Side, Side]
    um_per_px: float
    samples: Count
    scenes: Count
    looks: Annotated[tuple[str, ...], Field(min_length=1, max_length=255)]
    fields: tuple[str, ...]
    classes: tuple[dict[str, Any], ...]
    splits: Annotated[dict[SplitName, Split], Field(min_length=len(taxonomy.SPLITS))]
    sources: tuple[dict[str, Any], ...]
    files: tuple[File, ...]
    seal: Hash

    @property
    def shards(self) -> list[File]:
        """In dataset order: splits as in SPLITS, and within one as they are listed."""
        return [file for split in taxonomy.SPLITS for file in self.files if file.split == split]

    def header(self, split: str) -> Header:
        """The attributes that a shard of the split must have."""
        return Header(
            split=split,
            looks=self.looks,
            recipe_hash=self.recipe_hash,
            bank_digest=self.bank_digest,
            fields=OBJECT_FIELDS,
            generator_version=self.generator_version,
        )


def read_stated(out: Path) -> tuple[Stated | None, list[Fault]]:
    """The index of a set and its faults; None where nothing can be held against it.

    Raises UserError where there is no index, or one of a newer format.
    """
    path = out / layout.INDEX
    if not path.is_file():
        raise UserError(f"{path} is missing: no dataset, or one that `smearsynth build --resume` must finish.")
    try:
        text = _text(path)
        told = _written_faults(text)
        stated = Stated.model_validate_json(text)
    except UserError:
        raise
    except ValidationError as error:
        return None, [Fault(layout.INDEX, what) for what in (*told, *map(_sentence, error.errors()))]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        return None, [Fault(layout.INDEX, f"cannot be read as an index ({first_line(error)})")]
    return stated, [Fault(layout.INDEX, what) for what in (*told, *_own_faults(stated))]


def stated_of(out: Path) -> Stated:
    """The index of a set that is to be read; UserError where there is none, or none that can be read."""
    stated, faults = read_stated(out)
    if stated is None:
        raise UserError("\n".join(f"{out}/{fault}" for fault in faults))
    return stated


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    return path.read_text(encoding="utf-8")


def _written_faults(text: str) -> list[str]:
    """Where the text is not what a build writes; UserError where a later version, or an import, has written it."""
    index = json.loads(text)
    version = index["format_version"]
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{layout.INDEX}: format version {version} is newer than this smearsynth reads ({FORMAT_VERSION}): "
            "upgrade smearsynth."
        )
    if "imported" in index:
        raise UserError(
            f"{layout.INDEX}: segtrain imported this set from images and masks, so it has no recipe and no cells to "
            "hold it against; its splits.csv and samples.csv say where each sample comes from."
        )
    if seal(index) != index.get("seal"):
        return ["its `seal` is not that of its content: a byte of it was changed"]
    if layout.json_text(index) != text:
        return ["is not laid out as a build writes it: a byte between its values was changed"]
    return []


def _sentence(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    return f"{place.removeprefix('.')}: {error['msg']}"


def _own_faults(stated: Stated) -> Iterator[str]:
    """Where the index contradicts the format, the taxonomy or itself."""
    known = {
        "format_version": FORMAT_VERSION,
        "um_per_px": taxonomy.UM_PER_PX,
        "fields": list(OBJECT_FIELDS),
        "classes": classes(),
    }
    for path, there, due in differences(stated.model_dump(mode="json", include=set(known)), known):
        yield f"{path} is {shown(there)}, and {shown(due)} in format {FORMAT_VERSION} and taxonomy {TAXONOMY_VERSION}"
    shards = stated.shards
    yield from _not(stated.samples, sum(f.samples for f in shards), "samples")
    yield from _not(stated.scenes, sum(f.scenes for f in shards), "scenes")
    for name, times in Counter(file.name for file in stated.files).items():
        if times > 1:
            yield f"files: {name} stands there {times} times"
    if layout.RECIPE not in (file.name for file in stated.files):
        yield f"files: {layout.RECIPE} is not among them"
    yield from _order_faults(stated)


def _not(there: int, due: int, name: str) -> Iterator[str]:
    if there != due:
        yield f"{name} is {there}, and its shards have {due}"


def _order_faults(stated: Stated) -> Iterator[str]:
    """Shards are numbered within their split, and each goes on where the one before it ends."""
    for split in taxonomy.SPLITS:
        due = 0
        for ordinal, file in enumerate(f for f in stated.shards if f.split == split):
            if file.name != layout.shard_name(split, ordinal):
                yield f"files: {file.name} stands where {layout.shard_name(split, ordinal)} belongs"
            if file.first_scene != due:
                yield f"files: {file.name}: first_scene is {file.first_scene}, and {due} scenes are before it"
            if file.scenes < 1 or file.samples != file.scenes * len(stated.looks):
                yield f"files: {file.name}: {file.samples} samples of {file.scenes} scenes in {len(stated.looks)} looks"
            due += file.scenes
