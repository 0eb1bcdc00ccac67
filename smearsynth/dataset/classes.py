"""The classes of a set: the ten of the taxonomy, or those that an imported set brought along."""

import re
from pathlib import Path

from smearsynth.errors import UserError
from smearsynth.shards.format import Header
from smearsynth.taxonomy import BY_KEY, CellClass

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def classes_of(path: Path, header: Header) -> tuple[CellClass, ...]:
    """The classes of the shard `path` with this header, by id from 0; one that is not in the taxonomy is named by its
    key and has no mean area (0). Raises UserError where they are not numbered so, or a colour is none.
    """
    ids, keys, colours = header.class_ids, header.class_keys, header.class_colours
    if ids != tuple(range(len(ids))) or not len(ids) == len(keys) == len(colours):
        raise UserError(f"{path} has class ids {ids}; number them from 0, each with a key and a colour.")
    if not all(_COLOUR.fullmatch(str(colour)) for colour in colours):
        raise UserError(f'{path} has class_colours {colours}; write each as "#rrggbb".')
    unknown = CellClass(0, "", "", "", 0)
    return tuple(
        CellClass(number, key, BY_KEY.get(key, unknown).name or key, colour, BY_KEY.get(key, unknown).area)
        for number, key, colour in zip(ids, keys, colours, strict=True)
    )
