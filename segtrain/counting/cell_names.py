"""By what each cell of a field is named: the evidence of its pixels, what a second network sees in its crop, or both,
and of a red cell also how much of it is marked as parasite.

Networks that were trained apart err apart. With those of the package, of white cells of two laboratories that gave
none to the training, laid into smears, the crop names .67 and .65 (balanced), the pixels .86 and .82, both .83 and .78;
on the fields of a third laboratory .95, .69 and .83. Of the infected red cells of IML, at the odds where 1 % of
Bio-net's healthy ones are called infected, the crop alone finds .36, with the pixels .57, and with the parasite .82; in
smears of patients that gave no cell, at 2 % false alarms, .45, .62 and .63.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.watershed_split import Labels
from segtrain.data.cell_crops import crop_at
from segtrain.inference.field_prediction import LEAST
from segtrain.inference.ready_networks import VIEWS, Networks
from smearsynth.base.images import Pixels
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, IGNORE, INFECTED_RBC

Logarithms = npt.NDArray[np.float64]
"""float64 (n, classes): of the probabilities by which each of n cells is named."""
Names = Callable[[Labels, int], Logarithms]
"""A map of n cells, int32 (H, W), and n, to their names."""
_OF_FIELD = 0.3
"""Weight of what is seen in the field; the rest is the crop's. On three laboratories together 0.2 to 0.4 do as well:
with more, white cells of left-out laboratories in smears are named better, and those of real fields worse."""
_OF_PARASITE, _TRACE, _ENOUGH = 0.5, 0.05, 4.0
"""Weight of the logarithm of the parasite's area; um2 that are added to each area, for most cells have none; and from
which on more says nothing: of burr cells that lie thick and dark all may be marked, and where no more are called
infected in smears, 9 of BBBC041's 329 healthy cells were without this bound, and 3 with it. Weights of 0.35 to 0.7 and
bounds of 2 to 4 do as well."""
_SURE = 0.5
"""Probability below which no name is given: of white cells of three laboratories that gave none to the training, 54 of
1,007 have less, and 32 of these would be named wrongly; of 7,300 red cells 9 have less."""
_GLANCES, _PLAIN = (0, 5), 0.8
"""Views by which each cell is named first, of which one is no turn of the other, and the probability of a healthy red
cell in both from which these two are enough: by the crop alone, all eight named 2,383 cells of 26 fields the same."""


@dataclass(frozen=True)
class CellNames:
    """Of n cells: ids int64 (n,), of their classes, or `IGNORE` where none is likely enough; confidence float64 (n,), 0
    to 1; infected_odds float64 (n,), the log-odds of red cells, nan of others and where none are known."""

    ids: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    infected_odds: npt.NDArray[np.float64]


def red_ids(keys: Sequence[str]) -> tuple[int, int] | None:
    """Those of infected and healthy red cells, None where a network does not tell them apart."""
    infected, healthy = CLASSES[INFECTED_RBC].key, CLASSES[HEALTHY_RBC].key
    return (keys.index(infected), keys.index(healthy)) if {infected, healthy} <= set(keys) else None


def mean_evidence(evidence: npt.NDArray[np.floating[Any]], cells: Labels, count: int) -> Logarithms:
    """The mean over each cell of `evidence`, (classes, H, W)."""
    number = cells.ravel()
    area = np.bincount(number, minlength=count + 1)[1:]
    sums = [np.bincount(number, plane.ravel(), minlength=count + 1)[1:] for plane in evidence]
    return np.stack(sums, axis=1) / area[:, None]


def by_both(field: Logarithms, crop: Logarithms) -> Logarithms:
    """The mean, by `_OF_FIELD`, of what is seen of each cell in the field and in its crop, each of them normalised over
    all classes but the background."""
    field, crop = (seen - np.logaddexp.reduce(seen[:, 1:], axis=1)[:, None] for seen in (field, crop))
    return _OF_FIELD * field + (1 - _OF_FIELD) * crop


def infected_odds(
    named: Logarithms, red: tuple[int, int], parasite_um2: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.float64]:
    """float64 (n,): log-odds of infected against healthy of each cell, by its name and by the parasite in it.

    named: by what it is named. red: of `red_ids`. parasite_um2: float64 (n,), the area that is marked as parasite in
    it, None where no network marks it.
    """
    odds = named[:, red[0]] - named[:, red[1]]
    if parasite_um2 is None:
        return odds
    return odds + _OF_PARASITE * np.log(np.minimum(parasite_um2, _ENOUGH) + _TRACE)


def decided(
    named: Logarithms,
    red: tuple[int, int] | None,
    parasite_um2: npt.NDArray[np.float64] | None,
    threshold: float,
) -> CellNames:
    """The class of each cell and how sure it is beside all other classes of cells. A red cell is one that is rather one
    of the two than any other, infected as its odds are above the threshold or not. A cell to whose class less than a
    half is given, of a red cell to both together, has none. Other arguments as of `infected_odds`."""
    odds = np.full(len(named), np.nan)
    ids, given = 1 + named[:, 1:].argmax(axis=1), named[:, 1:].max(axis=1)
    of_name = given
    if red is not None:
        both, other = np.logaddexp(*named[:, red].T), np.delete(named, [0, *red], axis=1)
        known = infected_odds(named, red, parasite_um2)
        is_red, infected = both > other.max(axis=1, initial=-np.inf), known > threshold
        ids = np.where(is_red, np.where(infected, *red), ids)
        given = np.where(is_red, both, given)
        of_name = np.where(is_red, both - np.logaddexp(0, np.where(infected, -known, known)), given)
        odds = np.where(is_red, known, np.nan)
    total = np.logaddexp.reduce(named[:, 1:], axis=1)
    unsure = given - total < np.log(_SURE)
    return CellNames(np.where(unsure, IGNORE, ids), np.exp(of_name - total), np.where(unsure, np.nan, odds))


def name_crops(namer: Networks, pixels: Pixels, cells: Labels, count: int) -> Logarithms:
    """Each cell named on a crop of its own.

    A cell has no upright: all eight views of it found .93 of IML's infected cells at 1 % false alarms, and one .85. But
    most cells of blood are healthy red cells, and most of these are plainly so: where `_GLANCES` agree on that, the
    other views are spared.

    pixels: uint8 (H, W, 3) RGB at the scale of `namer`. cells: int32 (H, W), 0 = no cell, else 1 to `count`.
    """
    assert namer.crop is not None, "it names single cells"
    side = namer.crop
    corners = [
        ((columns.start + columns.stop) // 2 - side // 2, (rows.start + rows.stop) // 2 - side // 2)
        for rows, columns in ndimage.find_objects(cells, count)
    ]

    red, mean = red_ids(namer.classes.keys), np.zeros((count, len(namer.classes)))
    others = [view for view in range(VIEWS) if view not in _GLANCES]
    for first in range(0, count, namer.batch):
        batch = corners[first : first + namer.batch]
        crops = np.stack([crop_at(pixels, left, top, side) for left, top in batch])
        glances = np.stack([namer(crops, (view,))[:, :, 0, 0] for view in _GLANCES])
        seen = glances.mean(axis=0)
        plain = (glances[:, :, red[1]] >= _PLAIN).all(axis=0) if red else np.zeros(len(batch), bool)
        if not plain.all():
            more = namer(crops[~plain], others)[:, :, 0, 0]
            seen[~plain] = (len(_GLANCES) * seen[~plain] + len(others) * more) / VIEWS
        mean[first : first + len(batch)] = seen
    return np.log(np.maximum(mean, LEAST))
