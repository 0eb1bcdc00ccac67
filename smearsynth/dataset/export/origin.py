"""What an export says of where it comes from, and how far it may go on."""

from smearsynth.dataset.export.source import Source

NOT_FOR_PUBLICATION = (
    "**Not for publication.** The recipe of this set does not claim that its sources may be handed on. Pass it on only "
    "as far as their licences allow."
)


def licences(source: Source) -> list[str]:
    """A line per source of the set: its name, title, licence, and whether it may be redistributed."""
    return [_licence(told) for told in source.sources]


def _licence(told: dict[str, object]) -> str:
    if "licence" not in told:
        return f"{told.get('name')}: its licence is not recorded in this set"
    redistribution = str(told.get("redistribution")).replace("_", " ")
    return f"{told.get('name')}: {told.get('title')}; {told['licence']}; redistribution {redistribution}"
