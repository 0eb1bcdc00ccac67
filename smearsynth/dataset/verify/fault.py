"""A fault of a dataset: where it is, and what is wrong in a sentence."""

from dataclasses import dataclass

from smearsynth.errors import printable


@dataclass(frozen=True)
class Fault:
    """file: relative to the dataset. sample: its id, "" where the fault is about the file."""

    file: str
    what: str
    sample: str = ""

    def __str__(self) -> str:
        return printable(": ".join(part for part in (self.file, self.sample, self.what) if part))
