"""Infected and healthy red cells that no source has: parasites laid into the healthy cells of every laboratory.

A network that sees infected cells of one laboratory and healthy ones of others learns the laboratory. So parasites of
the sources that have infected cells are laid into healthy cells of all sources of the same split, later stages are
drawn into such cells, infected cells are healed, and what only looks like a parasite lies on cells of both classes:
infected and healthy cells then have the same bodies. Where every parasite lies is known: from their making for
assembled cells, and by the density rule of `parasites` for those of a source; where that finds nothing it is unknown.

What is drawn comes from numpy's generator and floats, as cutting does: from one bank everything is equal anywhere, but
two versions of numpy or OpenCV may make two banks of one recipe. Two x86 processors do not, from AVX2 on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.bank.bank import MARGIN, Bank, Rgba, add_assembled
from smearsynth.bank.glass import Mask
from smearsynth.bank.look_alikes import crenate, draw_look_alike
from smearsynth.bank.outlines import grow
from smearsynth.bank.parasite_stages import SWELLING, Canvas, draw_stage, lay
from smearsynth.bank.parasites import (
    LEAST_PEAK,
    NO,
    UNKNOWN,
    YES,
    CellDensity,
    Parasite,
    ParasiteMap,
    ReadCell,
    colour_of,
    density_of,
    healed_density,
    read_parasites,
)
from smearsynth.base import streams
from smearsynth.base.workers import map_in_processes
from smearsynth.recipe.cell_options import GraftsSpec
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC, SPLITS

_TRIES = 12
"""Places tried for one parasite."""
_STRENGTH = 0.55, 1.4
"""Factor on the density of a parasite that is laid."""
_PLAIN = 1.5
"""Least peak of what is laid over that of a donor: its colour varies, too, and must stay plain."""
_TWO = 0.3
"""Share of the infected cells that hold two."""
_CRENATED, _CRENATED_INFECTED = 0.3, 0.1
"""Shares of the healthy cells with a look-alike, and of those with a ring, that are made burr cells."""
_AT_RIM = 0.3
"""Share of the rings that lie on the rim of their cell (applique forms), half outside its inner part."""
_INSIDE, _INSIDE_AT_RIM = 0.8, 0.45
"""Least share of a parasite's pixels that must lie inside the cell, and at its rim."""


@dataclass(frozen=True, kw_only=True)
class _Donor:
    """A parasite and the row of the cell that it was read from."""

    row: int
    parasite: Parasite


