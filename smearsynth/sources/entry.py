"""What a source says of one image: where it is, which class, which group, and how its cells can be told from glass.

A source only lists; it decodes no pixels. So listing is fast, its order is fixed, and masking can run in any process.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from smearsynth.fields.cell_outlines import Outline
from smearsynth.taxonomy import BY_KEY

Box = tuple[int, int, int, int]
"""x, y, width, height, px."""


class Method(StrEnum):
    """How the cells of an image are found."""

    GIVEN = "given"
    """A companion mask; every connected region of values > 0 is one cell."""
    OUTLINE = "outline"
    """An outline burned in as pure red (255, 0, 0); its inside is the cell."""
    BLACK_GROUND = "black_ground"
    """The cell lies on pure black."""
    STAIN = "stain"
    """By threshold: the cell of the named class nearest to the centre of the image or of `box`."""
    FIELD = "field"
    """The cell of an outline in a field; at a point or in a box that by threshold and watershed, also where it touches
    others."""


class Redistribution(StrEnum):
    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    NOT_STATED = "not_stated"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a source as a whole.

    grouping: what `Entry.group` is ("patient", "slide" or "image"); patients_known: whether a group is a patient.
    um_per_px: scale of its images, micrometres per pixel, or None where `calibrate` names the classes whose
    median area sets it. glass: colour of its empty glass where a crop shows none, RGB 0-255, or None where it is
    always measured.
    """

    title: str
    licence: str
    redistribution: Redistribution
    cite: str
    grouping: str
    patients_known: bool
    um_per_px: float | None = None
    calibrate: tuple[str, ...] = ()
    glass: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a source (one box of it, where a field has several).

    path, mask: relative to the source's root, with forward slashes. class_key: None where no cell of it is wanted: a
    box then tells of a cell that is none of the others. mask_pad: pixels that the mask was cropped by on every side.
    box: x, y, width, height of the cell in the image, px, the last two 0 for a point. tight: the image was cropped to
    the cell, so touching the border is no sign of a cut cell. also_red: the whole, isolated red cells around are wanted
    too. name: of the class, as the source has it, where it may tell the cell's form. um_per_px: scale of the image,
    where it is not that of the whole source. outline: of the cell in a field, where somebody drew it.
    """

    path: str
    class_key: str | None
    group: str
    method: Method
    mask: str | None = None
    mask_pad: int = 0
    box: Box | None = None
    tight: bool = False
    also_red: bool = False
    name: str = ""
    um_per_px: float | None = None
    outline: Outline | None = None

    @property
    def class_id(self) -> int:
        """Of an entry of which a cell is wanted."""
        assert self.class_key is not None
        return BY_KEY[self.class_key].id


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All entries of a source in a fixed order, and the files it left out: reason -> number of files.

    An image that is left out takes its mask with it, uncounted. tables: the files of labels that were read, relative
    to the root; like the images they decide what the cells are.
    """

    facts: Facts
    entries: tuple[Entry, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
