"""Source databases as their owners ship them: one module per database, each a list of where its cells are."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from smearsynth.errors import UserError
from smearsynth.recipe.source import SourceSpec
from smearsynth.sources import crops, iumc, kaggle, lisc, mamic
from smearsynth.sources.drawn import UNPROVEN, facts_of, has_note
from smearsynth.sources.entry import Facts, Listing
from smearsynth.sources.files import NOT_IMAGE, Files, list_files, natural


class Source(NamedTuple):
    """list: reads the names of a database's files. layout: what it looks for, for messages. facts: what is known of
    the database without its files.
    """

    list: Callable[[SourceSpec, Files], Listing]
    layout: str
    facts: Callable[[SourceSpec], Facts]


SOURCES = {
    "lisc": Source(lisc.list_lisc, lisc.LAYOUT, lambda _: lisc.FACTS),
    "iumc": Source(iumc.list_iumc, iumc.LAYOUT, lambda _: iumc.FACTS),
    "mamic": Source(mamic.list_mamic, mamic.LAYOUT, lambda _: mamic.FACTS),
    "kaggle": Source(kaggle.list_kaggle, kaggle.LAYOUT, lambda _: kaggle.FACTS),
    "crops": Source(crops.list_crops, crops.LAYOUT, crops.facts_of_recipe),
}


def stated_facts(spec: SourceSpec) -> Facts:
    """What is known of a source from the recipe and the kind of database alone; no file is listed or read."""
    return facts_of(SOURCES[spec.kind].facts(spec), spec.root)


def list_entries(spec: SourceSpec) -> Listing:
    """Everything a source holds, in natural order of the paths; no pixel is decoded.

    Files that are of no use are counted in `left_out`. Raises UserError where no cell is found at all, or where what
    the user wrote (`classes`, `exclude`, a table) does not fit the files.
    """
    source = SOURCES[spec.kind]
    files = list_files(spec.root, spec.exclude)
    listing = source.list(spec, files)
    unread = len(set(files.tables) - set(listing.tables))
    facts = facts_of(listing.facts, spec.root)
    unproven = has_note(spec.root) and facts == listing.facts
    left_out = Counter({NOT_IMAGE: unread, UNPROVEN: unproven}) + files.left_out + Counter(listing.left_out)
    if not listing.entries:
        there = "; ".join(f"{count} x {reason}" for reason, count in sorted(left_out.items())) or "the folder is empty"
        raise UserError(
            f"{spec.root}: no cell image of a {spec.kind} source is there ({there}); expected {source.layout}; "
            f"set `root` of source {spec.name} to the folder that holds them"
        )
    return Listing(
        facts=facts,
        entries=tuple(sorted(listing.entries, key=lambda entry: natural(entry.path))),
        left_out=dict(sorted(left_out.items())),
        tables=listing.tables,
    )
