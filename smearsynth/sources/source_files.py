"""The files of a source's folder: what is there, in an order that no file system decides, and which are masks of which.

A symbolic link to a folder is followed, once, for that is how data on another disk come in. A file is only read when it
truly lies inside the root or such a folder, so neither a link to it nor a path written in somebody else's table can
reach the rest of the disk. A folder that may not be read is an error: its cells would be missing in silence.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NoReturn

from smearsynth.base.errors import UserError
from smearsynth.base.files import walk_files
from smearsynth.base.images import IMAGE_SUFFIXES, read_header
from smearsynth.base.tables import locate
from smearsynth.fields.annotation_files import SUFFIXES

NOT_IMAGE = "not an image"
LINKED_TWICE = "link to a folder that is read anyway, or that holds this one"
DRAWN_NOTE = "DRAWN.txt"
"""File in a source's root that is none of the source's: see `listing`."""
_MASK_ENDING = "_mask"

Pairs = dict[str, str | None]
"""Image -> its mask, None where it has none."""


@dataclass(frozen=True, kw_only=True)
class SourceFiles:
    """Paths relative to the root, with forward slashes, in natural order.

    tables: files that may hold labels. left_out: reason -> number of files that are neither image nor such, no plain
    files, hidden, or excluded by the recipe.
    """

    images: tuple[str, ...]
    tables: tuple[str, ...]
    excluded: frozenset[str]
    left_out: Counter[str]


def natural(path: str) -> tuple[list[tuple[int, str]], str]:
    """Sort key: `cell_2` before `cell_10`, upper and lower case together; the path itself decides a tie."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", path.casefold())
    return [(int(p), "") if p[0] in "0123456789" else (-1, p) for p in pieces], path


def outermost_first(paths: Sequence[str]) -> list[str]:
    """Paths by depth, then natural order: of two copies of a folder the one nearer to the root comes first."""
    return sorted(paths, key=lambda path: (path.count("/"), natural(path)))


def list_files(root: Path, exclude: Sequence[str] = ()) -> SourceFiles:
    """All files under `root`. exclude: globs on the relative path, in any case; `*` also crosses folders.

    Raises UserError where `root` is no folder, where a folder may not be read, or where a glob matches nothing (a
    mistyped name would otherwise keep the very file that was to go).
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; set the source's `root` to where the database was unpacked")
    files, not_followed = walk_files(root, _refuse)
    paths = sorted({file.relative_to(root).as_posix() for file in files} - {DRAWN_NOTE}, key=natural)
    excluded = set()
    for glob in exclude:
        matched = {path for path in paths if fnmatchcase(path.casefold(), glob.casefold())}
        if not matched:
            raise UserError(f"{root}: `exclude: {glob}` matches no file there; correct the pattern or remove it")
        excluded |= matched
    images, tables, left_out = [], [], Counter({LINKED_TWICE: not_followed} if not_followed else {})
    for path in paths:
        suffix = PurePosixPath(path).suffix.casefold()
        if path in excluded:
            left_out["excluded by the recipe"] += 1
        elif any(part.startswith(".") or part == "__MACOSX" for part in path.split("/")):
            left_out["hidden or system file"] += 1
        elif not path.isprintable():
            # Such a name cannot stand in a lock file, a card or an HDF5 string.
            left_out["file name with control characters"] += 1
        elif not _is_file_inside(root, path):
            left_out["no file, or a link that leads out of the source"] += 1
        elif suffix in IMAGE_SUFFIXES:
            images.append(path)
        elif suffix in SUFFIXES:
            tables.append(path)
        else:
            left_out[NOT_IMAGE] += 1
    return SourceFiles(images=tuple(images), tables=tuple(tables), excluded=frozenset(excluded), left_out=left_out)


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"{error.filename}: the folder cannot be read ({error.strerror}); change its permissions")


def _is_file_inside(root: Path, path: str) -> bool:
    file = root / path
    try:
        return file.is_file() and (not file.is_symlink() or locate(root, path).is_file())
    except UserError:
        return False


def pair_named_masks(images: Iterable[str]) -> tuple[Pairs, list[str]]:
    """Images with their `X_mask.*`, in the given order, and the masks that have no image.

    Raises UserError where there are several masks for an image, or several images for a mask.
    """
    pairs: Pairs = {}
    masks, named = defaultdict(list), defaultdict(list)
    for path in images:
        stem = _stem(path)
        if stem.endswith(_MASK_ENDING):
            masks[stem.removesuffix(_MASK_ENDING)].append(path)
        else:
            pairs[path] = None
            named[stem].append(path)
    for stem in masks.keys() & named.keys():
        if len(masks[stem]) + len(named[stem]) > 2:
            raise UserError(
                f"it cannot be told which mask belongs to which image of {', '.join(named[stem] + masks[stem])}; keep "
                "one image and one mask, or `exclude` the others"
            )
        pairs[named[stem][0]] = masks[stem][0]
    return pairs, [mask for stem, found in masks.items() if stem not in named for mask in found]


def pair_same_names(pairs: Mapping[str, str | None], root: Path) -> Pairs:
    """Pairs in which `001.png` is the mask of `001.bmp`: of two files with one name, the one with a single channel.

    Raises UserError where that does not tell which is which; a photo taken for a mask would label everything as cell.
    """
    same = defaultdict(list)
    for path in pairs:
        same[_stem(path)].append(path)
    found = dict(pairs)
    for paths in same.values():
        if len(paths) == 1:
            continue
        masks = [path for path in paths if read_header(locate(root, path)).single_channel]
        if len(paths) != 2 or len(masks) != 1:
            raise UserError(
                f"{root}: it cannot be told which of {', '.join(paths)} is the mask; name it "
                f"`{PurePosixPath(paths[0]).stem}{_MASK_ENDING}.png`, or `exclude` the other files"
            )
        image = next(path for path in paths if path not in masks)
        found[image] = masks[0]
        del found[masks[0]]
    return found


def _stem(path: str) -> str:
    """Folder and name without its extension, in lower case."""
    return str(PurePosixPath(path).with_suffix("")).casefold()
