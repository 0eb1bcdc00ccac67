"""Which images are for training, which for validation and which for testing. No group stands in two splits.

A group is what a split must not divide: the images of one patient, or copies of one image. Groups and splits may
stand in a CSV file, written by hand or taken from another dataset's `splits.csv`.
"""

import csv
import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smearsynth.base.errors import UserError
from smearsynth.base.linked_groups import merge_groups
from smearsynth.base.tables import decoded, split_rows
from smearsynth.taxonomy import SPLITS

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
FOLDERS = "folders"
SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The names that a split may have in folders and tables."""
_NAMES = ("image", "file", "filename", "name")
"""Columns in which tables name images."""


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """How images are split: by `shares`, by a `table`, or, with neither, by the folders they lie in."""

    shares: Mapping[str, float] | None = None
    table: Path | None = None

    def __str__(self) -> str:
        if self.shares:
            return ",".join(f"{split}={share:g}" for split, share in self.shares.items())
        return self.table.name if self.table else FOLDERS


def read_rule(asked: str | None, names: Sequence[str]) -> SplitRule:
    """asked: "train=.8,val=.1,test=.1", in any proportion; a CSV file `image,split`; "folders"; None: the folders
    train, val and test where all images lie in such, else 80/10/10. names: paths below the folder of images. Raises
    UserError."""
    if asked is None:
        in_folders = all(name.split("/")[0].lower() in SPLIT_OF for name in names)
        return SplitRule() if in_folders else SplitRule(shares=SHARES)
    if asked == FOLDERS:
        return SplitRule()
    if asked.lower().endswith(".csv"):
        return SplitRule(table=Path(asked))
    try:
        parts = [part.partition("=") for part in asked.split(",")]
        shares = {name.strip(): float(share) for name, _, share in parts}
        sound = len(shares) == len(parts) and shares.keys() <= set(SPLITS)
        if not sound or not any(shares.values()) or not all(0 <= share < math.inf for share in shares.values()):
            raise ValueError
    except ValueError:
        raise UserError(
            f"{asked!r} is no division: give shares, as train=.8,val=.1,test=.1, a CSV `image,split`, or {FOLDERS}",
            "split",
        ) from None
    return SplitRule(shares={split: shares[split] for split in SPLITS if shares.get(split)})


def split_as_stated(rule: SplitRule, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The split of each image by the rule's table or by folders, and a sentence for each that has none."""
    if rule.table is not None:
        stated, errors = look_up(read_table(rule.table, "split"), names, rule.table, "split")
        where = f"{rule.table}: the split of"
    else:
        stated, where = [name.split("/")[0] if "/" in name else "" for name in names], "the folder of"
        errors = [
            f"{name}: lies in none of the folders {', '.join(SPLITS)}; move it there, or divide by shares."
            for name, split in zip(names, stated, strict=True)
            if not split
        ]
    found = [SPLIT_OF.get(split.lower(), "") for split in stated]
    errors += [
        f"{where} {name} is {split}; it must be {', '.join(SPLITS[:-1])} or {SPLITS[-1]}."
        for name, split, known in zip(names, stated, found, strict=True)
        if split and not known
    ]
    return found, errors


