"""The bank that a set was drawn from."""

from pathlib import Path

from smearsynth.cells import bank as banks
from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout
from smearsynth.dataset.verify.stated import Stated
from smearsynth.errors import UserError


def bank_of(folder: Path, stated: Stated, given: Path | None = None) -> Bank | None:
    """The bank in the file `given`, else the set's own; None where the set was handed on without it.

    Raises UserError for a file that is no bank, or that of another set.
    """
    file = given or folder / layout.BANK
    if given is None and not file.is_file():
        return None
    bank = banks.load(file)
    if bank.digest != stated.bank_digest:
        raise UserError(f"{file} is not the bank that {folder} was drawn from.")
    return bank
