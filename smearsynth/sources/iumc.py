"""IUMC (Isfahan): crops of single leukocytes, with a companion mask or with the expert's outline burned in as red."""

import re
from pathlib import PurePosixPath

from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.source_files import SourceFiles, pair_named_masks

LAYOUT = (
    "`Eosinophil_N.bmp`, `Lymphocytes_N.bmp`, `Monocytes_N.bmp`, `Neutrophil_N.bmp`, singular or plural, "
    "each with a `*_mask.*` beside it or with a red outline in it"
)
FACTS = Facts(
    title="IUMC leukocytes, Isfahan University of Medical Sciences",
    licence="not stated; for research only",
    redistribution=Redistribution.NOT_STATED,
    cite="Sarrafzadeh, Rabbani, Talebi, Yousefi-Banaem: Selection of the best features for leukocytes classification "
    "in blood smear microscopic images. Proceedings of SPIE 9041, 2014",
    grouping="image",
    patients_known=False,
    calibrate=("eosinophil", "neutrophil", "lymphocyte", "monocyte"),
    # Median of the glass measured in the 96 crops; about every tenth shows only red cells around its cell.
    glass=(153, 158, 151),
)
_NAME = re.compile(r"(?P<cell>.*[^\W\d_])[\W_]*[0-9]+")


def list_iumc(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per image. The crops are tight: touching the border is no sign of a cut cell."""
    pairs, orphans = pair_named_masks(files.images)
    names = {path: match["cell"] for path in pairs if (match := _NAME.fullmatch(PurePosixPath(path).stem))}
    classes, left_out = classify(names, resolve(names.values(), spec, {}))
    left_out["file of unknown name"] += len(pairs) - len(names)
    left_out["mask without an image"] += len(orphans)
    entries = tuple(
        Entry(
            path=path,
            class_key=class_key,
            group=path,
            method=Method.OUTLINE if pairs[path] is None else Method.GIVEN,
            mask=pairs[path],
            tight=True,
        )
        for path, class_key in classes.items()
    )
    return Listing(facts=FACTS, entries=entries, left_out=left_out)
