"""The schema of `index.json`, against which an index is checked before anything in it is used.

A set may be damaged, or made by somebody else. `check_index` holds every key to its type and range, the index to its
seal, and its figures to one another, and names all errors at once. What the shards hold is checked by
`dataset.verify`; here no other file is opened.
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
from smearsynth.shards.format import FILE_NAME, FORMAT_VERSION, WITH_PARASITES, Header
from smearsynth.taxonomy import TAXONOMY_VERSION


@dataclass(frozen=True)
class DatasetError:
    """Something wrong with a dataset, to be reported, not raised.

    file: name relative to the dataset. what: the error, in words. sample: its id, "" where it is about the file.
    """

    file: str
    what: str
    sample: str = ""

    def __str__(self) -> str:
        return printable(": ".join(part for part in (self.file, self.sample, self.what) if part))


Count = Annotated[int, Field(ge=0, lt=2**53)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Counts = dict[str, Count]
NestedCounts = dict[str, Counts]


class IndexPart(BaseModel):
    """Keys of an index. No value is converted, and keys that are not named are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)


class IndexFile(IndexPart):
    """A file of the set. Only a shard has a split. No name leads out of the folder."""

    name: Annotated[str, Field(pattern=f"^{FILE_NAME}$")]
    size: Count
    sha256: Hash
    split: SplitName | None = None
    first_scene: Count = 0
    scenes: Count = 0
    samples: Count = 0


class IndexSplit(IndexPart):
    """One of `splits`; see `dataset.index`."""

    scenes: Count
    samples: Count
    shards: Count
    dropped: Count
    pixels: Counts
    objects: Counts
    combinations: Counts
    class_by_source: NestedCounts
    cells: NestedCounts
    area: NestedCounts = {}
    assembled: Counts = {}


class IndexSource(IndexPart):
    """What is used of one of `sources`; of a set that was built from a ready bank only the name is known."""

    name: str
    refused: NestedCounts = {}
    files_left_out: Counts = {}


class IndexSchema(IndexPart):
    """The index of a built set; see `dataset.index` for what the keys mean."""

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
    splits: Annotated[dict[SplitName, IndexSplit], Field(min_length=len(taxonomy.SPLITS))]
    sources: tuple[dict[str, Any], ...]
    files: tuple[IndexFile, ...]
    seal: Hash

    @property
    def shards(self) -> list[IndexFile]:
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
            format_version=self.format_version,
        )


def load_index(out: Path) -> IndexSchema:
    """The index of the built set `out`, to be read from. Raises UserError where it is missing or breaks the schema."""
    index, errors = check_index(out)
    if index is None:
        raise UserError("\n".join(f"{out}/{error}" for error in errors))
    return index


def check_index(out: Path) -> tuple[IndexSchema | None, list[DatasetError]]:
    """The index of the set `out` and all its errors; None where it breaks the schema.

    Raises UserError where there is no index, one of a newer format, or one of an imported set.
    """
    path = out / layout.INDEX
    if path.is_symlink():
        raise UserError(f"{path} is a link: put the file itself there.")
    if not path.is_file():
        raise UserError(f"{path} is missing: no dataset, or one that `smearsynth build --resume` must finish.")
    errors = []
    try:
        plain, text = json_values.read_json(path, MOST_BYTES)
        _refuse_foreign(path, plain)
        if seal(plain) != plain.get("seal"):
            errors = ["its `seal` is not that of its content: a byte of it was changed"]
        index = IndexSchema.model_validate_json(text)
    except UserError:
        raise
    except ValidationError as error:
        return None, [DatasetError(layout.INDEX, what) for what in (*errors, *map(_sentence, error.errors()))]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        return None, [DatasetError(layout.INDEX, f"cannot be read as an index ({first_line(error)})")]
    return index, [DatasetError(layout.INDEX, what) for what in (*errors, *_contradictions(index))]


def _refuse_foreign(path: Path, index: dict[str, Any]) -> None:
    """Raises UserError where a later version or an import has written the index."""
    version = index["format_version"]
    if isinstance(version, int) and version > WITH_PARASITES:
        raise UserError(
            f"{path}: format version {version} is newer than this smearsynth reads ({WITH_PARASITES}): "
            "upgrade smearsynth."
        )
    if "imported" in index:
        raise UserError(
            f"{path}: segtrain imported this set from images and masks, so it has no recipe and no cells to compare it "
            "with; its splits.csv and samples.csv say where each sample comes from."
        )


def _sentence(error: Any) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    return f"{place.removeprefix('.')}: {error['msg']}"


def _contradictions(index: IndexSchema) -> Iterator[str]:
    """Where the index contradicts the format, the taxonomy or itself."""
    version = WITH_PARASITES if index.format_version == WITH_PARASITES else FORMAT_VERSION
    known = {
        "format_version": version,
        "um_per_px": taxonomy.UM_PER_PX,
        "fields": list(OBJECT_FIELDS),
        "classes": classes(),
    }
    for path, there, due in differences(index.model_dump(mode="json", include=set(known)), known):
        yield f"{path} is {shown(there)}, and {shown(due)} in format {version} and taxonomy {TAXONOMY_VERSION}"
    for name, sum_of_shards in (
        ("samples", sum(file.samples for file in index.shards)),
        ("scenes", sum(file.scenes for file in index.shards)),
    ):
        if getattr(index, name) != sum_of_shards:
            yield f"{name} is {getattr(index, name)}, and its shards have {sum_of_shards}"
    times = Counter(file.name for file in index.files)
    yield from (f"files: {name} is listed {n} times" for name, n in times.items() if n > 1)
    if layout.RECIPE not in times:
        yield f"files: {layout.RECIPE} is not among them"
    for split in taxonomy.SPLITS:
        yield from _shard_contradictions(index, split)


def _shard_contradictions(index: IndexSchema, split: str) -> Iterator[str]:
    """Shards are numbered within their split, and each begins where the one before it ends."""
    first_scene = 0
    for ordinal, file in enumerate(f for f in index.shards if f.split == split):
        if file.name != layout.shard_name(split, ordinal):
            yield f"files: {file.name} is listed where {layout.shard_name(split, ordinal)} belongs"
        if file.first_scene != first_scene:
            yield f"files: {file.name}: first_scene is {file.first_scene}, and {first_scene} scenes are before it"
        if file.scenes < 1 or file.samples != file.scenes * len(index.looks):
            yield f"files: {file.name}: {file.samples} samples of {file.scenes} scenes in {len(index.looks)} looks"
        first_scene += file.scenes
