"""The verb `fidelity`: both sets measured in one pass, compared, and shown."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from smearsynth.dataset import layout
from smearsynth.fidelity.crops import Reals, take_reals
from smearsynth.fidelity.measures import QUANTITIES, Row, compare, measure
from smearsynth.fidelity.page import Both, write_fidelity
from smearsynth.fidelity.shown import EvenlyKept, same_size
from smearsynth.fidelity.smears import Smears, take_smears
from smearsynth.fidelity.table import differs_most, lines
from smearsynth.fidelity.tally import GROUPS, Tally
from smearsynth.images import Pixels

SHOWN = 24
"""Smears, and as many real crops, on the page."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """smears: how many were measured, of `look`. images, crops: real ones. um_per_px: smallest, median and largest of
    the real images. masks: whether cells are told by masks and labels, or on both sides by Otsu's threshold."""

    dataset: str
    against: str
    look: str
    smears: int
    images: int
    crops: int
    um_per_px: tuple[float, float, float]
    masks: bool
    rows: list[Row]
    page: str | None

    def figures(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def fidelity(
    dataset: str | Path,
    against: str | Path,
    *,
    um_per_px: str | float = "auto",
    look: str | None = None,
    samples: int = 200,
    out: str | Path | None = None,
    progress: bool = True,
) -> Fidelity:
    """How far the smears of a dataset are from real fields at 0.20 um/px.

    against: a folder with img/ and mask/, or any folder of images. um_per_px: of the real images, a number, a table's
    path, or "auto" (the median single red cell is 7.3 um). look: None is the first of the dataset. samples: at most so
    many smears, and so many real images, are measured, evenly taken from all. out: an HTML page to write. Raises
    UserError.
    """
    if out is not None:
        layout.check_outside(Path(out))
    smears = take_smears(Path(dataset), look, samples)
    reals = take_reals(Path(against), str(um_per_px), samples, progress=progress)
    ours, our_pictures = _measure_smears(smears, by_label=reals.masked, progress=progress)
    theirs, their_pictures, crops = _measure_reals(reals, smears.size, progress=progress)
    scales = np.percentile(reals.um_per_px, (0, 50, 100)).tolist()
    result = Fidelity(
        dataset=str(dataset),
        against=str(against),
        look=smears.look,
        smears=len(smears),
        images=len(reals),
        crops=crops,
        um_per_px=(scales[0], scales[1], scales[2]),
        masks=reals.masked,
        rows=compare(ours, theirs),
        page=str(out) if out is not None else None,
    )
    if out is not None:
        write_fidelity(
            Path(out), result.figures(), result.rows, Both(ours, theirs), same_size(our_pictures, their_pictures)
        )
    return result


def _measure_smears(smears: Smears, *, by_label: bool, progress: bool) -> tuple[Tally, list[Pixels]]:
    tally, kept = Tally(QUANTITIES, 1), EvenlyKept[Pixels](SHOWN)
    bar = tqdm(smears.views(by_label=by_label), "smears", len(smears), leave=False, disable=None if progress else True)
    for view in bar:
        tally.add(measure(view), 0)
        kept.offer(view.image)
    return tally, kept.chosen()


def _measure_reals(reals: Reals, size: tuple[int, int], *, progress: bool) -> tuple[Tally, list[Pixels], int]:
    tally, kept, crops = Tally(QUANTITIES, min(GROUPS, len(reals))), EvenlyKept[Pixels](SHOWN), 0
    bar = tqdm(reals.views(size), "real fields", len(reals), leave=False, disable=None if progress else True)
    for views in bar:
        for view in views:
            tally.add(measure(view), view.origin % tally.groups)
            kept.offer(view.image)
            crops += 1
    return tally, kept.chosen(), crops


def as_text(found: Fidelity) -> str:
    """The table for a person, and what differs most."""
    return "\n".join([*lines(found.rows), "", differs_most(found.rows)])
