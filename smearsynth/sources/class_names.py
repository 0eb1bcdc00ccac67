"""Which class a name stands for: folders and tables of the field call one cell by many names.

Case, plural, spaces and underscores do not matter, but in a code without letters, such as `-1` or `1.0`, everything
does. A source's own names win over the general ones, the recipe's `classes` over both, and the exact name over all.
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping

from smearsynth.base.errors import UserError
from smearsynth.base.tables import canonical
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.taxonomy import CLASSES, UNSURE

_OTHER_NAMES = {
    "baso": "basophil",
    "eosi": "eosinophil",
    "lymph": "lymphocyte",
    "mono": "monocyte",
    "neut": "neutrophil",
    "platelet": "thrombocyte",
    "clump": "platelet_clump",
    "clumped platelet": "platelet_clump",
    "thrombocyte clump": "platelet_clump",
    "infected": "infected_rbc",
    "infected red blood cell": "infected_rbc",
    "infected red cell": "infected_rbc",
    "parasitized": "infected_rbc",
    "healthy": "healthy_rbc",
    "healthy red blood cell": "healthy_rbc",
    "healthy red cell": "healthy_rbc",
    "uninfected": "healthy_rbc",
    "uninfected rbc": "healthy_rbc",
}


_GENERAL: dict[str, str | None] = {
    **{canonical(name): key for name, key in [*((c.key, c.key) for c in CLASSES if c.id), *_OTHER_NAMES.items()]},
    UNSURE: None,
}


def resolve(found: Iterable[str], spec: SourceSpec, own: Mapping[str, str | None]) -> dict[str, str | None]:
    """Name -> class key, or None for a class that is left out, for every name in `found` that is known.

    own: the names that the database itself uses, None where it has no single class. Raises UserError where a key of
    the recipe's `classes` is none of the names found (it would change nothing, and a mistyped name must not go unseen),
    and where a name that is no key of theirs fits two of them.
    """
    names = sorted(set(found))
    there = {canonical(name) for name in names}
    unmet = [name for name in spec.classes if canonical(name) not in there]
    if unmet:
        raise UserError(
            f"{spec.root}: `classes` of source {spec.name} maps {', '.join(map(repr, unmet))}, which is not there; "
            f"map names that are: {', '.join(names) or 'none found'}"
        )
    known = _GENERAL | {canonical(name): key for name, key in [*own.items(), *spec.classes.items()]}
    resolved: dict[str, str | None] = {}
    for name in names:
        fits = [other for other in spec.classes if canonical(other) == canonical(name)]
        if name in spec.classes:
            resolved[name] = spec.classes[name]
        elif len({spec.classes[other] for other in fits}) > 1:
            raise UserError(
                f"{spec.root}: {name!r} fits {' and '.join(map(repr, fits))} in `classes` of source {spec.name}, which "
                "are different classes; add the name as it is written"
            )
        elif canonical(name) in known:
            resolved[name] = known[canonical(name)]
    return resolved


def classify(names: Mapping[str, str], known: Mapping[str, str | None]) -> tuple[dict[str, str], Counter[str]]:
    """Path -> class key of every path whose name stands for a class that is used; the others counted by reason.

    names: path -> name as found. known: as `resolve` gives it.
    """
    classes, left_out = {}, Counter[str]()
    for path, name in names.items():
        if name not in known:
            left_out[f"{name!r} names no class" if name else "in no class folder"] += 1
        elif (class_key := known[name]) is None:
            left_out[f"class {name!r} is not used"] += 1
        else:
            classes[path] = class_key
    return classes, left_out


def folders_of(path: str) -> list[str]:
    """Names of the folders that a relative path is in, the nearest first."""
    return path.split("/")[-2::-1]


def name_by_folder(paths: Iterable[str], known: Container[str]) -> dict[str, str]:
    """Path -> the nearest of its folders with a known name, else the nearest folder ("" in the root)."""
    names = {}
    for path in paths:
        folders = folders_of(path)
        names[path] = next((name for name in folders if name in known), next(iter(folders), ""))
    return names
