"""The bank that a set was drawn from: its own cells.h5, or a file that is given in its place."""

from pathlib import Path

from smearsynth.cells import bank as banks
from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout
from smearsynth.dataset.verify.contained import Died, Tick, in_order
from smearsynth.dataset.verify.fault import Fault
from smearsynth.dataset.verify.stated import Stated
from smearsynth.errors import UserError


def read_bank(out: Path, stated: Stated, given: Path | None) -> tuple[Bank | None, list[Fault]]:
    """The bank, None where there is none that can be used, and what is wrong with the set's own.

    Raises UserError where the `given` one cannot be read or is not the one that the set was drawn from.
    """
    faults, bank = [], None
    if layout.is_own_file(out, layout.BANK):
        bank, what = _load(out / layout.BANK, stated)
        faults = [Fault(layout.BANK, what)] if what else []
    if given is not None:
        bank, what = _load(given, stated)
        if what:
            raise UserError(f"{given}: {what}")
    return bank, faults


def _load(path: Path, stated: Stated) -> tuple[Bank | None, str]:
    """The bank in a file, or what is wrong with it. It is tried in another process before this one opens it."""
    [told] = in_order(_try, [path], workers=1, tick=lambda _: None)
    if isinstance(told, Died):
        told = f"cannot be read as a bank: {told.how}"
    if told:
        return None, told
    bank = banks.load(path)
    if bank.digest != stated.bank_digest:
        return None, f"its digest is {bank.digest}, and the set was drawn from {stated.bank_digest}: another bank"
    return bank, ""


def _try(path: Path, tick: Tick) -> str:
    """What is wrong with a bank, "" where it can be loaded."""
    tick(0)
    try:
        banks.load(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""
