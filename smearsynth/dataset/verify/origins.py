"""`sources.lock` against what the index tells of each source, and against the files that cells were cut from."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout
from smearsynth.dataset.provenance import foreign_files
from smearsynth.dataset.verify.fault import Fault
from smearsynth.dataset.verify.stated import Stated
from smearsynth.errors import UserError
from smearsynth.sources.lock import lines_of, read_lock


def origin_faults(out: Path, stated: Stated, bank: Bank | None) -> Iterator[Fault]:
    """Where the lock, if the set has one, is not that of its index or of its bank."""
    if not layout.is_own_file(out, layout.LOCK):
        return
    try:
        lock = read_lock(out / layout.LOCK)
    except UserError as error:
        yield Fault(layout.LOCK, str(error).removeprefix(f"{out / layout.LOCK}"))
        return
    for source in stated.sources:
        lines = lines_of(str(source.get("name")), lock.get(str(source.get("name")), {}))
        if source.get("sha256") not in (None, hashlib.sha256(lines.encode()).hexdigest()):
            yield Fault(layout.LOCK, f"its lines of {source.get('name')} are not those that {layout.INDEX} tells of")
    foreign = foreign_files(bank, lock) if bank else []
    if foreign:
        what = f"does not hold as they were {len(foreign)} files that cells were cut from, such as {foreign[0]}"
        yield Fault(layout.LOCK, what)
