"""Files with random damage, whatever reads them: a result, or a sentence that names the file; nothing else, and soon.

What it found first are the tests of their own in the other files of this name.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_set import write_set
from synthetic_bank import synthetic_bank

from segtrain.data.samples import Shards
from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError
from smearsynth.dataset.index_schema import check_index
from smearsynth.recipe.reading import load_recipe
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.shards.reader import ShardReader
from smearsynth.sources.listing import list_entries, read_lock

ROOT = Path(__file__).parents[1]
TOKENS = (
    b"../",
    b"\0",
    b"NaN",
    b"1e999",
    b"[" * 200,
    b"{",
    b'"',
    b"-1",
    b"9" * 400,
    b"\xff",
    b"*a",
    b"&a ",
    b"!!python/name:os ",
)
EDIT = st.tuples(
    st.sampled_from(("set", "cut", "put", "end")),
    st.floats(0, 1),
    st.one_of(st.binary(max_size=8), st.sampled_from(TOKENS)),
)


def damaged(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, share, new in edits:
        at = int(share * len(data))
        if kind == "end":
            data = data[:at] if new else data
        else:
            data = data[:at] + (new if kind != "cut" else b"") + data[at + (0 if kind == "put" else len(new)) :]
    return data


def read_shard(path: Path) -> None:
    reader = ShardReader(path)
    for row in range(len(reader)):
        for name in sorted(reader.names & {"image", "label", "instance", "objects"}):
            reader.read(name, row)
    for name in sorted(reader.names & {"sample_id", "digest", "look", "foreground"}):
        reader.column(name)


def read_set(path: Path) -> None:
    shards = Shards(path.parent, "train")
    assert shards.size == (24, 24)
    shards.read(len(shards) - 1)


def read_table(path: Path) -> None:
    list_entries(SourceSpec.model_validate({"kind": "mamic", "root": path.parent}))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "recipe": ("recipe.yaml", lambda path: load_recipe(path, roots=False)),
    "shard": ("train-00000.h5", read_shard),
    "bank": ("cells.h5", bank_file.load_bank),
    "index": ("index.json", lambda path: check_index(path.parent)),
    "index for training": ("index.json", read_set),
    "table": ("boxes.csv", read_table),
    "lock": ("sources.lock", read_lock),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of every kind, and the images that the table names."""
    path = tmp_path_factory.mktemp("fuzz")
    write_set(path, train=2)
    bank_file.save_bank(synthetic_bank(per_class=1), path / "cells.h5")
    (path / "recipe.yaml").write_bytes((ROOT / "recipes/quickstart.yaml").read_bytes())
    lines, fields = ["file,class,x,y,width,height"], sorted((ROOT / "sample_sources/mamic").rglob("*.png"))[:3]
    for number, field in enumerate(fields):
        (path / f"{number}.png").write_bytes(field.read_bytes())
        lines.append(f"{number}.png,platelet,1,2,5,6")
    (path / "boxes.csv").write_text("\n".join(lines))
    digest = hashlib.sha256((path / "0.png").read_bytes()).hexdigest()
    (path / "sources.lock").write_text(f"{digest}  mamic/0.png\n")
    return path


def check(folder: Path, kind: str, whole: bytes, edits: list[tuple[str, float, bytes]]) -> None:
    name, read = READERS[kind]
    (folder / name).write_bytes(damaged(whole, edits))
    before, started = set(folder.iterdir()), time.process_time()
    try:
        read(folder / name)
    except UserError as error:
        told = str(error)
        assert name in told or str(folder) in told
        assert told.replace("\n", "").isprintable()
    assert time.process_time() - started < 20
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("examples", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_a_damaged_file_gives_a_result_or_a_sentence(folder: Path, kind: str, examples: int) -> None:
    whole = (folder / READERS[kind][0]).read_bytes()
    READERS[kind][1](folder / READERS[kind][0])
    slow = examples > 40

    @settings(
        max_examples=examples,
        derandomize=not slow,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(edits=st.lists(EDIT, min_size=1, max_size=6))
    def attack(edits: list[tuple[str, float, bytes]]) -> None:
        check(folder, kind, whole, edits)

    try:
        attack()
    finally:
        (folder / READERS[kind][0]).write_bytes(whole)
