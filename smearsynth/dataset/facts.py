"""A dataset in sentences, from its index alone: card, Croissant and report say the same in the same words."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from smearsynth.dataset import layout
from smearsynth.dataset.index import Index
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC, PLATELET_CLUMP, SPLITS

SourceFacts = Mapping[str, Any]
"""One of the index's `sources`."""

_FAR = 1.5
"""How many times larger or smaller than the taxonomy's a source's mean area of a class is where the card says so; a
choice, for clumps among single cells, giants, or a wrong scale to show."""

_TEX = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}"})


def summary(index: Index) -> str:
    height, width = index["size"]
    return (
        f"{index['samples']:,} synthetic blood smears of {width}x{height} px at {index['um_per_px']} µm per pixel with "
        f"exact labels of ten classes, composited by smearsynth from single cells; looks: {', '.join(index['looks'])}."
    )


def warning(index: Index) -> str:
    """What stands in the way of handing the set on, "" where nothing does."""
    if index["publish"]:
        return ""
    return (
        "Not for publication. The recipe does not claim that its sources may be handed on. Pass this set on only as "
        f"far as the licences of its sources allow, and without {layout.BANK}, which holds the cells themselves."
    )


def labels(index: Index) -> str:
    """How labels are made."""
    return (
        f"Single cells are cut out of the sources, brought to {index['um_per_px']} µm per pixel and composited; the "
        "label map is made with the picture and not from it. A pixel belongs to the highest cell whose mask there is "
        "at least half opaque, and a cell's mask ends half-way between glass and rim, in every source alike. A cell of "
        "which too little shows is left out, picture and label alike. Label 0 is background; `instance` is 0 or 1 + "
        "the row of `objects` that says which cell is there, and how. Stain precipitate, debris and scale bars, of "
        "which the recipe says how many there are (`scene.distractors`), have no label: they are background."
    )


def known_sources(index: Index) -> list[SourceFacts]:
    """The sources that more than the name is known of."""
    return [source for source in index["sources"] if "title" in source]


def um_per_px(source: SourceFacts) -> str:
    """The scale of its images; of a ready bank it is not known."""
    return f"{source['um_per_px']:.4f}" if "um_per_px" in source else "not known"


def origin(index: Index) -> str:
    """Where cells come from whose source only the bank names, "" where there are none."""
    names = ", ".join(source["name"] for source in index["sources"] if "title" not in source)
    if not names:
        return ""
    return f"The set was built from a ready bank of cells, and nothing but the names is known of its sources {names}."


def grouping(source: SourceFacts) -> str:
    """What the splits do not divide."""
    if source["patients_known"]:
        return f"{source['name']}: cells are split by {source['grouping']}; no patient is in two splits."
    if source["grouping"] == "image":
        return (
            f"{source['name']}: patients are unknown and only the image could be the group, so cells of one patient "
            "may be in two splits."
        )
    return (
        f"{source['name']}: cells are split by {source['grouping']}, and none of these is in two splits; whether two "
        "of them are of one patient is not known."
    )


def refusals(index: Index) -> list[tuple[str, str, str, int]]:
    """Source, class key, reason and number of the cells that were refused."""
    return [
        (source["name"], c.key, reason, count)
        for source in index["sources"]
        for c in CLASSES[1:]
        for reason, count in sorted(source.get("refused", {}).get(c.key, {}).items())
    ]


def limits(index: Index) -> list[str]:
    """What the set can not show or may mislead in."""
    return [
        "Smears are composited, not photographed: which cells meet, how they lie, stain, light, focus and camera are "
        "drawn from the ranges in the recipe. What a network reaches here says nothing yet of real smears.",
        "A label is exact for the cell that was cut out; where a source names the wrong class, so does the label. "
        "Other cells than those of the ten classes do not occur.",
        *_few_cells(index),
        *_one_source(index),
        *_assembled(index),
        *_far_areas(index),
        *(grouping(source) for source in known_sources(index) if not source["patients_known"]),
        *index["about"]["limits"],
    ]


def _few_cells(index: Index) -> list[str]:
    fewest = []
    for split in SPLITS:
        cells = {c.name: sum(index["splits"][split]["cells"][c.key].values()) for c in CLASSES[1:]}
        drawn = {name: number for name, number in cells.items() if number}
        if drawn and index["splits"][split]["scenes"]:
            name = min(drawn, key=lambda name: drawn[name])
            fewest.append(f"{drawn[name]:,} in {split} ({name})")
    return [f"The same cells come back in many smears; the class with the fewest has {', '.join(fewest)}."]


