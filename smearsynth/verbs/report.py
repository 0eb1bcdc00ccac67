"""A dataset on one HTML page."""

from pathlib import Path

from smearsynth.dataset import layout
from smearsynth.dataset.drawn_from import bank_of
from smearsynth.dataset.index import read_index
from smearsynth.dataset.report.page import Told, write_report
from smearsynth.dataset.stats.figures import measure
from smearsynth.recipe import read_resolved


def report(path: str | Path, *, out: str | Path | None = None, progress: bool = True) -> Path:
    """Writes the page and gives its path: `out`, else NAME-report.html in the working directory.

    The page needs no other file and no network. Without cells.h5 it shows no gallery, and says so. progress: a bar on
    stderr where that is a terminal. Raises UserError: no dataset, a damaged part of it, an index that its shards
    contradict.
    """
    folder = Path(path)
    page = Path(out) if out is not None else Path(f"{folder.resolve().name}-report.html")
    layout.check_outside(page)
    measured = measure(folder, progress=progress)
    told = Told(
        index=read_index(folder),
        recipe=read_resolved(folder / layout.RECIPE),
        resolved=(folder / layout.RECIPE).read_text(encoding="utf-8"),
        bank=bank_of(folder, measured.stated),
    )
    write_report(page, measured, told)
    return page
