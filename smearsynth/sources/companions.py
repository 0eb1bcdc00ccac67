"""Masks that lie beside their images: `X_mask.png`, or the same name with another extension."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from smearsynth.errors import UserError
from smearsynth.images import read_header
from smearsynth.sources.files import locate

SUFFIX = "_mask"

Pairs = dict[str, str | None]
"""Image -> its mask, None where it has none."""


def pair_named_masks(images: Iterable[str]) -> tuple[Pairs, list[str]]:
    """Images with their `X_mask.*`, in the given order, and the masks that have no image.

    Raises UserError where there are several masks for an image, or several images for a mask.
    """
    pairs: Pairs = {}
    masks, named = defaultdict(list), defaultdict(list)
    for path in images:
        stem = _stem(path)
        if stem.endswith(SUFFIX):
            masks[stem.removesuffix(SUFFIX)].append(path)
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
                f"`{PurePosixPath(paths[0]).stem}{SUFFIX}.png`, or `exclude` the other files"
            )
        image = next(path for path in paths if path not in masks)
        found[image] = masks[0]
        del found[masks[0]]
    return found


def _stem(path: str) -> str:
    """Folder and name without its extension, in lower case."""
    return str(PurePosixPath(path).with_suffix("")).casefold()
