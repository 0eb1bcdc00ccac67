"""What of a TIFF file is the image, and which of its values are black and white.

A TIFF holds any number of pages: thumbnails, levels of a pyramid, slices of a stack, or the colours of one image a page
each, as ImageJ and OME-TIFF have them. Whoever takes its first page reads a thumbnail, or red alone. And its 16 bits
often hold the 10 to 14 of a camera: by the range of 16 they are a black image. What the file does not state is not
guessed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, RESUNIT, TiffFile, TiffPage, TiffPageSeries

from smearsynth.base.errors import ImageError, UserError

SUFFIXES = (".tif", ".tiff")
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF, and of BigTIFF."""
_LEAST_OF_16_BITS = 1 << 14
"""Smears are bright: one whose brightest value is below that was recorded with fewer bits than its file has."""
_LOWEST, _HIGHEST = 340, 341
"""Tags SMinSampleValue and SMaxSampleValue."""
_COLOURS = ("red", "green", "blue")
_SHOWN = 4
_PLAIN = (COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS)
"""Compressions that tifffile reads without imagecodecs."""

_UM = {"m": 1e6, "cm": 1e4, "mm": 1e3, "\N{MICRO SIGN}m": 1.0, "\N{GREEK SMALL LETTER MU}m": 1.0, "um": 1.0, "nm": 1e-3}
_UM |= {"micron": 1.0, "microns": 1.0, "\\u00B5m": 1.0, "inch": 25_400.0}
"""Micrometres of a unit, as OME-XML and ImageJ write it."""
_UNITS = {RESUNIT.INCH: "inch", RESUNIT.CENTIMETER: "cm", RESUNIT.MILLIMETER: "mm", RESUNIT.MICROMETER: "um"}
_SQUARE = 0.01
"""Difference of a pixel's sides up to which it has one scale."""

Values = tuple[int, int]
"""Those of black and of white."""
PageNumber = int | tuple[int, int]
"""From 0: of a page, or of a page and one of the levels that hang below it (SubIFDs)."""


@dataclass(frozen=True)
class TiffLayout:
    """pages: number, from 0, of the page that is the image, or of those of its red, its green and its blue. shape:
    (h, w) as they are stored. bits: of a value. stated: what the file says of its values, None where they fill their
    bits. deep: Pillow would read its 16 bits wrongly, or give half of them where all are needed: take `deep_values`.
    unread: why its pixels are no image, "" where they are one. um_per_px: what the file states, None where it states
    none or another one across than down. levels: of a pyramid, those below the image, the largest first."""

    pages: tuple[int, ...]
    shape: tuple[int, int]
    bits: int
    stated: Values | None
    deep: bool
    unread: str
    um_per_px: float | None = None
    levels: tuple[PageNumber, ...] = ()


def read_layout(file: Path | BytesIO, name: str, page: int | None = None) -> TiffLayout:
    """page: the one that the user wants, from 1. Raises ImageError where it is not there, and where none is wanted and
    it is not clear which is the image; anything else where the file is damaged."""
    with TiffFile(file, _multifile=False) as tiff:
        pages = _pages(tiff, name, page)
        first = page_of(tiff, pages[0])
        bits, stated = first.bitspersample, _stated(tiff, first)
        apart = first.samplesperpixel > 1 and first.planarconfig == PLANARCONFIG.SEPARATE
        unlike = apart or first.photometric == PHOTOMETRIC.MINISWHITE or stated is not None or len(pages) > 1
        return TiffLayout(
            pages=pages,
            shape=(first.imagelength, first.imagewidth),
            bits=bits,
            stated=stated,
            deep=bits > 8 and unlike,
            unread=_unread(first),
            um_per_px=_um_per_px(tiff, first),
            levels=_levels(tiff, first) if len(pages) == 1 else (),
        )


