"""Faults of a document: where each one is, which key it is about, and in one sentence what is wrong and what mends it.

A document's faults are collected and told together, so that nobody has to run a command five times to find five typos.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from smearsynth.errors import UserError, printable

Key = tuple[str | int, ...]
"""Path to a value of the document: ("sources", 1, "root")."""


def dotted(key: Key) -> str:
    """A key path as it is written in an override: sources[1].root."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


def nearest_place(places: Mapping[Key, str], key: Key) -> str:
    """Where `key` was written; for a key that was not, where the nearest one around it was. places: () is in it."""
    return next(places[key[:n]] for n in range(len(key), -1, -1) if key[:n] in places)


@dataclass(frozen=True)
class Fault:
    """where: "recipe.yaml:12", or the override that brought the value in. key: () for the document as a whole."""

    where: str
    key: Key
    sentence: str

    def __str__(self) -> str:
        return printable(": ".join(part for part in (self.where, dotted(self.key), self.sentence) if part))


class DocumentError(UserError):
    """All faults of a document; its text has one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)