@dataclass(frozen=True, kw_only=True)
class _Assembled:
    """A cell to be appended. parts: rows, the host first. assembly: see `Bank`."""

    rgba: Rgba
    parasite: ParasiteMap
    parts: tuple[int, ...]
    class_id: int
    assembly: str


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A cell to make: infected, look-alike or healed. row: of the host. number: how often it was taken before."""

    kind: str
    row: int
    number: int = 0


def with_grafts(bank: Bank, spec: GraftsSpec, seed: int, *, workers: int = 1, bar: str | None = None) -> Bank:
    """The bank with parasite maps, and with assembled red cells appended in every split: infected cells, look-alikes,
    healed cells. The same for any number of workers. bar: see `map_in_processes`.

    A host is a healthy cell in which the density rule finds nothing: a platelet on it or a stain grain would be taken
    for a parasite; nor may it find anything in a healed one. A split without a parasite to lay gets no infected cells.
    What is drawn follows from `seed` and the bank.
    """
    masks = np.zeros(len(bank.pixels), np.uint8)
    donors: list[list[_Donor]] = [[] for _ in SPLITS]
    hosts: list[list[int]] = [[] for _ in SPLITS]
    read_whole: list[list[int]] = [[] for _ in SPLITS]
    rows = np.flatnonzero(np.isin(bank.class_id, (INFECTED_RBC, HEALTHY_RBC))).tolist()
    for row, read in zip(rows, map_in_processes(partial(_read, bank), rows, workers=workers), strict=True):
        split = int(bank.split[row])
        if bank.class_id[row] == HEALTHY_RBC:
            hosts[split] += [row] if read.is_clean else []
            continue
        start, known = int(bank.offset[row]), read.whole and read.mask.any()
        marked = read.mask.astype(np.uint8) if known else UNKNOWN * (bank.rgba(row)[..., 3] >= 128)
        masks[start : start + marked.size] = marked.ravel()
        donors[split] += [_Donor(row=row, parasite=parasite) for parasite in read.parasites]
        read_whole[split] += [row] if known else []
    bank = replace(bank, parasite=masks, assembly=("",) * len(bank))
    jobs = [job for of_split in zip(hosts, donors, read_whole, strict=True) for job in _jobs(bank, spec, *of_split)]
    made = map_in_processes(partial(_made, bank, spec, seed, donors), jobs, workers=workers, bar=bar, unit="cells")
    new = [cell for cell in made if cell is not None]
    return add_assembled(
        bank,
        [cell.rgba for cell in new],
        [cell.parts for cell in new],
        np.array([cell.class_id for cell in new], np.uint8),
        parasite=[cell.parasite for cell in new],
        assembly=[cell.assembly for cell in new],
    )


def _read(bank: Bank, row: int) -> ReadCell:
    return read_parasites(density_of(bank, row), bank.rgba(row)[..., 3] >= 128)


def _jobs(bank: Bank, spec: GraftsSpec, hosts: list[int], donors: list[_Donor], infected: list[int]) -> Iterator[_Job]:
    """Of one split. infected: rows of cells whose parasites are all known."""
    for row, number in _turns(bank, hosts, spec.infected_per_host if donors else 0):
        yield _Job(kind="infected", row=row, number=number)
    for row, number in _turns(bank, hosts, spec.look_alikes_per_host):
        yield _Job(kind="look-alike", row=row, number=number)
    if spec.healed:
        yield from (_Job(kind="healed", row=row) for row in infected)


def _made(bank: Bank, spec: GraftsSpec, seed: int, donors: list[list[_Donor]], job: _Job) -> _Assembled | None:
    """The cell, None where its host has no place for it or the rule still fires in it."""
    row = job.row
    if job.kind == "healed":
        return _healed(bank, row)
    key = streams.key(seed, "graft", job.kind, bank.groups[row], bank.sha256[row], row, job.number)
    rng = np.random.default_rng(key)
    if job.kind == "infected":
        return _infected(bank, row, donors[int(bank.split[row])], spec, rng)
    return _look_alike(bank, row, rng)


def _healed(bank: Bank, row: int) -> _Assembled | None:
    inside = bank.rgba(row)[..., 3] >= 128
    density = density_of(bank, row)
    density = healed_density(density, inside, read_parasites(density, inside).mask)
    if not read_parasites(density, inside).is_clean:
        return None
    return _assembled(bank, row, bank.rgba(row), Canvas.of(density, inside), HEALTHY_RBC, (row,), "healed")


def _look_alike(bank: Bank, row: int, rng: np.random.Generator) -> _Assembled:
    rgba, density, kinds = bank.rgba(row), density_of(bank, row), []
    if rng.random() < _CRENATED:
        rgba, density = crenate(rgba, density, rng)
        kinds.append("burr cell")
    canvas = Canvas.of(density, rgba[..., 3] >= 128)
    kinds += [draw_look_alike(canvas, rng) for _ in range(rng.integers(not kinds, 3))]
    return _assembled(bank, row, rgba, canvas, HEALTHY_RBC, (row,), " + ".join(kinds))


def _turns(bank: Bank, hosts: list[int], per_host: float) -> Iterator[tuple[int, int]]:
    """Rows of hosts and how often each was taken before, evenly from all of a source: `per_host` times their number."""
    for source in range(len(bank.sources)):
        rows = [row for row in hosts if bank.source[row] == source]
        wanted = round(per_host * len(rows))
        for turn in range(0, wanted, max(len(rows), 1)):
            taken = min(len(rows), wanted - turn)
            for k in range(taken):
                yield rows[k * len(rows) // taken], turn // len(rows)


def _infected(
    bank: Bank, row: int, donors: list[_Donor], spec: GraftsSpec, rng: np.random.Generator
) -> _Assembled | None:
    """A host with a stage drawn in or with one or two rings laid in; None where no place for a ring is found."""
    rgba, density = bank.rgba(row), density_of(bank, row)
    staged, names = rng.random() < spec.stages, []
    if staged:
        rgba, density = _swollen(rgba, density, rng)
    elif rng.random() < _CRENATED_INFECTED:
        rgba, density = crenate(rgba, density, rng)
        names.append("burr cell")
    canvas = Canvas.of(density, rgba[..., 3] >= 128)
    if rng.random() < spec.look_alikes:
        names.append(draw_look_alike(canvas, rng))
    stage, ring = draw_stage(canvas, [d.parasite for d in donors], rng) if staged else ("", None)
    parts = [row]
    if stage:
        names.append(stage)
        parts += [] if ring is None else [donors[ring].row]
    else:
        laid = [_lay_ring(canvas, rgba[..., 3] >= 128, donors, rng) for _ in range(1 + (rng.random() < _TWO))]
        rings = [ring for ring in laid if ring is not None]
        if not rings:
            return None
        parts += [donor for donor, _ in rings]
        names += [record for _, record in rings]
    canvas.parasite *= np.exp(rng.normal(0, 0.2, 3))
    return _assembled(bank, row, rgba, canvas, INFECTED_RBC, tuple(parts), " + ".join(names))


def _swollen(rgba: Rgba, density: CellDensity, rng: np.random.Generator) -> tuple[Rgba, CellDensity]:
    """A cell enlarged as P. vivax swells it."""
    factor = rng.uniform(*SWELLING)
    inner = np.s_[MARGIN:-MARGIN, MARGIN:-MARGIN]
    h, w = rgba[inner].shape[:2]
    size = (round(w * factor), round(h * factor))
    rgba = cv2.copyMakeBorder(cv2.resize(rgba[inner], size), *(MARGIN,) * 4, cv2.BORDER_REPLICATE)
    density = cv2.copyMakeBorder(_resized(density[inner], *size[::-1]), *(MARGIN,) * 4, cv2.BORDER_REPLICATE)
    frame = np.zeros(rgba.shape[:2], bool)
    frame[inner] = True
    rgba[..., 3] *= frame
    return rgba, density


def _lay_ring(canvas: Canvas, cell: Mask, donors: list[_Donor], rng: np.random.Generator) -> tuple[int, str] | None:
    """Lays a donor's parasite into the canvas; the donor's row and a record of it, None where no place was found."""
    at_rim = rng.random() < _AT_RIM
    inner = grow(cell, -3)
    ground = cell & ~inner if at_rim else inner
    ys, xs = np.nonzero(ground)
    enlarged = float(np.exp(rng.normal(0, 0.15)))
    for _ in range(_TRIES if len(ys) else 0):
        donor = donors[rng.integers(len(donors))]
        turn, k = int(rng.integers(8)), int(rng.integers(len(ys)))
        parasite = _turned(donor.parasite, turn, enlarged)
        y, x = int(ys[k]), int(xs[k])
        here, there = canvas.windows(parasite, y, x)
        inside = (parasite.mask[there] & (cell if at_rim else inner)[here]).sum() / max(parasite.mask.sum(), 1)
        if inside >= (_INSIDE_AT_RIM if at_rim else _INSIDE):
            peak = float(parasite.density[..., 1].max())
            strength = max(rng.uniform(*_STRENGTH), _PLAIN * LEAST_PEAK / max(peak, 1e-6))
            lay(canvas, parasite, y, x, strength)
            return donor.row, f"ring at {x},{y} turn {turn} size {enlarged:.2f} strength {strength:.2f}"
    return None


def _turned(parasite: Parasite, turn: int, enlarged: float) -> Parasite:
    """In one of the eight orientations, and enlarged. turn: 0-7, from 4 on mirrored."""
    h, w = (max(4, round(side * enlarged)) for side in np.rot90(parasite.mask, turn % 4).shape)
    density, mask = (np.rot90(a, turn % 4) for a in (parasite.density, parasite.mask.astype(np.float64)))
    if turn >= 4:
        density, mask = density[:, ::-1], mask[:, ::-1]
    density, mask = (_resized(a, h, w) for a in (density, mask))
    # Just below half, which is met exactly, and not by every processor.
    return Parasite(density, mask > 0.499)


def _resized(array: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """(h, w) or (h, w, 3) between its pixels, linearly. OpenCV is no better than single precision here."""
    factors = (height / array.shape[0], width / array.shape[1], 1)[: array.ndim]
    found: npt.NDArray[np.float64] = ndimage.zoom(array, factors, order=1, mode="nearest", grid_mode=True)
    return found


def _assembled(
    bank: Bank, row: int, rgba: Rgba, canvas: Canvas, class_id: int, parts: tuple[int, ...], assembly: str
) -> _Assembled:
    """What the canvas shows, on the glass of its host."""
    colour = colour_of(canvas.body + canvas.parasite, bank.glass[row])
    parasite = np.where(canvas.mask & (rgba[..., 3] >= 128), YES, NO).astype(np.uint8)
    return _Assembled(
        rgba=np.dstack([colour, rgba[..., 3]]), parasite=parasite, parts=parts, class_id=class_id, assembly=assembly
    )
