"""Small folders of images for the tests of sources, and what a source lists there."""

from pathlib import Path

from PIL import Image

from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.listing import list_entries


def put(root: Path, *paths: str, mode: str = "RGB") -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() in (".bmp", ".png", ".jpg"):
            Image.new(mode, (12, 10), 200).save(file)
        else:
            file.write_text("text")


def listed(kind: str, root: Path, **keys: object) -> dict[str, str]:
    listing = list_entries(SourceSpec.model_validate({"kind": kind, "root": root, **keys}))
    return {entry.path: entry.class_key for entry in listing.entries}


def entries(kind: str, root: Path, **keys: object):
    return list_entries(SourceSpec.model_validate({"kind": kind, "root": root, **keys}))
