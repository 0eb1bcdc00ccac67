"""One field as a network sees it: its scale, its probabilities and labels, and labels at the field's own size.

For those of `predict` (`NativeLabels`) probabilities are brought back and not labels, linear between pixels, so that an
outline is as smooth as the network predicts it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.data.samples import Classes
from segtrain.inference.image_reader import ImageReader, open_image
from segtrain.inference.ready_networks import Networks
from segtrain.inference.slide_reader import SLIDE_SUFFIXES, ImageRegion, region_of
from segtrain.inference.tiles import Band, RescaledImage, occupied_tiles, predict_bands, tile_count
from smearsynth.base.errors import UserError
from smearsynth.base.images import MAX_PIXELS, Pixels
from smearsynth.base.progress import with_progress
from smearsynth.fields.field_folder import image_files, image_tree
from smearsynth.fields.scale import AUTO, RED_CELL_UM, Scale, credible, estimate, scaled_shape

STATED = "the scale is what the file states"
FOUND_BY_AUTO = f"the scale was found by the median single red cell, taken for {RED_CELL_UM} um"
_MIDDLE = 4096
"""Pixels a side of the middle of a large image, by whose red cells `auto` finds the scale of all of it."""
_KEPT = 256_000_000
"""Pixels of images that are kept from finding their scales until they are predicted; those beyond are decoded again."""
_BLOCK = 2_000_000
"""Pixels that are decided at a time."""
_SHOWN = 3
"""Folders that a warning names."""
_LOOKED_AT = 64
"""Rows, evenly taken, by which an image is judged."""
_ENDS, _LEAST_CONTRAST = (0.1, 99.9), 40
"""Percentiles between which the pixels of a field differ by as many levels: glass and any cell do."""
LEAST = 1e-12
"""Probability below which its logarithm is cut off."""


@dataclass(frozen=True, kw_only=True)
class JudgedImage:
    """An image that can be predicted. um_per_px: its own scale; stated: by its file. shape: (h, w) at that of the
    networks. tiles: that it takes. occupied: bool (rows, columns), of an image over 64 megapixels those tiles that
    hold more than glass."""

    image: ImageReader
    um_per_px: float
    stated: bool = False
    shape: tuple[int, int]
    tiles: int
    occupied: npt.NDArray[np.bool_] | None = None

    @property
    def corner(self) -> tuple[int, int]:
        """x, y of its first pixel in the full image of which it is a region; (0, 0) of a whole one."""
        return self.image.corner if isinstance(self.image, ImageRegion) else (0, 0)

    @property
    def path(self) -> Path:
        """Of its file."""
        return Path(self.image.name)


def open_images(
    images: str | Path | Sequence[str | Path], page: int | None = None, region: str | Sequence[int] | None = None
) -> tuple[list[ImageReader], tuple[str, ...]]:
    """The files that are named, or the one, and those in the folders that are, by their headers; and a sentence for
    each folder in which further images lie deeper. page: of TIFF files, from 1, where it is not clear which is the
    image. region: x, y, width, height of an only image, px. UserError where there are none, or one cannot be read."""
    paths = [Path(image) for image in ([images] if isinstance(images, str | Path) else images)]
    if region is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise UserError("a region is one of a single image: name that, and not a folder or several", "region")
    found, left_out = [], []
    for path in paths:
        inside = [*image_files(path), *_slides_in(path)] if path.is_dir() else [path]
        found += inside
        if path.is_dir() and (deeper := set(image_tree(path)) - set(inside)):
            folders = sorted({str(file.parent) for file in deeper})
            shown = ", ".join(folders[:_SHOWN]) + ", ..." * (len(folders) > _SHOWN)
            left_out.append(f"{path}: {len(deeper)} images in folders inside it are left out; name those too: {shown}")
    if not found:
        where = left_out[0] if left_out else f"{paths[0] if paths else 'IMAGE'}: there is no image"
        raise UserError(f"{where}; name image files, or a folder of them.")
    opened = [open_image(path, page) for path in found]
    return opened if region is None else [region_of(opened[0], region)], tuple(left_out)


def _slides_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SLIDE_SUFFIXES and path.is_file())


def image_warnings(
    image: ImageReader, networks: Networks, occupied: npt.NDArray[np.bool_] | None = None
) -> tuple[str, ...]:
    """Why what the networks see in an image is not to be relied on, as sentences: by some of its rows, it is grey and
    they learnt colours, or it shows next to nothing; occupied: by the tiles that are no glass."""
    image = image.coarser(min(1.0, _MIDDLE / max(image.shape)))
    height = image.shape[0]
    tops = np.linspace(0, height - 1, min(height, _LOOKED_AT)).astype(int).tolist()
    seen = np.concatenate([image.rows(top, top + 1) for top in tops])
    darkest, brightest = np.percentile(seen.min(axis=2), _ENDS)
    warnings = []
    if not networks.grey and (seen == seen[..., :1]).all():
        warnings.append(f"{image.name} is grey, and the network learnt colours: do not rely on what it calls the cells")
    if brightest - darkest < _LEAST_CONTRAST if occupied is None else not occupied.any():
        warnings.append(f"{image.name} is blank or nearly so: do not rely on what is found in it")
    return tuple(warnings)


def judge_images(
    images: Sequence[ImageReader], scale: Scale, networks: Networks, *, progress: bool
) -> list[JudgedImage]:
    """All images with their scales, before the first is predicted; by `auto`, they are decoded for that where their
    files state none, and large ones to find where their cells are. Close each once it is predicted. UserError where one
    shows no scale."""
    judged, kept = [], 0
    for image in with_progress(images, what="read", unit="images", shown=progress):
        um_per_px = um_per_px_of(image, scale)
        factor = um_per_px / networks.um_per_px
        shape, size = scaled_shape(image.shape, factor), image.shape[0] * image.shape[1]
        occupied = occupied_tiles(image, factor) if size > MAX_PIXELS else None
        judged.append(
            JudgedImage(
                image=image,
                um_per_px=um_per_px,
                stated=scale.given(Path(image.name)) is None and credible(image.um_per_px) is not None,
                shape=shape,
                tiles=tile_count(shape) if occupied is None else int(occupied.sum()),
                occupied=occupied,
            )
        )
        kept += size
        if kept > _KEPT:
            image.close()
    return judged


def scale_notes(images: Sequence[JudgedImage], scale: Scale) -> tuple[str, ...]:
    """Whence the scales are that nobody gave, and how much of large images is glass, as sentences."""
    notes = []
    for stated, text in ((True, STATED), (False, FOUND_BY_AUTO)):
        found = sorted({f"{one.um_per_px:.4f}" for one in images if one.stated == stated})
        if found and scale.spec == AUTO:
            notes.append(f"{text}: {' to '.join(dict.fromkeys((found[0], found[-1])))} um/px")
    for one in images:
        if one.occupied is not None:
            share = 1 - one.tiles / one.occupied.size
            notes.append(f"{one.path.name}: {share:.0%} of its {one.occupied.size:,} tiles are glass, and are skipped")
    return tuple(notes)


def um_per_px_of(image: ImageReader, scale: Scale) -> float:
    """As `Scale.of` says; by `auto` what its file states, else that of the red cells, in a large image of those in its
    middle."""
    known = scale.known(Path(image.name), image.um_per_px)
    if known is not None:
        return known
    (height, width), side = image.shape, _MIDDLE
    if height * width <= side * side:
        return estimate(image.rows(0, height), image.name)
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return estimate(image.rows(top, min(height, top + side), left, min(width, left + side)), image.name)


@dataclass(frozen=True, kw_only=True)
class FieldPrediction:
    """label: uint8 (h, w), class ids, at the networks' scale of `um_per_px` (0.20 for smears). confidence: uint8
    (h, w), the probability of that label in 1/255. probability: float32 (classes, h, w) of sum 1, where it was asked
    for. parasite: uint8 (h, w), the probability that a pixel is of a parasite in 1/255, of networks that give it.
    evidence: float16 (classes, h, w), logarithm of the probability, where it was asked for and the networks name whole
    cells. native_shape, native_um_per_px: height and width of the image as it was opened, and its scale."""

    label: Pixels
    confidence: Pixels
    probability: npt.NDArray[np.float32] | None
    parasite: Pixels | None = None
    evidence: npt.NDArray[np.float16] | None = None
    um_per_px: float
    native_shape: tuple[int, int]
    native_um_per_px: float
    classes: Classes

    def to_native(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A map of labels or instances, uint8, uint16 or int32 (h, w), at the size of the native image: the nearest
        pixel's."""
        height, width = self.native_shape
        return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def predict_field(
    networks: Networks,
    image: ImageReader,
    um_per_px: float,
    *,
    probability: bool = False,
    evidence: bool = False,
    occupied: npt.NDArray[np.bool_] | None = None,
    on_tile: Callable[[int], object] | None = None,
    on_band: Callable[[Band], object] | None = None,
) -> FieldPrediction:
    """What the networks see in an image of `um_per_px`: it is brought to their scale, and predicted in tiles.

    image: of `open_image(path)`, or `ArrayReader(pixels)`, of any size. um_per_px: a number, as `um_per_px_of` finds
    it. probability: keep those of every class, 4 bytes a pixel each. evidence: keep their logarithms, 2 bytes each, if
    the networks name whole cells. occupied: as for `predict_bands`. on_tile: is called with the number of tiles just
    computed, of `tile_count(scaled_shape(image.shape, um_per_px / networks.um_per_px))`; on_band: with all rows, from
    the top down. Raises UserError where the image turns out to be damaged.
    """
    scaled = RescaledImage(image, um_per_px / networks.um_per_px)
    label, confidence = np.empty(scaled.shape, np.uint8), np.empty(scaled.shape, np.uint8)
    kept = np.empty((len(networks.classes), *scaled.shape), np.float32) if probability else None
    parasite = np.empty(scaled.shape, np.uint8) if networks.parasite else None
    seen = None
    if evidence and networks.names_cells:
        seen = np.empty((len(networks.classes), *scaled.shape), np.float16)
    for band in predict_bands(networks, scaled, on_tile, occupied):
        rows = slice(band.top, band.top + band.probability.shape[1])
        label[rows] = band.probability.argmax(axis=0)
        confidence[rows] = np.rint(band.probability.max(axis=0) * 255)
        if kept is not None:
            kept[:, rows] = band.probability
        if seen is not None:
            seen[:, rows] = np.log(np.maximum(band.probability, LEAST))
        if parasite is not None and band.parasite is not None:
            parasite[rows] = np.rint(band.parasite * 255)
        if on_band:
            on_band(band)
    return FieldPrediction(
        label=label,
        confidence=confidence,
        probability=kept,
        parasite=parasite,
        evidence=seen,
        um_per_px=networks.um_per_px,
        native_shape=image.shape,
        native_um_per_px=um_per_px,
        classes=networks.classes,
    )


