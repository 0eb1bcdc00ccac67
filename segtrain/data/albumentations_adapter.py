"""Augmentation of single samples on the host: the one module that knows albumentations.

Its transforms are applied with draws of `augmentation`, because what albumentations draws itself depends on the layout
of the workers. Colour in optical density and keyed noise it does not have; those are here.
"""

import os

import albumentations as A  # noqa: N812
import cv2
import numpy as np

from segtrain.data.augmentation import Draws, blur_kernel, od_table
from segtrain.data.keyed_random import noise
from segtrain.data.samples import OUTSIDE, Image, Maps

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else it asks the network on import

cv2.setNumThreads(1)  # workers share the cores already

_mirror_x, _mirror_y, _turn = A.HorizontalFlip(), A.VerticalFlip(), A.RandomRotate90()
_zoom_image = A.Affine(interpolation=cv2.INTER_LINEAR, border_mode=cv2.BORDER_REFLECT_101)
_zoom_map = {
    name: A.Affine(mask_interpolation=cv2.INTER_NEAREST, border_mode=cv2.BORDER_CONSTANT, fill_mask=outside)
    for name, outside in OUTSIDE.items()
}
_blur, _jpeg = A.GaussianBlur(), A.ImageCompression()


def augment_sample(image: Image, maps: Maps, draws: Draws, row: int) -> tuple[Image, Maps]:
    """One sample, changed as row `row` of the draws says.

    image: uint8 (H, W, 3) RGB. maps: (H, W) each, by name; pixels from outside the image become what `OUTSIDE` says.
    """
    if draws.flip_x[row]:
        image, maps = _mirror_x.apply(image), {name: _mirror_x.apply(one) for name, one in maps.items()}
    if draws.flip_y[row]:
        image, maps = _mirror_y.apply(image), {name: _mirror_y.apply(one) for name, one in maps.items()}
    if turns := int(draws.turns[row]):
        image = _turn.apply(image, factor=turns)
        maps = {name: _turn.apply(one, factor=turns) for name, one in maps.items()}
    if draws.scale[row] != 1:
        image, maps = _zoom(image, maps, draws.scale[row])
    if (draws.gain[row] != 1).any() or draws.offset[row].any():
        image = cv2.LUT(image, od_table(draws.gain[row], draws.offset[row])[:, None])
    if draws.blur[row]:
        image = _blur.apply(image, kernel=blur_kernel(draws.blur[row]))
    if draws.noise[row]:
        grain = noise(draws.key[row], image.shape) * np.float32(draws.noise[row])
        image = cv2.add(image, grain, dtype=cv2.CV_8U)
    if draws.quality[row] < 100:
        image = _compressed(image, int(draws.quality[row]))
    return image, maps


def _zoom(image: Image, maps: Maps, scale: float) -> tuple[Image, Maps]:
    height, width = image.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.diag([scale, scale, 1.0])
    matrix[:2, 2] = centre * (1 - scale)
    shape = (height, width)
    return (
        _zoom_image.apply(image, matrix=matrix, output_shape=shape),
        {name: _zoom_map[name].apply_to_mask(one, matrix=matrix, output_shape=shape) for name, one in maps.items()},
    )


def _compressed(image: Image, quality: int) -> Image:
    """albumentations hands RGB to a codec that takes it for BGR, so that blue would count as red in the luminance."""
    blue_first = np.ascontiguousarray(image[..., ::-1])
    return _jpeg.apply(blue_first, quality=quality, image_type=".jpg")[..., ::-1]
