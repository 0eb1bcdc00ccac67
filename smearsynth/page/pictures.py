"""Pictures as part of a page."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from smearsynth.images import Pixels


@dataclass(frozen=True, kw_only=True)
class Inline:
    """data: the picture as a data URI. width, height: in px. alt: what it shows, for who cannot see it."""

    data: str
    width: int
    height: int
    alt: str


def inline(picture: Pixels, alt: str, *, exact: bool = False) -> Inline:
    """u1 (h, w, 3) RGB; as a PNG that is exact, or as a JPEG of about a fifth of its size."""
    if exact:
        return _inline(Image.fromarray(picture), alt, "png", optimize=True)
    return _inline(Image.fromarray(picture), alt, "jpeg", quality=88, subsampling=0, optimize=True)


def inline_indexed(numbers: Pixels, palette: Pixels, alt: str) -> Inline:
    """u1 (h, w), each pixel in the colour of its number in `palette`, u1 (n, 3); a PNG of a few kB."""
    picture = Image.fromarray(numbers)
    picture.putpalette(np.ascontiguousarray(palette).tobytes())
    return _inline(picture, alt, "png", optimize=True)


def _inline(picture: Image.Image, alt: str, kind: str, **options: Any) -> Inline:
    file = BytesIO()
    picture.save(file, kind, **options)
    data = f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
    return Inline(data=data, width=picture.width, height=picture.height, alt=alt)