def divided_groups(groups: Sequence[str], splits: Sequence[str]) -> list[str]:
    """A sentence for each group that stands in several splits."""
    of: dict[str, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        of.setdefault(group, set()).add(split)
    return [
        f"{group}: stands in {' and '.join(s for s in SPLITS if s in found)}; a group belongs into one split."
        for group, found in of.items()
        if len(found - {""}) > 1
    ]


def split_by_shares(groups: Sequence[str], shares: Mapping[str, float], *, seed: int) -> list[str]:
    """The split of each image; independent of their order.

    The largest groups go first, equal ones in an order drawn by `seed`; each goes where most images are missing still,
    after every split has got one of the smallest. Raises UserError where there are fewer groups than splits.
    """
    size = Counter(groups)
    if len(size) < len(shares):
        raise UserError(
            f"{len(size)} groups cannot fill {len(shares)} splits without being divided: add images, or give "
            "fewer splits, as train=1",
            "split",
        )
    drawn = {group: hashlib.sha256(f"{seed}\x1f{group}".encode()).hexdigest() for group in size}
    order = sorted(size, key=lambda group: (-size[group], drawn[group], group))
    missing = {split: share / sum(shares.values()) * len(groups) for split, share in shares.items()}
    rank = {split: i for i, split in enumerate(shares)}
    found: dict[str, str] = {}
    for split in sorted(missing, key=lambda split: (missing[split], rank[split])):
        found[order[-1]] = split
        missing[split] -= size[order.pop()]
    for group in order:
        split = max(missing, key=lambda split: (missing[split], -rank[split]))
        found[group] = split
        missing[split] -= size[group]
    return [found[group] for group in groups]


def read_groups(asked: str | None, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The group of each image, and a sentence for each that has none.

    names: paths of the images below their folder. asked: a CSV file `image,group`; or a regular expression that is
    searched in these paths, of which the brackets, else the whole match, are the group; None: each image is its own.
    Raises UserError.
    """
    if asked is None:
        return list(names), []
    if asked.lower().endswith(".csv"):
        return look_up(read_table(Path(asked), "group"), names, Path(asked), "group")
    try:
        pattern = re.compile(asked)
    except re.error as error:
        raise UserError(
            f"{asked} is no regular expression ({error}): put it in quotes, or name a CSV", "group"
        ) from None
    found = [pattern.search(name) for name in names]
    groups = ["/".join(part or "" for part in match.groups()) or match[0] if match else "" for match in found]
    errors = [
        f"{name}: the group {asked} finds nothing in this name; change the expression, or the name."
        for name, group in zip(names, groups, strict=True)
        if not group
    ]
    return groups, errors


def with_copies(groups: Sequence[str], digests: Sequence[str]) -> list[str]:
    """The groups, those made one that share an image; it has the first of their names."""
    first: dict[str, int] = {}
    return list(merge_groups(groups, [(first.setdefault(digest, row), row) for row, digest in enumerate(digests)]))


def read_table(path: Path, column: str) -> dict[str, str]:
    """Image to what stands in `column`. A file has a header with `image` (or file, filename, name) and `column`, or
    just two columns. Raises UserError with its line."""
    try:
        rows = split_rows(decoded(path.read_bytes()))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: cannot be read as a CSV file; give lines `image,{column}`.") from None
    head = [cell.lower() for cell in rows[0][1]] if rows else []
    name = next((known for known in _NAMES if known in head), None)
    has_head = name is not None and column in head
    i, j = (head.index(str(name)), head.index(column)) if has_head else (0, 1)
    found: dict[str, str] = {}
    for number, row in rows[has_head:]:
        if not any(row):
            continue
        if len(row) <= max(i, j) or (not has_head and len(row) != 2) or not row[i] or not row[j]:
            raise UserError(f"{path}, line {number}: give `image,{column}`, not `{','.join(row)}`.")
        image, value = row[i], row[j]
        if found.setdefault(image, value) != value:
            raise UserError(f"{path}, line {number}: {image} stands there before with another {column}; keep one line.")
    return found


def look_up(table: dict[str, str], names: Sequence[str], path: Path, column: str) -> tuple[list[str], list[str]]:
    """What the table tells of each image, "" where nothing, and a sentence for each of these. names: paths below the
    folder of images; a table may give less of one: the file's name, or its stem."""
    found, errors = [], []
    for name in names:
        bare = Path(name)
        shorter = (name, bare.with_suffix("").as_posix(), bare.name, bare.stem)
        found.append(next((table[short] for short in shorter if short in table), ""))
        if not found[-1]:
            errors.append(f"{path}: has no line for {name}; add `{name},{column.upper()}`.")
    return found, errors
