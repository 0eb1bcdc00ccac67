"""What a split must not divide: the images of one patient, or copies of one image."""

import re
from collections.abc import Sequence
from pathlib import Path

from segtrain.importing.tables import look_up, read_table
from smearsynth.errors import UserError


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
            f"--group {asked}: is no regular expression ({error}); put it in quotes, or name a CSV."
        ) from None
    found = [pattern.search(name) for name in names]
    groups = ["/".join(part or "" for part in match.groups()) or match[0] if match else "" for match in found]
    faults = [
        f"{name}: --group {asked} finds nothing in this name; change the expression, or the name."
        for name, group in zip(names, groups, strict=True)
        if not group
    ]
    return groups, faults


def with_copies(groups: Sequence[str], digests: Sequence[str]) -> list[str]:
    """The groups, those made one that share an image; it has the first of their names."""
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        while parent.setdefault(group, group) != group:
            group = parent[group]
        return group

    first: dict[str, str] = {}
    for group, digest in zip(groups, digests, strict=True):
        one, other = sorted((root(group), root(first.setdefault(digest, group))))
        parent[other] = one
    return [root(group) for group in groups]
