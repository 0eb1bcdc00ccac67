"""Fields of one slide or patient told together, and names that may hold a patient's replaced by numbers.

A group is what `group` and `group_column` of a recipe's sources find: a match in the path of an image, or a column of a
table. Where both patient and slide are known, slides are those of their patient, and each image belongs to one of
either. Counts of a group's fields add, and every rate and interval is of the sums.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from smearsynth.base.errors import UserError, printable
from smearsynth.base.tables import canonical, raise_errors, read_table

FOLDER = "folder"
PATIENT, SLIDE = "patient", "slide"
Groups = dict[str, dict[Path, str]]
"""What is told together (patient, slide, folder, group or a column's name) -> image -> the name of its group."""
_IMAGE_COLUMNS = ("image", "file", "file name", "filename", "name", "id")


def groups_of(
    paths: Sequence[Path],
    *,
    group: str | None = None,
    group_column: Sequence[str] = (),
    labels: str | Path | None = None,
) -> Groups:
    """The groups of images. group: "folder", or a regular expression that is searched in the path, of which the
    brackets, else the whole match, name the group; (?P<patient>...) and (?P<slide>...) say what that is. group_column:
    columns of the table `labels`, whose column `image` has the names of the files. UserError for an image without."""
    if group is not None and group_column:
        raise UserError("both say what is told together: leave one out", "group", "group_column")
    if bool(group_column) != (labels is not None):
        raise UserError("a column is one of a table: name both, or neither", "group_column", "labels")
    if group == FOLDER:
        return {FOLDER: _folders(paths)}
    if group is not None:
        found = _by_pattern(paths, group)
    elif labels is not None:
        found = _by_column(paths, group_column, Path(labels))
    else:
        return {}
    if {PATIENT, SLIDE} <= found.keys():
        found[SLIDE] = {path: f"{found[PATIENT][path]}/{name}" for path, name in found[SLIDE].items()}
    return found


def _folders(paths: Sequence[Path]) -> dict[Path, str]:
    """The name of each image's folder, or where two have the same, its path."""
    folders = {path: path.absolute().parent for path in paths}
    short = len({folder.name for folder in folders.values()}) == len(set(folders.values()))
    return {path: printable(folder.name if short else str(folder)) for path, folder in folders.items()}


def _by_pattern(paths: Sequence[Path], group: str) -> Groups:
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise UserError(
            f"{group!r} is no regular expression ({error}): correct it, or give {FOLDER}", "group"
        ) from None
    levels = [name for name in (PATIENT, SLIDE) if name in pattern.groupindex]
    groups: Groups = {level: {} for level in levels or ["group"]}
    for path in paths:
        match = pattern.search(path.as_posix())
        whole = ("/".join(part or "" for part in match.groups()) or match[0]) if match else ""
        names = {level: (match and match[level]) or "" for level in levels} or {"group": whole}
        if not all(names.values()):
            raise UserError(f"{path}: {group!r} finds no {' or '.join(names)} in this path; change it", "group")
        for level, name in names.items():
            groups[level][path] = printable(name)
    return groups


def _by_column(paths: Sequence[Path], columns: Sequence[str], table: Path) -> Groups:
    rows = read_table(table.parent, table.name, {"image": _IMAGE_COLUMNS, **{column: (column,) for column in columns}})
    levels = {column: next((n for n in (PATIENT, SLIDE) if canonical(column) == n), column) for column in columns}
    known: dict[str, dict[str, str]] = {}
    errors = []
    for where, row in rows:
        names = {levels[column]: printable(row[column]) for column in columns}
        if known.setdefault(row["image"], names) != names:
            errors.append(f"{where}: {row['image']} has another {' or '.join(columns)} above; keep one of the two")
    raise_errors(errors)
    groups: Groups = {level: {} for level in levels.values()}
    owner: dict[str, Path] = {}
    for path in paths:
        image = next((name for name in (path.as_posix(), path.name, path.stem) if name in known), None)
        if image is None:
            raise UserError(f"{table}: no row for {path.name}; add it, with its {' and '.join(columns)}", "labels")
        if (other := owner.setdefault(image, path)) != path:
            raise UserError(f"{table}: {image} could be {other} or {path}; write their paths there", "labels")
        for level, name in known[image].items():
            groups[level][path] = name
    return groups


@dataclass(frozen=True, kw_only=True)
class FieldNames:
    """What images and their groups are called in all that is written. key: the text of the table that tells which is
    which, where numbers stand for names."""

    images: Mapping[Path, str]
    groups: Groups
    key: str | None = None

    def of(self, path: Path) -> dict[str, str]:
        """The groups of an image, by what they are."""
        return {level: groups[path] for level, groups in self.groups.items()}

    def pooled(self) -> list[tuple[str, str, list[Path]]]:
        """Each group: what it is, its name, its images; patients before slides, in the order of the images."""
        levels = sorted(self.groups, key=lambda level: level == SLIDE)
        return [
            (level, name, [path for path, of in self.groups[level].items() if of == name])
            for level in levels
            for name in dict.fromkeys(self.groups[level].values())
        ]


def numbered(names: FieldNames) -> FieldNames:
    """Numbers in place of names, in the order of the images, and the key."""
    text = StringIO()
    key = csv.writer(text, lineterminator="\n")
    key.writerow(("what", "number", "name"))
    images: dict[Path, str] = {}
    for count, path in enumerate(names.images, start=1):
        images[path] = f"image-{count:04d}"
        key.writerow(("image", images[path], printable(str(path.resolve()))))
    groups: Groups = {}
    for level, of in names.groups.items():
        numbers = {name: f"{level}-{count}" for count, name in enumerate(dict.fromkeys(of.values()), start=1)}
        groups[level] = {path: numbers[name] for path, name in of.items()}
        key.writerows((level, number, name) for name, number in numbers.items())
    return FieldNames(images=images, groups=groups, key=text.getvalue())
