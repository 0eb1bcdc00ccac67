"""Folders of drawn images and masks, as a user has them, for tests of the import."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import segtrain
from smearsynth.base.images import MaskPixels, decode_mask
from smearsynth.taxonomy import CLASSES

Pixels = npt.NDArray[np.uint8]

COLOURS = np.array([c.rgb for c in CLASSES], np.uint8)


def field(number: int, size: tuple[int, int] = (72, 96), classes: int = 10) -> tuple[Pixels, Pixels]:
    """image u1 (h, w, 3) and label u1 (h, w): twelve dark discs of random classes on bright glass, never the same."""
    rng = np.random.default_rng([number, *size])
    y, x = np.mgrid[: size[0], : size[1]]
    label = np.zeros(size, np.uint8)
    for _ in range(12):
        cy, cx, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(5, 10)
        label[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.integers(1, classes)
    tone = np.where(label > 0, 120 + 5 * label.astype(int), 225)
    image = tone[..., None] + rng.integers(-12, 13, (*size, 3))
    return image.astype(np.uint8), label


def save(path: Path, pixels: npt.NDArray[np.generic], **options: object) -> Path:
    """Writes an image file of that name's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def write_pairs(root: Path, count: int, *, size: tuple[int, int] = (72, 96), classes: int = 10) -> tuple[Path, Path]:
    """root/img/NN.png and root/mask/NN_mask.png, masks in the colours of the ten classes; with classes=2 black and
    white."""
    for i in range(count):
        image, label = field(i, size, classes)
        save(root / "img" / f"{i:02d}.png", image)
        save(root / "mask" / f"{i:02d}_mask.png", COLOURS[label] if classes > 2 else label * np.uint8(255))
    return root / "img", root / "mask"


def imported_patches(folder: Path) -> Path:
    """A set of nine images of two classes, three patches each: six to train, one to validate, two to test."""
    images, masks = write_pairs(folder, 9, classes=2)
    wanted = {"patches": "16,3", "split": "train=6,val=1,test=2", "um_per_px": 0.2, "progress": False}
    return segtrain.import_annotations(images, masks, out=folder / "set", **wanted).out


def as_file(pixels: npt.NDArray[np.generic] | Image.Image, kind: str = "PNG", **options: object) -> MaskPixels:
    """A mask as it comes back from a file of that kind."""
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, kind, **options)
    return decode_mask(file.getvalue(), "mask")