class NativeLabels:
    """Takes a prediction from the top down and gives its labels at `native`, (h, w), in the same order."""

    def __init__(self, shape: tuple[int, int], native: tuple[int, int]) -> None:
        """shape: (h, w) of the prediction."""
        self._native = native
        middle = ((np.arange(native[0]) + 0.5) * shape[0] / native[0] - 0.5).clip(0, shape[0] - 1)
        self._above = np.floor(middle).astype(np.int64)
        self._below = np.minimum(self._above + 1, shape[0] - 1)
        self._share = (middle - self._above).astype(np.float32)[:, None]
        self._last_row = np.empty((0, 0, 0), np.float32)
        """Of the band before."""
        self._next = 0
        self.blocks: list[Pixels] = []
        """Those that were collected."""

    def add(self, band: Band) -> Iterator[Pixels]:
        """Blocks of full rows, uint8 (rows, w), that are decided now."""
        decided = int(np.searchsorted(self._below, band.top + band.probability.shape[1]))
        step = max(1, _BLOCK // self._native[1])
        for first in range(self._next, decided, step):
            yield self._block(band, slice(first, min(first + step, decided)))
        self._next, self._last_row = decided, band.probability[:, -1:].copy()

    def collect(self, band: Band) -> None:
        """Puts what is decided now into `blocks`."""
        self.blocks.extend(self.add(band))

    def _block(self, band: Band, block: slice) -> Pixels:
        first = int(self._above[block.start])
        if band.glass and first >= band.top:
            return np.zeros((block.stop - block.start, self._native[1]), np.uint8)
        seen = band.probability[:, max(0, first - band.top) : int(self._below[block.stop - 1]) + 1 - band.top]
        if first < band.top:
            seen = np.concatenate([self._last_row, seen], axis=1)
        above, below = self._above[block] - first, self._below[block] - first
        share = self._share[block]
        best = np.zeros((len(above), self._native[1]), np.float32)
        label = np.zeros(best.shape, np.uint8)
        # The likeliest class has at least its equal share; whose probability stays below half of that is nowhere it.
        for number in np.flatnonzero(seen.max(axis=(1, 2)) > 0.5 / len(seen)):
            wide = cv2.resize(seen[number], (self._native[1], seen.shape[1]), interpolation=cv2.INTER_LINEAR)
            value = wide[above] * (1 - share) + wide[below] * share
            better = value > best
            label[better] = number
            np.copyto(best, value, where=better)
        return label
