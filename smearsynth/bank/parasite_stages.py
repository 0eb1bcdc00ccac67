"""Parasites past the ring, drawn into a red cell: trophozoites, schizonts and gametocytes of P. vivax.

The donors that are to be had hold rings of P. falciparum; elsewhere parasites fill their cell. P. vivax swells its cell
and eats its haemoglobin, so the body turns pale, stippled and vacuolated; its trophozoite is amoeboid, its schizont
holds 6 to 24 grains of chromatin, its gametocyte fills the cell with grains of pigment (WHO, Basic malaria microscopy,
2010). Drawn in optical density, in the measured colours of cytoplasm and chromatin and in variants of them, for every
laboratory stains them its own way: what is learned must not be one colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.glass import Mask
from smearsynth.bank.outlines import Window, box_window, grow
from smearsynth.bank.parasites import CellDensity, Parasite

STAGES = ("trophozoite", "schizont", "gametocyte")
_SHARES = (0.35, 0.2, 0.45)
SWELLING = 1.0, 1.35
"""Of the cell's sides."""
_CHROMATIN = np.array((0.30, 0.75, 0.25))
"""Density of red, green and blue, as all below."""
_CYTOPLASM = np.array(
    ((0.05, 0.16, 0.03), (0.02, 0.20, 0.08), (0.14, 0.13, 0.02), (0.10, 0.20, 0.02), (0.03, 0.12, 0.10))
)
_PIGMENT = np.array(((0.20, 0.35, 0.60), (0.45, 0.50, 0.55), (0.10, 0.25, 0.50), (0.35, 0.35, 0.30)))
_LEAST_PIXELS = 250
"""Inside a cell, below which no stage is drawn into it."""


