"""How well a cell's stain betrays which source it comes from.

Where each class comes from its own laboratory, a network can learn the camera instead of the cell. So a simple
classifier, linear discriminants on what is known of the densities of a cell within its mask, guesses the source of
cells of one class; a group is never divided between what it learns from and what it is asked. Its balanced accuracy is
to be near chance. Matching sees all cells, so a small class can come out below chance: what is left of its parts
differs the other way round. Colour can be matched, sharpness can not: texture is a set of features of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import below, stream
from smearsynth.recipe.look_options import LookSpec
from smearsynth.rendering.optical_density import DENSITY
from smearsynth.rendering.stain_matching import matched_cells
from smearsynth.scene.warp import INSIDE
from smearsynth.taxonomy import CLASSES

Floats = npt.NDArray[np.float64]
Features = Callable[[Floats, npt.NDArray[np.bool_]], Floats]

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_FOLDS = 5
_FEWEST = 10
"""Groups of a class that a source needs: two for each fold."""
_MOST = 1000
"""Cells of a class that are taken of one source, evenly from all."""
_SHRINKAGE = 0.1
"""Share of the mean variance in the covariance within sources."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """How often the source of a cell of one class is guessed, mean over sources.

    sources, cells: names and numbers of the cells that were looked at. own: by the cells' own stain against their
    glass, per set of FEATURES. matched: as the natural look paints them. Both and chance: 0-1.
    """

    class_key: str
    sources: tuple[str, ...]
    cells: tuple[int, ...]
    chance: float
    own: dict[str, float]
    matched: dict[str, float]


def leakage(bank: Bank, look: LookSpec | None = None) -> list[Leak]:
    """One for every class of which two sources or more have enough cells. look: a natural one, default as it is."""
    look = look or LookSpec(name="natural")
    shares = (round(share * ONE) for share in (look.white_cell_own_share, look.red_cell_own_share))
    pixels = matched_cells(bank, *shares).cells.pixels.view(np.uint8).reshape(-1, 4)
    return [found for cls in CLASSES[1:] if (found := _leak(bank, pixels, cls.id))]


def leakage_text(leaks: list[Leak]) -> str:
    """A table for a person; cells as they are, then matched."""
    lines = [f"{'class':<16}{'chance':>7}" + "".join(f"{name:>16}" for name in FEATURES)]
    for leak in leaks:
        pairs = (f"{leak.own[name]:.2f} -> {leak.matched[name]:.2f}" for name in FEATURES)
        lines.append(f"{leak.class_key:<16}{leak.chance:>7.2f}" + "".join(f"{pair:>16}" for pair in pairs))
    return "\n".join(lines)


def balanced_accuracy(features: Floats, source: npt.NDArray[np.integer], groups: npt.NDArray[np.integer]) -> float:
    """Mean share of each source's cells that are guessed, 0-1, cross-validated.

    features: f8 (n, k). source, groups: (n,); a group is guessed from others alone.
    """
    fold = _folds(source, groups)
    guessed = np.empty_like(source)
    for k in range(_FOLDS):
        train, asked = fold != k, fold == k
        if asked.any():
            guessed[asked] = _guess(features[train], source[train], features[asked])
    return float(np.mean([np.mean(guessed[source == s] == s) for s in np.unique(source)]))


def _leak(bank: Bank, pixels: npt.NDArray[np.uint8], class_id: int) -> Leak | None:
    of_class = bank.class_id == class_id
    names = np.unique(bank.groups, return_inverse=True)[1]
    kept = [s for s in range(len(bank.sources)) if len(np.unique(names[of_class & (bank.source == s)])) >= _FEWEST]
    if len(kept) < 2:
        return None
    rows = np.sort(np.concatenate([_evenly(np.flatnonzero(of_class & (bank.source == s))) for s in kept]))
    source, groups = bank.source[rows].astype(np.int64), names[rows]

    def accuracies(of: Bank, on_clear_glass: bool) -> dict[str, float]:
        cells = [_density(of, int(i), on_clear_glass) for i in rows]
        return {
            name: balanced_accuracy(np.array([features(*cell) for cell in cells]), source, groups)
            for name, features in FEATURES.items()
        }

    return Leak(
        class_key=CLASSES[class_id].key,
        sources=tuple(bank.sources[s] for s in kept),
        cells=tuple(int((source == s).sum()) for s in kept),
        chance=1 / len(kept),
        own=accuracies(bank, False),
        matched=accuracies(replace(bank, pixels=pixels), True),
    )


def _evenly(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), _MOST)).astype(int)]


def _density(bank: Bank, i: int, on_clear_glass: bool) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """float64 (h, w, 3), in 1/1024 of a halving, and bool (h, w), the mask."""
    cell = bank.rgba(i)
    ground = 0 if on_clear_glass else DENSITY[bank.glass[i]]
    return (DENSITY[cell[..., :3]] - ground).astype(np.float64), cell[..., 3] >= INSIDE


def _summary(values: Floats) -> Floats:
    return np.concatenate([values.mean(0), values.std(0), *np.quantile(values, _QUANTILES, axis=0)])


def _colour(density: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """Mean, standard deviation and quantiles of each channel."""
    return _summary(density[mask])


def _hue(density: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """The same of red and blue against green, beside them: what ties the channels of a pixel together."""
    inside = density[mask]
    return _summary(np.hstack([inside, inside[:, [0, 2]] - inside[:, [1]]]))


def _texture(density: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """Mean difference of pixels 1, 2 and 4 apart within the mask, in standard deviations: sharpness without colour."""
    spread = density[mask].std(0) + 1
    steps = []
    for apart in (1, 2, 4):
        inside = mask[:, apart:] & mask[:, :-apart]
        steps.append(np.abs(density[:, apart:] - density[:, :-apart])[inside].sum(0) / max(inside.sum(), 1) / spread)
    return np.concatenate(steps)


FEATURES: dict[str, Features] = {"colour": _colour, "hue": _hue, "texture": _texture}
"""Sets of features, each of a density, float64 (h, w, 3), and a mask, bool (h, w)."""


def _folds(source: npt.NDArray[np.integer], groups: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """The fold of each cell: groups of a source in turn, in an order drawn once for all."""
    fold = np.full(int(groups.max()) + 1, -1, np.int64)
    state = stream(0, "train", 0, "folds of the leakage")
    for s in np.unique(source):
        own = [g for g in np.unique(groups[source == s]).tolist() if fold[g] < 0]
        for turn in range(len(own)):
            fold[own.pop(int(below(state, len(own))))] = turn % _FOLDS
    return fold[groups]


def _guess(known: Floats, source: npt.NDArray[np.integer], asked: Floats) -> npt.NDArray[np.integer]:
    """Linear discriminants of equal priors, with a shrunk covariance (Friedman 1989)."""
    names = np.unique(source)
    middle, spread = known.mean(0), known.std(0) + 1e-9
    known, asked = (known - middle) / spread, (asked - middle) / spread
    centres = np.array([known[source == s].mean(0) for s in names])
    covariance = np.mean([np.cov(known[source == s].T, bias=True) for s in names], axis=0)
    covariance *= 1 - _SHRINKAGE
    covariance += _SHRINKAGE * np.eye(len(covariance)) * max(np.trace(covariance) / len(covariance), 1e-9)
    weights = np.linalg.solve(covariance, centres.T)
    guessed: npt.NDArray[np.integer] = names[np.argmax(asked @ weights - 0.5 * (centres.T * weights).sum(0), axis=1)]
    return guessed
