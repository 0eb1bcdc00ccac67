"""The ten classes of a smear, taxonomy version 1, and the three splits of cells and smears.

Mean areas are the reference system's published means at 40x. At 0.20 um/px they are a 7.3 um red cell, a 16 um
eosinophil and a 3.5 um platelet, so the scale is stated in um per pixel and not as a bare magnification.
"""

from dataclasses import dataclass

TAXONOMY_VERSION = 1
UM_PER_PX = 0.20
"""Scale that every cell is brought to ("40x"), micrometres per pixel."""
IGNORE = 255
"""Label of a pixel that has no weight and enters no metric; only imported sets contain it."""
UNSURE = "unsure"
"""What a cell is called that a network names with too little certainty; in the map of a prediction it is `IGNORE`."""


@dataclass(frozen=True)
class CellClass:
    """One class: label id, key in recipes and files, display name, sRGB colour, mean area at 40x in px."""

    id: int
    key: str
    name: str
    colour: str
    area: int

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The colour as three values 0-255."""
        return rgb_of(self.colour)


CLASSES = (
    CellClass(0, "background", "Background", "#000000", 0),
    CellClass(1, "eosinophil", "Eosinophil", "#00ffff", 4987),
    CellClass(2, "basophil", "Basophil", "#008080", 4994),
    CellClass(3, "neutrophil", "Neutrophil", "#fbbebe", 4879),
    CellClass(4, "lymphocyte", "Lymphocyte", "#808000", 2744),
    CellClass(5, "monocyte", "Monocyte", "#000080", 6694),
    CellClass(6, "thrombocyte", "Thrombocyte", "#ffff00", 244),
    CellClass(7, "platelet_clump", "Platelet clump", "#ff00ff", 614),
    CellClass(8, "infected_rbc", "Infected RBC", "#ff0000", 1092),
    CellClass(9, "healthy_rbc", "Healthy RBC", "#00ff00", 1040),
)

BY_KEY = {c.key: c for c in CLASSES}
WHITE_CELLS = (1, 2, 3, 4, 5)
THROMBOCYTE, PLATELET_CLUMP, INFECTED_RBC, HEALTHY_RBC = 6, 7, 8, 9
FOREGROUND_CLASSES = (*WHITE_CELLS, THROMBOCYTE, PLATELET_CLUMP)
"""The seven classes that a smear holds none, one or two of, beside its red cells."""
RED_CELLS = (INFECTED_RBC, HEALTHY_RBC)

SPLITS = ("train", "val", "test")
"""In the order of every file and digest; a split's number is its place here."""


def rgb_of(colour: str) -> tuple[int, int, int]:
    """The three values 0-255 of "#rrggbb"."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def display_name(key: str) -> str:
    """What a person calls the class `key`; of one that the taxonomy does not have, the key."""
    return BY_KEY[key].name if key in BY_KEY else key