@dataclass(eq=False)
class Canvas:
    """A cell that is drawn into, all (h, w) at 40x.

    body: (h, w, 3), density of the cell itself. parasite: (h, w, 3), what is added to it. mask: bool, where the
    parasite lies. inside: bool, the cell without its rim; soft: float64, the same with soft edges. cy, cx, radius:
    centre and size of `inside`, px.
    """

    body: CellDensity
    parasite: CellDensity
    mask: Mask
    inside: Mask
    soft: npt.NDArray[np.float64]
    cy: float
    cx: float
    radius: float

    @classmethod
    def of(cls, body: CellDensity, cell: Mask) -> "Canvas":
        """cell: bool (h, w), the pixels inside the contour."""
        inside = grow(cell, -2)
        ys, xs = np.nonzero(inside)
        return cls(
            body=body.copy(),
            parasite=np.zeros_like(body),
            mask=np.zeros_like(cell),
            inside=inside,
            soft=cv2.GaussianBlur(inside.astype(np.float64), (0, 0), 1.2),
            cy=float(ys.mean()) if len(ys) else 0.0,
            cx=float(xs.mean()) if len(xs) else 0.0,
            radius=float(np.sqrt(max(len(ys), 1) / np.pi)),
        )

    def windows(self, parasite: Parasite, y: int, x: int) -> tuple[Window, Window]:
        """Where a parasite whose middle comes to (y, x) lies: in the canvas, and which part of it."""
        (h, w), (rows, columns) = parasite.mask.shape, self.mask.shape
        top, left = y - h // 2, x - w // 2
        here = np.s_[max(top, 0) : min(top + h, rows), max(left, 0) : min(left + w, columns)]
        there = np.s_[here[0].start - top : here[0].stop - top, here[1].start - left : here[1].stop - left]
        return here, there

    def near(self, rng: np.random.Generator, spread: float) -> tuple[float, float]:
        """A point about the centre; spread: standard deviation in radii."""
        return self.cy + rng.normal(0, spread * self.radius), self.cx + rng.normal(0, spread * self.radius)

    def within(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """A point evenly within `reach` radii of the centre."""
        turn, far = rng.uniform(0, 2 * np.pi), reach * self.radius * np.sqrt(rng.uniform())
        return self.cy + far * np.sin(turn), self.cx + far * np.cos(turn)

    def dot(self, place: tuple[float, float], radius: float) -> tuple[Window, npt.NDArray[np.float64]]:
        """A `dot` as far as it lies in the cell, at (y, x)."""
        here, spot = dot(self.soft.shape, *place, radius)
        return here, spot * self.soft[here][..., None]


def draw_stage(canvas: Canvas, donors: Sequence[Parasite], rng: np.random.Generator) -> tuple[str, int | None]:
    """Draws a stage into the canvas; its name, "" where the cell is too small, and the number of the donor whose ring
    it holds. donors: real parasites, which give many a trophozoite its ring."""
    if int(canvas.inside.sum()) < _LEAST_PIXELS:
        return "", None
    stage = str(rng.choice(STAGES, p=_SHARES))
    cytoplasm = _varied(rng, _CYTOPLASM[rng.integers(len(_CYTOPLASM))], 0.25)
    chromatin = _varied(rng, _CHROMATIN, 0.25) * rng.uniform(0.5, 1.3)
    pigment = _varied(rng, _PIGMENT[rng.integers(len(_PIGMENT))], 0.2)
    _eat_body(canvas, cytoplasm, rng)
    name, ring = stage, None
    if stage == "trophozoite":
        _draw_trophozoite(canvas, cytoplasm, chromatin, pigment, rng)
        if donors and rng.random() < 0.4:
            ring, strength = int(rng.integers(len(donors))), rng.uniform(0.7, 1.4)
            y, x = (round(v) for v in canvas.near(rng, 0.3))
            lay(canvas, donors[ring], y, x, strength)
            name = f"{stage} with ring at {x},{y} strength {strength:.2f}"
    elif stage == "schizont":
        _draw_schizont(canvas, cytoplasm, chromatin, pigment, rng)
    else:
        _draw_gametocyte(canvas, cytoplasm, chromatin, pigment, rng)
    if rng.random() < 0.3:
        _draw_vacuole(canvas, rng)
    if rng.random() < 0.25:
        for _ in range(rng.integers(4, 20)):
            turn = rng.uniform(0, 2 * np.pi)
            y, x = canvas.cy + canvas.radius * np.sin(turn), canvas.cx + canvas.radius * np.cos(turn)
            here, spot = dot(canvas.soft.shape, y, x, rng.uniform(0.6, 1.2))
            canvas.parasite[here] += spot * chromatin * rng.uniform(0.2, 0.6)
    canvas.mask &= canvas.inside
    return name, ring


def lay(canvas: Canvas, parasite: Parasite, y: int, x: int, strength: float) -> None:
    """Adds a parasite whose middle comes to (y, x); what would lie outside the array is cut off."""
    here, there = canvas.windows(parasite, y, x)
    canvas.parasite[here] += parasite.density[there] * strength
    canvas.mask[here] |= parasite.mask[there]


def _eat_body(canvas: Canvas, cytoplasm: CellDensity, rng: np.random.Generator) -> None:
    """The haemoglobin that is left: paler, flatter, stippled, sometimes streaked."""
    soft = canvas.soft[..., None]
    flat = (
        cv2.GaussianBlur(canvas.body * soft, (0, 0), 5) / np.maximum(cv2.GaussianBlur(soft, (0, 0), 5), 0.05)[..., None]
    )
    mix, left = rng.uniform(0, 1), rng.uniform(0.4, 1.1)
    canvas.body = canvas.body * (1 - soft) + (canvas.body * (1 - mix) + flat * mix) * left * soft
    stippling = np.maximum(texture(rng, canvas.soft.shape, rng.uniform(0.7, 1.6)), 0) * rng.uniform(0, 0.7)
    canvas.parasite += (stippling * canvas.soft)[..., None] * cytoplasm


def _draw_cytoplasm(
    canvas: Canvas,
    place: tuple[float, float],
    radii: tuple[float, float],
    colour: CellDensity,
    grain: float,
    rng: np.random.Generator,
) -> None:
    """A patch of uneven cytoplasm. radii, grain: px."""
    shape = canvas.soft.shape
    patch = blob(shape, *place, *radii, rng, soft=rng.uniform(0.8, 2.5)) * canvas.soft
    uneven = np.maximum(1 + rng.uniform(0.2, 0.6) * texture(rng, shape, grain), 0)
    canvas.parasite += (patch * uneven)[..., None] * colour
    canvas.mask |= patch > 0.4


def _draw_trophozoite(
    canvas: Canvas,
    cytoplasm: CellDensity,
    chromatin: CellDensity,
    pigment: CellDensity,
    rng: np.random.Generator,
) -> None:
    """Pieces of cytoplasm about some grains of chromatin, from which threads run."""
    radius, shape = canvas.radius, canvas.soft.shape
    y, x = canvas.near(rng, 0.25)
    for _ in range(rng.integers(1, 6)):
        place = y + rng.normal(0, 0.3 * radius), x + rng.normal(0, 0.3 * radius)
        radii = radius * rng.uniform(0.1, 0.35), radius * rng.uniform(0.1, 0.35)
        _draw_cytoplasm(canvas, place, radii, cytoplasm * rng.uniform(0.5, 1.8), 1.6, rng)
    for _ in range(rng.integers(1, 5)):
        grain = canvas.near(rng, 0.45)
        here, spot = canvas.dot(grain, rng.uniform(1.2, 2.8))
        canvas.parasite[here] += spot * chromatin * rng.uniform(0.7, 1.3)
        canvas.mask[here] |= spot[..., 0] > 0.4
        if rng.random() < 0.6:
            thread = _thread(shape, grain, rng) * canvas.soft
            canvas.parasite += thread[..., None] * (1.5 * cytoplasm + 0.3 * chromatin) * rng.uniform(0.5, 1.5)
            canvas.mask |= thread > 0.25
    _scatter(canvas, pigment, int(rng.integers(0, 15)), 0.7, 1.0, rng)


def _draw_schizont(
    canvas: Canvas, cytoplasm: CellDensity, chromatin: CellDensity, pigment: CellDensity, rng: np.random.Generator
) -> None:
    """6 to 24 grains of chromatin in one body, the pigment in one heap."""
    place, reach = canvas.near(rng, 0.1), canvas.radius * rng.uniform(0.5, 1.0)
    radii = reach, reach * rng.uniform(0.8, 1)
    _draw_cytoplasm(canvas, place, radii, cytoplasm * rng.uniform(0.3, 1.3), 1.6, rng)
    size = rng.uniform(1.1, 2.6)
    for _ in range(rng.integers(6, 25)):
        turn, far = rng.uniform(0, 2 * np.pi), 0.9 * reach * np.sqrt(rng.uniform())
        y, x = place[0] + far * np.sin(turn), place[1] + far * np.cos(turn)
        radii = size * rng.uniform(0.7, 1.3), size * rng.uniform(0.7, 1.3)
        grain = blob(canvas.soft.shape, y, x, *radii, rng, soft=0.6) * canvas.soft
        canvas.parasite += grain[..., None] * chromatin * rng.uniform(0.6, 1.2)
        canvas.mask |= grain > 0.4
    if rng.random() < 0.6:
        y, x = canvas.near(rng, 0.3)
        for _ in range(rng.integers(3, 15)):
            at = y + rng.normal(0, 2), x + rng.normal(0, 2)
            here, spot = canvas.dot(at, rng.uniform(0.6, 1.5))
            canvas.parasite[here] += spot * pigment * rng.uniform(0.4, 1)
    _scatter(canvas, pigment, int(rng.integers(0, 12)), 0.9, 0.8, rng)


def _draw_gametocyte(
    canvas: Canvas, cytoplasm: CellDensity, chromatin: CellDensity, pigment: CellDensity, rng: np.random.Generator
) -> None:
    """A body that fills the cell, one mass of chromatin, wrinkles, and grains of pigment all over."""
    radius, shape, soft = canvas.radius, canvas.soft.shape, canvas.soft
    reach = radius * rng.uniform(0.75, 1.1)
    radii = reach, reach * rng.uniform(0.85, 1)
    _draw_cytoplasm(canvas, canvas.near(rng, 0.06), radii, cytoplasm * rng.uniform(0.15, 1.6), rng.uniform(1, 3), rng)
    if rng.random() < 0.7:
        radii = radius * rng.uniform(0.12, 0.3), radius * rng.uniform(0.12, 0.35)
        mass = blob(shape, *canvas.near(rng, 0.4), *radii, rng, soft=rng.uniform(0.8, 2)) * soft
        canvas.parasite += mass[..., None] * chromatin * rng.uniform(0.15, 0.8)
    if rng.random() < 0.5:
        streaks = _streaks(rng, shape)
        canvas.body *= 1 + np.clip(rng.uniform(0.08, 0.4) * streaks, -0.7, 0.9)[..., None] * soft[..., None]
        canvas.parasite += (np.maximum(streaks, 0) * soft * rng.uniform(0, 0.8))[..., None] * cytoplasm
    if rng.random() < 0.35:
        lumps = texture(rng, shape, rng.uniform(2, 5))
        canvas.body *= 1 + np.clip(rng.uniform(0.1, 0.35) * lumps, -0.7, 0.7)[..., None] * soft[..., None]
    grains = int(np.exp(rng.uniform(np.log(8), np.log(110))))
    _scatter(canvas, pigment, grains, 0.95, rng.uniform(0.3, 1), rng)
    canvas.mask |= canvas.inside


def _draw_vacuole(canvas: Canvas, rng: np.random.Generator) -> None:
    """A spot nearly as light as the glass."""
    turn, far = rng.uniform(0, 2 * np.pi), canvas.radius * rng.uniform(0.1, 0.65)
    radii = canvas.radius * rng.uniform(0.15, 0.5), canvas.radius * rng.uniform(0.15, 0.4)
    y, x = canvas.cy + far * np.sin(turn), canvas.cx + far * np.cos(turn)
    light = blob(canvas.soft.shape, y, x, *radii, rng, soft=1.2) * canvas.soft * rng.uniform(0.4, 0.95)
    canvas.body *= 1 - light[..., None]
    canvas.parasite *= 1 - light[..., None]
    canvas.mask &= light < 0.5


def _scatter(
    canvas: Canvas, pigment: CellDensity, grains: int, reach: float, strength: float, rng: np.random.Generator
) -> None:
    """Grains of pigment, evenly within `reach` radii."""
    for _ in range(grains):
        here, spot = canvas.dot(canvas.within(rng, reach), rng.uniform(0.4, 1.1))
        canvas.parasite[here] += spot * pigment * strength * rng.uniform(0.2, 1)


def _thread(shape: tuple[int, ...], start: tuple[float, float], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """float64 (h, w), 0-1: a thin crooked line of about 14 px from `start`."""
    turn, points = rng.uniform(0, 2 * np.pi), [start]
    for _ in range(4):
        turn += rng.normal(0, 0.7)
        y, x = points[-1]
        points.append((y + rng.uniform(2, 5) * np.sin(turn), x + rng.uniform(2, 5) * np.cos(turn)))
    drawn = np.zeros(shape, np.uint8)
    eighths = np.rint(np.array([(x, y) for y, x in points]) * 8).astype(np.int32)
    cv2.polylines(drawn, [eighths], False, (255,), 1, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(drawn / 255, (0, 0), 0.5)


def _streaks(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """float64 (h, w), deviation 1: noise drawn out along one random direction."""
    side = int(np.hypot(shape[0], shape[1])) + 2
    along = rng.normal(0, 1, (side, side))
    along = cv2.GaussianBlur(along, (0, 0), sigmaX=rng.uniform(2, 7), sigmaY=rng.uniform(0.7, 1.3))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(0, 180), 1)
    turned = cv2.warpAffine(along, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    top, left = (side - shape[0]) // 2, (side - shape[1]) // 2
    return turned[top : top + shape[0], left : left + shape[1]] / turned.std()


def _varied(rng: np.random.Generator, colour: CellDensity, deviation: float) -> CellDensity:
    return colour * np.exp(rng.normal(0, deviation, 3))


def texture(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> npt.NDArray[np.float64]:
    """float64 (h, w), mean about 0, deviation 1: noise blurred by `grain` px."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, shape), (0, 0), grain)
    return noise / max(float(noise.std()), 1e-6)


def dot(shape: tuple[int, ...], y: float, x: float, radius: float) -> tuple[Window, npt.NDArray[np.float64]]:
    """A disc with an edge of one pixel: the window of the array that it lies in, and there float64 (h, w, 1), 0-1."""
    here, down, right = _around(shape, y, x, radius + 0.5)
    return here, np.minimum(np.maximum(radius + 0.5 - np.hypot(down, right), 0), 1)[..., None]


def _around(
    shape: tuple[int, ...], y: float, x: float, reach: float
) -> tuple[Window, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The window of an array that holds all pixels within `reach` of a point, and how far below it and right of it they
    lie: float64 (h, 1) and (w,), px."""
    rows, columns = box_window(int(x), int(y), 1, 1, math.ceil(reach), shape)
    down, right = (np.arange(s.start, s.stop, dtype=np.float64) - at for s, at in ((rows, y), (columns, x)))
    return (rows, columns), down[:, None], right


def blob(
    shape: tuple[int, ...],
    y: float,
    x: float,
    radius_y: float,
    radius_x: float,
    rng: np.random.Generator,
    *,
    soft: float,
) -> npt.NDArray[np.float64]:
    """float64 (h, w), 0-1: an irregular ellipse, turned at random, blurred by `soft` px."""
    turn = rng.uniform(0, np.pi)
    waves = [(k, rng.normal(0, 0.12 / k), rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)]
    # However the waves meet, the blob reaches no further than that.
    reach = max(radius_y, radius_x) / max(1 - sum(abs(height) for _, height, _ in waves), 0.01)
    here, down, right = _around(shape, y, x, reach)
    u = (right * np.cos(turn) + down * np.sin(turn)) / radius_x
    v = (-right * np.sin(turn) + down * np.cos(turn)) / radius_y
    angle = np.arctan2(v, u)
    wavy = sum(height * np.cos(k * angle + phase) for k, height, phase in waves)
    drawn = np.zeros(shape)
    drawn[here] = np.hypot(u, v) * (1 + wavy) < 1
    return cv2.GaussianBlur(drawn, (0, 0), soft)