def layout_of(path: Path, page: int | None = None) -> TiffLayout | None:
    """Of a file by its suffix; None where it is no TIFF, or damaged. Raises ImageError as `read_layout` does."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        return read_layout(path, str(path), page)
    except UserError:
        raise
    # Whatever is wrong with the file, Pillow meets it again and has a sentence for it.
    except Exception:
        return None


def deep_values(data: bytes, layout: TiffLayout, name: str) -> npt.NDArray[np.uint16]:
    """uint16 (h, w, samples) of the TIFF in `data`, from black to white, of several pages those of all. Raises
    ImageError where they have another range than is stated, where decoding needs an extra, and where they are turned by
    an orientation tag."""
    planes = []
    with TiffFile(BytesIO(data), _multifile=False) as file:
        for number in layout.pages:
            page = page_of(file, number)
            check_codec(page, name)
            if page.tags.valueof("Orientation", 1) != 1:
                raise ImageError("pixel_type", f"{name}: its orientation tag turns its 16-bit values; save it upright")
            values = page.asarray().reshape(page.shape)
            if values.ndim == 2:
                values = values[..., None]
            elif page.planarconfig == PLANARCONFIG.SEPARATE:
                values = np.moveaxis(values, 0, -1)
            planes.append(values)
    check_range(max(map(highest, planes)), layout.stated, name)
    return positive(np.concatenate(planes, axis=2), page, layout.stated)


def highest(values: npt.NDArray[Any]) -> int:
    """Greatest value of (h, w, samples), that of alpha left out."""
    samples = values.shape[2]
    return int(values[..., : samples - (samples in (2, 4))].max())


def positive(values: npt.NDArray[Any], page: TiffPage, stated: Values | None) -> npt.NDArray[Any]:
    """Values that grow from black to white."""
    low, high = stated or (0, np.iinfo(values.dtype).max)
    return low + (high - values.clip(low, high)) if page.photometric == PHOTOMETRIC.MINISWHITE else values


def check_codec(page: TiffPage, name: str) -> None:
    """Raises ImageError where tifffile needs what is not installed."""
    if (page.compression not in _PLAIN or page.bitspersample % 8) and not find_spec("imagecodecs"):
        raise ImageError(
            "pixel_type", f"{name}: its compression needs the extra `tiff`: pip install 'smearsynth[tiff]'"
        )


def page_of(file: TiffFile, number: PageNumber) -> TiffPage:
    """With all its tags."""
    if isinstance(number, tuple):
        below = page_of(file, number[0]).pages
        assert below is not None
        page = below[number[1]]
    else:
        page = file.pages[number]
    return page if isinstance(page, TiffPage) else page.aspage()


def check_range(top: int, stated: Values | None, name: str) -> None:
    """Raises ImageError where 16-bit values, of which `top` is the greatest, exceed the range that is stated, or have
    that of fewer bits and none is stated."""
    if stated is None and top < _LEAST_OF_16_BITS:
        raise ImageError(
            "pixel_type",
            f"{name}: its 16-bit values end at {top:,} of 65,535, as of a camera of fewer bits; stretch them, save it "
            "with 8 bits, or state their range in the tag SMaxSampleValue of a TIFF",
        )
    if stated is not None and top > stated[1]:
        raise ImageError(
            "pixel_type", f"{name}: states values up to {stated[1]:,} and has {top:,}; save it with 8 bits"
        )


def to_eight_bits(values: npt.NDArray[Any], stated: Values | None, *, grey: bool) -> npt.NDArray[np.uint8]:
    """uint8 of uint16: of the range that is stated, else of all 16 bits, of colours the high byte."""
    if stated is not None:
        low, high = stated
        above = values.clip(low, high).astype(np.uint32) - np.uint32(low)
        return ((510 * above + (high - low)) // (2 * (high - low))).astype(np.uint8)
    return ((values.astype(np.uint32) + 128) // 257 if grey else values >> 8).astype(np.uint8)


def _unread(page: TiffPage) -> str:
    kind = page.dtype.kind if page.dtype is not None else ""
    if kind in ("u", "b") and page.bitspersample <= 16:
        return ""
    what = {"f": "floating-point numbers", "c": "complex numbers"}.get(kind, f"numbers of {page.bitspersample} bits")
    return (
        f"its pixels are {what}{', with a sign' * (kind == 'i')}, which have no agreed range; save it with 8 or 16 bits"
    )


def _pages(file: TiffFile, name: str, page: int | None) -> tuple[int, ...]:
    count = len(file.pages)
    if page is not None:
        if not 1 <= page <= count:
            raise ImageError("page", f"{name}: has no page {page}, but {count}; give one of them", "page")
        return (page - 1,)
    images = [series for series in file.series if not series.keyframe.is_reduced and not series.keyframe.is_mask]
    # Scanners put a thumbnail, the label and a photograph of the glass beside the slide.
    images = [one for one in images if len(one.levels) > 1 or one.name == "Baseline"] or images
    if len(images) == 1:
        found = images[0]
        if found.size == found.keyframe.size:
            return (found.keyframe.index,)
        order = _colour_order(file, found)
        if order:
            return order
    sizes = ", ".join(f"{one.keyframe.imagewidth}x{one.keyframe.imagelength}" for one in file.series[:_SHOWN])
    raise ImageError(
        "pages",
        f"{name}: has {max(count, *(one.size // one.keyframe.size for one in file.series))} pages or planes "
        f"({sizes} px), and none of them is marked as the image; save the one that counts as a file of its own",
        "page",
    )


def _levels(file: TiffFile, page: TiffPage) -> tuple[PageNumber, ...]:
    """The pages of its pyramid, which lie behind it or hang below it."""
    series = next((one for one in file.series if one.keyframe.index == page.index), None)
    offsets = [level.keyframe.offset for level in series.levels[1:]] if series else []
    numbers = dict[int, PageNumber]()
    if offsets:
        numbers |= {one.offset: number for number, one in enumerate(file.pages)}
        numbers |= {one.offset: (page.index, number) for number, one in enumerate(page.pages or ())}
    return tuple(numbers[offset] for offset in offsets)


def _um_per_px(file: TiffFile, page: TiffPage) -> float | None:
    """By OME-XML, ImageJ, or the tags of the resolution, whichever the file has."""
    across, down = 0.0, 0.0
    if pixels := _ome(file, "Pixels"):
        across, down = (
            float(pixels[0].get(f"PhysicalSize{axis}", 0)) * _UM.get(pixels[0].get(f"PhysicalSize{axis}Unit", "um"), 0)
            for axis in "XY"
        )
    else:
        unit = _UNITS.get(page.tags.valueof("ResolutionUnit", RESUNIT.INCH), "")
        if file.is_imagej:
            unit = (file.imagej_metadata or {}).get("unit", unit)
        tops, bottoms = np.reshape([page.tags.valueof(f"{axis}Resolution", (0, 1)) for axis in "XY"], (2, 2)).T
        if all(tops):
            across, down = (_UM.get(unit, 0) * bottoms / tops).tolist()
    return across if across > 0 and abs(across - down) <= _SQUARE * across else None


def _colour_order(file: TiffFile, series: TiffPageSeries) -> tuple[int, ...]:
    """The pages of red, green and blue where the planes of a series are those; else none."""
    pages = [page.index for page in series.pages if page is not None]
    key = series.keyframe
    if len(pages) != 3 or key.samplesperpixel != 1 or key.photometric != PHOTOMETRIC.MINISBLACK:
        return ()
    names = _channel_names(file)
    if sorted(names) == sorted(_COLOURS):
        return tuple(pages[names.index(colour)] for colour in _COLOURS)
    return tuple(pages) if series.axes == "CYX" else ()


def _channel_names(file: TiffFile) -> list[str]:
    """Of the planes, in lower case, as ImageJ or OME-XML calls or colours them."""
    if file.is_imagej:
        found = file.imagej_metadata or {}
        if "LUTs" in found:
            return [_colour_name(tuple(table[:, -1].tolist())) for table in found["LUTs"]]
        return [str(label).lower() for label in found.get("Labels", ())]
    names = []
    for channel in _ome(file, "Channel"):
        rgba = int(channel.get("Color", -1)) & 0xFFFFFFFF
        colour = _colour_name(tuple(rgba >> shift & 255 for shift in (24, 16, 8)))
        names.append(colour or channel.get("Name", "").lower())
    return names


def _colour_name(rgb: Sequence[int]) -> str:
    """ "red" for (255, 0, 0), and so on; "" for a mixed colour."""
    return next((name for i, name in enumerate(_COLOURS) if [*rgb] == [255 * (i == j) for j in range(3)]), "")


def _ome(file: TiffFile, element: str) -> list[ElementTree.Element]:
    """All elements of that name in the file's OME-XML."""
    if not file.is_ome or not file.ome_metadata:
        return []
    return ElementTree.fromstring(re.sub(r"^<\?xml[^>]*\?>", "", file.ome_metadata)).findall(f".//{{*}}{element}")


def _stated(file: TiffFile, page: TiffPage) -> Values | None:
    """By its tags, by OME-XML, or by bits that are no whole bytes."""
    if page.bitspersample <= 8:
        return None
    full = (1 << page.bitspersample) - 1
    lows, highs = (np.atleast_1d(page.tags.valueof(tag, ())) for tag in (_LOWEST, _HIGHEST))
    bits = [int(pixels.get("SignificantBits", 0)) for pixels in _ome(file, "Pixels")]
    high = int(highs.max()) if highs.size else (1 << max(bits)) - 1 if any(bits) else full
    low = int(lows.min()) if lows.size and highs.size else 0
    return (low, high) if 0 <= low < high < 65_535 else None
