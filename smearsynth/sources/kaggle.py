"""NIH malaria cells (Kaggle `cell-images-for-detecting-malaria`): single red cells on black, by patient."""

import re
from collections import Counter

from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.source_files import SourceFiles, outermost_first

LAYOUT = "`cell_images/{Parasitized,Uninfected}/C130P91ThinF_IMG_20151004_142709_cell_127.png`"
FACTS = Facts(
    title="NIH malaria cell images",
    licence="work of the US government",
    redistribution=Redistribution.ALLOWED,
    cite="Rajaraman et al.: Pre-trained convolutional neural networks as feature extractors toward improved malaria "
    "parasite detection in thin blood smear images. PeerJ 6:e4568, 2018",
    grouping="patient",
    patients_known=True,
    calibrate=("infected_rbc", "healthy_rbc"),
    # No crop shows empty glass, but glass is at least as bright as anything in a crop. Many keep a pale line of it
    # along the cell, blurred into the cell: of the pixels over 1.5 px inside the black ground, the brightest 1 % by
    # green; per patient the brightest crop; of 132 patients the 95th percentile per channel (median: 219, 186, 176).
    glass=(229, 209, 204),
)
_NAME = re.compile(r"c(?P<patient>[0-9]+)\D.*_cell_[0-9]+\.png", re.IGNORECASE)


def patient_of(name: str) -> str | None:
    """`C130` of `C130P91ThinF_IMG_..._cell_127.png`, None where the name is not of that form.

    What follows the number is left aside: `C51A` and `C51B` would be two smears of one patient, `P91` counts the
    infected patients once more, and `N`, `Re` and `original` tell how the smear was photographed.
    """
    match = _NAME.fullmatch(name)
    return f"C{int(match['patient'])}" if match else None


def list_kaggle(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per cell; a second copy of the folder inside itself, as the archive ships it, is left out."""
    left_out = Counter[str]()
    seen: set[tuple[str, str]] = set()
    folders, patients = {}, {}
    for path in outermost_first(files.images):
        folder, name = ("", *path.split("/"))[-2:]
        patient = patient_of(name)
        if patient is None:
            left_out["file of unknown name"] += 1
        elif (folder.casefold(), name.casefold()) in seen:
            left_out["second copy"] += 1
        else:
            seen.add((folder.casefold(), name.casefold()))
            folders[path], patients[path] = folder, patient
    classes, unused = classify(folders, resolve(folders.values(), spec, {}))
    entries = tuple(
        Entry(path=path, class_key=class_key, group=patients[path], method=Method.BLACK_GROUND, tight=True)
        for path, class_key in classes.items()
    )
    return Listing(facts=FACTS, entries=entries, left_out=left_out + unused)