def _one_source(index: Index) -> list[str]:
    """Where class and source go together, so that a network can take one for the other."""
    if len(index["sources"]) < 2:
        return [f"All cells come from one source, {index['sources'][0]['name']}."]
    only: dict[str, list[str]] = {}
    for c in CLASSES[1:]:
        objects = sum((Counter(index["splits"][split]["class_by_source"][c.key]) for split in SPLITS), Counter[str]())
        if len(objects) == 1:
            only.setdefault(next(iter(objects)), []).append(c.name)
    return [
        f"All cells of {', '.join(names)} are from {source}: a network may learn the source instead of the class."
        for source, names in only.items()
    ]


def _assembled(index: Index) -> list[str]:
    made = sum((Counter(index["splits"][split]["assembled"]) for split in SPLITS), Counter[str]())
    clumps, infected, healthy = (CLASSES[c] for c in (PLATELET_CLUMP, INFECTED_RBC, HEALTHY_RBC))
    sentences = []
    if made[clumps.key]:
        sentences.append(f"Cells of {clumps.name} are assembled from single thrombocytes of the same split.")
    if made[infected.key] or made[healthy.key]:
        sentences.append(
            f"{made[infected.key]:,} cells of {infected.name} are assembled: a parasite of another cell of the same "
            f"split is laid into a healthy one, or a later stage is drawn into it. {made[healthy.key]:,} of "
            f"{healthy.name} are assembled with what is no parasite, or are infected ones whose parasite was filled. "
            "Of them it is known from their making where a parasite lies; in cells that were cut the masks mark where "
            "green density exceeds that of the cell's smooth body, and are 255 (unknown) over the whole cell where it "
            "does nowhere."
        )
    return sentences


def _far_areas(index: Index) -> list[str]:
    """Where the cells of a source are much larger or smaller than those of their class are: clumps or giants, say."""
    far = []
    for c in CLASSES[1:]:
        for source in index["sources"]:
            area = _mean_area(index, c.key, source["name"])
            if area and not 1 / _FAR <= area / c.area <= _FAR:
                far.append(f"{c.name} from {source['name']} {area:,.0f} px (taxonomy {c.area:,})")
    return [f"Mean areas of cells that are far from those of the taxonomy: {'; '.join(far)}."] if far else []


def _mean_area(index: Index, key: str, source: str) -> float:
    """Over all splits, px; 0 where there is no cell, or an earlier smearsynth wrote no areas."""
    parts = [
        (part["cells"][key].get(source, 0), part.get("area", {}).get(key, {}).get(source, 0))
        for part in (index["splits"][split] for split in SPLITS)
    ]
    return sum(cells * area for cells, area in parts) / max(1, sum(cells for cells, _ in parts))


def citation(index: Index) -> str:
    """How to cite the set, as BibTeX."""
    about = index["about"]
    version = claimed_version(index)
    fields = {
        "title": f"{index['name']}: {index['samples']:,} synthetic blood smears with exact labels",
        "author": " and ".join(f"{{{_tex(name)}}}" for name in about["creators"]),
        "year": (about["published"] or "")[:4],
        "version": version,
        "url": about["url"],
        "note": f"made by smearsynth, generator version {index['generator_version']}; dataset digest {index['digest']}",
    }
    plain = {"author", "url"}
    lines = [f"  {key} = {{{text if key in plain else _tex(text)}}}," for key, text in fields.items() if text]
    return "\n".join([f"@misc{{{index['name']},", *lines, "}"])


def _tex(text: str) -> str:
    return " ".join(text.split()).translate(_TEX)


def claimed_version(index: Index) -> str | None:
    """The version that the recipe gives the set; None where it gives none, or the set is not all of what it calls
    frozen."""
    if index["claim"] is not None and (index["claim"]["refused"] or "beginning" in index["claim"]):
        return None
    version: str | None = index["about"]["version"]
    return version


def identity(index: Index) -> list[tuple[str, str | int]]:
    """What decides whether two sets are the same, and what made this one."""
    keys = ("digest", "recipe_hash", "bank_digest", "generator_version", "format_version")
    return [(key.replace("_", " ") if key != "digest" else "dataset digest", index[key]) for key in keys]


def works(index: Index) -> list[str]:
    """The works that are to be cited with the set, each with the source that it is for."""
    return [f"{source['name']}: {source['cite']}" for source in known_sources(index) if source["cite"]]


def rebuilding(index: Index) -> list[str]:
    """How to come to the same digest again, a way a line."""
    version = f"a smearsynth of generator version {index['generator_version']}"
    ways = [
        f"With {version}, from {layout.BANK} where it was handed on, on any machine: "
        f"`smearsynth build {layout.RECIPE} --bank {layout.BANK}`."
    ]
    if layout.LOCK in (file["name"] for file in index["files"]):
        ways.append(
            f"From the databases, with the versions of packages in its constraints.txt as well: set `root` of each "
            f"source in {layout.RECIPE} to where it lies, then `smearsynth build {layout.RECIPE}`. {layout.LOCK} holds "
            "path and sha256 of every file that was read: with `--set lock=" + layout.LOCK + "` only those are read, "
            "and one that is missing or has changed is named."
        )
    return ways
