"""LISC: fields of 720x576 px, 100x objective, with an expert's masks of some of their leukocytes."""

import re
from collections import Counter
from pathlib import PurePosixPath

from smearsynth.base.errors import UserError
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.source_files import SourceFiles, outermost_first
from smearsynth.taxonomy import CLASSES, WHITE_CELLS

LAYOUT = (
    "`Main Dataset/{Baso,eosi,lymp,mixt,mono,neut}/N.bmp` and "
    "`Ground Truth Segmentation/<class>/areaforexpert1/N_expert.bmp`, also inside `LISC Database/`"
)
FACTS = Facts(
    title="LISC: Leukocyte Images for Segmentation and Classification",
    licence="terms of its authors: no copying and no redistribution",
    redistribution=Redistribution.FORBIDDEN,
    cite="Rezatofighi, Soltanian-Zadeh: Automatic recognition of five types of white blood cells in peripheral "
    "blood. Computerized Medical Imaging and Graphics 35, 2011",
    grouping="image",
    patients_known=False,
    calibrate=tuple(c.key for c in CLASSES if c.id in WHITE_CELLS),
)
_MASK_PAD = 4
"""The masks are 712x568: the images less 4 px on every side."""
_CLASSES: dict[str, str | None] = {
    "baso": "basophil",
    "eosi": "eosinophil",
    "lymp": "lymphocyte",
    "mixt": None,
    "mono": "monocyte",
    "neut": "neutrophil",
}
_IMAGE = re.compile(r"(?:.*/)?main dataset/(?P<folder>[^/]+)/(?P<number>[0-9]+)\.\w+")
_MASK = re.compile(r"(?:.*/)?ground truth segmentation/(?P<folder>[^/]+)/areaforexpert1/(?P<number>[0-9]+)_expert\.\w+")

_Key = tuple[str, int]
"""Class folder in lower case and number: what an image and its mask have in common."""


def list_lisc(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per image with a mask, matched by its number. A field's several leukocytes are one group."""
    images, masks, left_out = _by_key(files)
    folders = {path: folder for (folder, _), path in images.items()}
    classes, unused = classify(folders, resolve(folders.values(), spec, _CLASSES))
    entries = []
    for (folder, number), path in images.items():
        mask = masks.pop((folder, number), None)
        if path not in classes:
            continue
        if mask is None:
            left_out["image without a mask"] += 1
            continue
        entries.append(
            Entry(
                path=path,
                class_key=classes[path],
                group=f"{folder}/{number}",
                method=Method.GIVEN,
                mask=mask,
                mask_pad=_MASK_PAD,
            )
        )
    left_out["mask without an image"] += len(masks)
    return Listing(facts=FACTS, entries=tuple(entries), left_out=left_out + unused)


def _by_key(files: SourceFiles) -> tuple[dict[_Key, str], dict[_Key, str], Counter[str]]:
    """Images and masks; of copies the one nearest to the root.

    Raises UserError where two files of one number are no copies by their names: a mask may belong to either.
    """
    images: dict[_Key, str] = {}
    masks: dict[_Key, str] = {}
    left_out = Counter[str]()
    for path in outermost_first(files.images):
        for pattern, found in ((_IMAGE, images), (_MASK, masks)):
            if match := pattern.fullmatch(path.casefold()):
                key = (match["folder"], int(match["number"]))
                first = found.setdefault(key, path)
                if first != path:
                    if PurePosixPath(first).name.casefold() != PurePosixPath(path).name.casefold():
                        raise UserError(f"{first} and {path} have one number; `exclude` the one that does not count")
                    left_out["second copy"] += 1
                break
        else:
            left_out["file of unknown name"] += 1
    return images, masks, left_out
