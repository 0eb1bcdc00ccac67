"""A fault of a dataset: where it is, and what is wrong in a sentence.

What `index.json` states, held against its form before anything of it is believed.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smearsynth import taxonomy
from smearsynth.base import json_values
from smearsynth.base.errors import UserError, first_line, printable
from smearsynth.base.json_values import differences, shown
from smearsynth.dataset import layout
from smearsynth.dataset.index import MOST_BYTES, classes, seal
from smearsynth.recipe.model import Side, SplitName
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.format import FILE_NAME, FORMAT_VERSION, Header
from smearsynth.taxonomy import TAXONOMY_VERSION


@dataclass(frozen=True)
class Fault:
    """file: relative to the dataset. sample: its id, "" where the fault is about the file."""

    file: str
    what: str
    sample: str = ""

    def __str__(self) -> str:
        return printable(": ".join(part for part in (self.file, self.sample, self.what) if part))


Count = Annotated[int, Field(ge=0, lt=2**53)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Counts = dict[str, Count]
BySource = dict[str, Counts]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class File(_Part):
    """A file of the set; a shard has a split. Its name can not leave the folder."""

    name: Annotated[str, Field(pattern=f"^{FILE_NAME}$")]
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
    area: BySource = {}
    assembled: Counts = {}


class Stated(_Part):
    """The keys of an index that are checked; see `dataset.index`."""

    name: str
    about: dict[str, Any] | None = None
    publish: bool | None = None
    claim: dict[str, Any] | None = None
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
    if path.is_symlink():
        raise UserError(f"{path} is a link: put the file itself there.")
    if not path.is_file():
        raise UserError(f"{path} is missing: no dataset, or one that `smearsynth build --resume` must finish.")
    try:
        index, text = json_values.read_json(path, MOST_BYTES)
        told = _written_faults(path, index, text)
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


def _written_faults(path: Path, index: Any, text: str) -> list[str]:
    """Where the text is not what a build writes; UserError where a later version, or an import, has written it."""
    version = index["format_version"]
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{path}: format version {version} is newer than this smearsynth reads ({FORMAT_VERSION}): "
            "upgrade smearsynth."
        )
    if "imported" in index:
        raise UserError(
            f"{path}: segtrain imported this set from images and masks, so it has no recipe and no cells to hold it "
            "against; its splits.csv and samples.csv say where each sample comes from."
        )
    if seal(index) != index.get("seal"):
        return ["its `seal` is not that of its content: a byte of it was changed"]
    if not layout.is_json_text(index, text):
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
