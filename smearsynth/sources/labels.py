"""A table that says which class each image of a flat folder has; an id is a name, a stem or a number."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from smearsynth.sources.tables import read_table, refuse

COLUMNS = {
    "id": ("id", "image id", "image", "image name", "file", "file name", "name"),
    "class": ("class", "class label", "class name", "label", "category", "cell type", "type"),
}


def read_labels(root: Path, table: str, images: Iterable[str]) -> tuple[dict[str, str], Counter[str]]:
    """Image -> class name as written, and what was left out, by reason.

    `1` and `001` both find `001.bmp`, unless a file has that very name. Raises UserError with all faulty rows: an id
    that fits several images, or an image with two classes.
    """
    images = list(images)
    by_id = _ids(images)
    names: dict[str, str] = {}
    places: dict[str, str] = {}
    left_out, faults = Counter[str](), []
    for where, row in read_table(root, table, COLUMNS):
        fits = _fits(row["id"], by_id)
        if not fits:
            left_out["label without an image"] += 1
        elif len(fits) > 1:
            faults.append(f"{where}: {row['id']} fits {', '.join(fits)}; write the whole file name")
        elif names.setdefault(fits[0], row["class"]) != row["class"]:
            faults.append(f"{where}: {fits[0]} has another class in {places[fits[0]]}; keep one of the two")
        else:
            places.setdefault(fits[0], where)
    refuse(faults)
    left_out["image without a label"] += len(images) - len(names)
    return {path: names[path] for path in images if path in names}, +left_out


def _ids(images: list[str]) -> tuple[dict[str, list[str]], ...]:
    """Images by path, name, each without extension, and number: the ways an id can name one, most exact first."""
    ways: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(5))
    for image in images:
        path = PurePosixPath(image.casefold())
        keys = (str(path), path.name, str(path.with_suffix("")), path.stem, _number(path.stem))
        for way, key in zip(ways, keys, strict=True):
            way[key].append(image)
    return ways


def _fits(label_id: str, by_id: tuple[dict[str, list[str]], ...]) -> list[str]:
    text = label_id.casefold()
    *named, numbered = by_id
    return next((way[text] for way in named if text in way), []) or numbered.get(_number(text), [])


def _number(stem: str) -> str:
    """`1` for `001`; any other text as it is."""
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem
