"""What a network sees in one image, as a Python object: arrays at the image's own size, a picture, and files."""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segtrain.counting.cell_measures import count_field
from segtrain.counting.named_labels import can_be_named, named_labels
from segtrain.inference.field_prediction import FieldPrediction, NativeLabels, predict_field
from segtrain.inference.image_reader import ImageReader
from segtrain.inference.prediction_files import (
    check_new,
    draw_overlay,
    new_files,
    overlay_factor,
    targets,
    write_labels,
    write_probability,
)
from segtrain.inference.ready_networks import Networks
from segtrain.inference.tiles import RescaledImage
from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels, size_text
from smearsynth.fields.scale import scaled_shape, to_native


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """label: uint8 (H, W), class ids at the image's size, 255 where a cell's class is unsure. confidence: float32 (H,
    W), 0 to 1, the probability of the likeliest class, linear between the pixels of the network's scale. um_per_px: of
    the image, as it was given or found. image: what was predicted. field: the prediction at the network's own scale.

    Shown in a notebook, it is the image with its cells outlined.

    >>> seen = segtrain.load("runs/first").predict("field.png", um_per_px=0.2)
    >>> seen.label.shape == seen.confidence.shape, seen.classes[0]
    (True, 'background')
    """

    label: Pixels
    confidence: npt.NDArray[np.float32]
    um_per_px: float
    image: ImageReader
    field: FieldPrediction

    @property
    def classes(self) -> tuple[str, ...]:
        """Keys by class id."""
        return self.field.classes.keys

    @property
    def probability(self) -> npt.NDArray[np.float32]:
        """float32 (classes, H, W) of sum 1, linear between the pixels of the network's scale. UserError where it was
        not asked for."""
        if self.field.probability is None:
            raise UserError("only those of the labels were kept: predict again, and ask for all", "probability")
        return np.stack([to_native(plane, self.label.shape) for plane in self.field.probability])

    def save(self, out: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Writes what `segtrain.predict` writes of an image into the folder `out`, and gives the files: NAME_label.png,
        NAME_colour.png, NAME_overlay.png and, where it was kept, NAME_probability.npy. NAME: of the image's file, or
        "image" of an array. Raises UserError where they are there and may not be overwritten."""
        kept, classes = self.field.probability, self.field.classes
        files = targets(Path(out), self.image, probability=kept is not None)
        check_new(list(files.values()), overwrite=overwrite)
        Path(out).mkdir(parents=True, exist_ok=True)
        with new_files(list(files.values())) as opened:
            named = dict(zip(files, opened, strict=True))
            write_labels(named, self.image, [self.label], classes)
            if kept is not None:
                write_probability(named["probability"], kept)
        return list(files.values())

    def __repr__(self) -> str:
        shares = np.bincount(self.label.ravel(), minlength=256) / self.label.size
        ranked = [n for n in sorted(range(1, 256), key=lambda n: -shares[n]) if shares[n] >= 0.001]
        cells = ", ".join(f"{self.field.classes.name_of(n)} {shares[n]:.1%}" for n in ranked) or "no cells"
        size = size_text(self.label.shape)
        return f"<Prediction of {self.image.name}: {size} px of {self.um_per_px:.4f} um, {cells}>"

    def _repr_png_(self) -> bytes:
        small = RescaledImage(self.image, overlay_factor(self.image.shape))
        label = cv2.resize(self.label, small.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return as_png(draw_overlay(small.rows(0, small.shape[0]), label, self.field.classes))


def predict_image(networks: Networks, image: ImageReader, um_per_px: float, *, probability: bool) -> Prediction:
    """The label of an image, named as `segtrain.predict` does it. probability: keep those of all classes. Raises
    UserError where the image turns out to be damaged."""
    shape, classes = scaled_shape(image.shape, um_per_px / networks.um_per_px), networks.classes
    if can_be_named(networks, shape):
        found, field = count_field(networks, image, um_per_px, probability=probability)
        blocks = list(named_labels(found, classes.keys))
    else:
        native = NativeLabels(shape, image.shape)
        field = predict_field(networks, image, um_per_px, probability=probability, on_band=native.collect)
        blocks = native.blocks
    confidence = to_native(field.confidence.astype(np.float32) / np.float32(255), image.shape)
    return Prediction(
        label=np.concatenate(blocks), confidence=confidence, um_per_px=um_per_px, image=image, field=field
    )


def as_png(pixels: Pixels) -> bytes:
    """A picture for a notebook."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
