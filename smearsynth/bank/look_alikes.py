"""What lies on a red cell or mars it and is no parasite: drawn on healthy and infected cells alike.

Whoever learns from cells with parasites and smooth ones without learns that a dark dot is a parasite. Stain grains,
refractile spots, vacuoles, folds, the knobs of a crenated cell and a pale body are what networks called infected on
blood of other laboratories; so all of them exist on cells of both classes, and only the parasite tells the two apart.
"""

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import MARGIN, Rgba
from smearsynth.bank.parasite_stages import Canvas, blob, dot, texture
from smearsynth.bank.parasites import CellDensity

LOOK_ALIKES = ("stain grain", "refractile spot", "vacuole", "fold", "knobs", "relief", "pallor")
_STAIN = np.array(((0.9, 1.0, 0.8), (0.5, 1.0, 0.4), (0.3, 0.8, 0.3)))
"""Density of precipitated dye: black, violet, red."""


def crenate(rgba: Rgba, density: CellDensity, rng: np.random.Generator) -> tuple[Rgba, CellDensity]:
    """A burr cell made of a smooth one: 9 to 20 spikes around it, and blunt knobs in its own colour on it, as where its
    spikes point at the observer. In the fields whose healthy cells networks called infected most such cells lie, and
    few of the sources have any.

    rgba: uint8 (h, w, 4). density: (h, w, 3). Both come back larger, for the spikes.
    """
    room = 2 * MARGIN
    rgba = cv2.copyMakeBorder(rgba, *(room,) * 4, cv2.BORDER_REPLICATE)
    density = cv2.copyMakeBorder(density, *(room,) * 4, cv2.BORDER_REPLICATE)
    h, w = rgba.shape[:2]
    y, x = np.mgrid[:h, :w]
    v, u = y - (h - 1) / 2, x - (w - 1) / 2
    angle, spikes, phase = np.arctan2(v, u), int(rng.integers(9, 21)), rng.uniform(0, 2 * np.pi)
    depth, sharpness = rng.uniform(0.05, 0.14), rng.uniform(1, 3)
    wave = np.abs(np.cos(spikes / 2 * angle + phase)) ** sharpness
    # Where the wave is high, the cell reaches further out: it is fetched from nearer to its middle.
    pulled = 1 + depth * (0.5 - wave)
    across, down = (((c - 1) / 2 + d * pulled).astype(np.float32) for c, d in ((w, u), (h, v)))
    rgba = cv2.remap(rgba, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    density = cv2.remap(density, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    canvas = Canvas.of(density, rgba[..., 3] >= 128)
    own, soft = _own_density(canvas), canvas.soft[..., None]
    # Such cells are spheres, without a pale middle.
    flat = rng.uniform(0.2, 0.9)
    canvas.body = canvas.body * (1 - flat * soft) + own * flat * soft * rng.uniform(0.9, 1.6)
    dark = own * rng.uniform(0.15, 0.9)
    for _ in range(rng.integers(4, 20)):
        knob = _soft_dot(canvas, canvas.within(rng, 1.0), rng.uniform(1.2, 3.2))
        canvas.body += knob[..., None] * soft * dark * rng.uniform(0.4, 1.2)
    return rgba, canvas.body


def draw_look_alike(canvas: Canvas, rng: np.random.Generator) -> str:
    """Draws one into the canvas's body and gives its name."""
    kind = str(rng.choice(LOOK_ALIKES))
    draw = {
        "stain grain": _draw_stain_grains,
        "refractile spot": _draw_refractile_spots,
        "vacuole": _draw_vacuole,
        "fold": _draw_fold,
        "knobs": _draw_knobs,
        "relief": _deepen_relief,
        "pallor": _make_pale,
    }[kind]
    draw(canvas, rng)
    return kind


def _own_density(canvas: Canvas) -> CellDensity:
    """(3,): the median of the body."""
    median: CellDensity = np.median(canvas.body[canvas.inside], axis=0)
    return median


def _soft_dot(canvas: Canvas, place: tuple[float, float], radius: float) -> npt.NDArray[np.float64]:
    """float64 (h, w), 0-1: a disc at (y, x) with a blurred edge."""
    drawn = np.zeros(canvas.soft.shape)
    here, spot = dot(drawn.shape, *place, radius)
    drawn[here] = spot[..., 0]
    return cv2.GaussianBlur(drawn, (0, 0), 0.7)


def _draw_stain_grains(canvas: Canvas, rng: np.random.Generator) -> None:
    colour = _STAIN[rng.integers(len(_STAIN))] * rng.uniform(0.3, 1.3)
    for _ in range(rng.integers(1, 4)):
        here, grain = dot(canvas.soft.shape, *canvas.within(rng, 1.0), rng.uniform(0.5, 2.4))
        canvas.body[here] += grain * colour


def _draw_refractile_spots(canvas: Canvas, rng: np.random.Generator) -> None:
    """Light spots with a dark ring, as of a drop of water in the mounted smear."""
    own = _own_density(canvas)
    for _ in range(rng.integers(1, 3)):
        place, radius = canvas.within(rng, 0.8), rng.uniform(1, 4)
        light = _soft_dot(canvas, place, radius)
        ring = np.clip(_soft_dot(canvas, place, radius + 1.6) - light, 0, 1)
        canvas.body *= 1 - light[..., None] * rng.uniform(0.4, 1)
        canvas.body += ring[..., None] * own * rng.uniform(0.1, 0.8)


def _draw_vacuole(canvas: Canvas, rng: np.random.Generator) -> None:
    radii = rng.uniform(2, 9), rng.uniform(2, 9)
    hole = blob(canvas.soft.shape, *canvas.within(rng, 0.6), *radii, rng, soft=rng.uniform(0.8, 2)) * canvas.soft
    canvas.body *= 1 - hole[..., None] * rng.uniform(0.2, 0.9)


def _draw_fold(canvas: Canvas, rng: np.random.Generator) -> None:
    """A dark stripe of the cell's own colour."""
    radii = rng.uniform(1.5, 4), rng.uniform(5, 14)
    stripe = blob(canvas.soft.shape, *canvas.within(rng, 0.5), *radii, rng, soft=rng.uniform(0.8, 2.5)) * canvas.soft
    canvas.body += stripe[..., None] * _own_density(canvas) * rng.uniform(0.2, 1)


def _draw_knobs(canvas: Canvas, rng: np.random.Generator) -> None:
    """The knobs of a burr cell seen from above: blunt dark dots of its own colour."""
    own = _own_density(canvas) * rng.uniform(0.25, 1.1)
    for _ in range(rng.integers(3, 22)):
        here, knob = canvas.dot(canvas.within(rng, 1.0), rng.uniform(1.0, 2.8))
        canvas.body[here] += knob * own * rng.uniform(0.5, 1.2)


def _deepen_relief(canvas: Canvas, rng: np.random.Generator) -> None:
    """The body's own unevenness made stronger."""
    flat = cv2.GaussianBlur(canvas.body, (0, 0), 4)
    deeper = np.maximum(flat + (canvas.body - flat) * rng.uniform(1, 3), 0)
    lumps = np.maximum(texture(rng, canvas.soft.shape, rng.uniform(1.2, 3)), -1) * rng.uniform(0, 0.3)
    soft = canvas.soft[..., None]
    canvas.body = canvas.body * (1 - soft) + deeper * np.maximum(1 + lumps, 0.2)[..., None] * soft


def _make_pale(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.body *= 1 - canvas.soft[..., None] * rng.uniform(0.1, 0.6)
