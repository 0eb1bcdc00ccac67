"""One stained slide: the colours of its dyes and glass. Every slide drifts, as stains, pH and lamps do.

Dyes are optical densities (natural log, RGB), so layers and overlapping cells add as they do in light. The colours
were set by eye against Romanowsky-stained smears.
"""

from dataclasses import dataclass

import numpy as np

from smearsynth.phantoms.dice import Dice, Floats

_AZURE = {
    "chromatin": (0.30, 0.16, 0.50),
    "young_chromatin": (0.44, 0.23, 0.60),
    "basophil_granule": (0.17, 0.09, 0.36),
    "lymphocyte_plasm": (0.62, 0.68, 0.88),
    "monocyte_plasm": (0.74, 0.71, 0.85),
    "platelet_body": (0.79, 0.68, 0.86),
    "platelet_granule": (0.42, 0.20, 0.50),
    "parasite_plasm": (0.52, 0.44, 0.76),
    "parasite_chromatin": (0.56, 0.08, 0.36),
}
_EOSIN = {
    "eosinophil_granule": (0.78, 0.41, 0.42),
    "eosinophil_plasm": (0.88, 0.62, 0.66),
    "basophil_plasm": (0.84, 0.70, 0.84),
    "neutrophil_plasm": (0.90, 0.76, 0.86),
    "neutrophil_granule": (0.74, 0.54, 0.74),
    "haemoglobin": (0.86, 0.67, 0.68),
    "pigment": (0.36, 0.26, 0.16),
}
_GREYING = (0.8, -0.3, -0.55)
"""Relative change of eosin's densities, RGB, in a fully alkaline buffer."""


@dataclass(frozen=True)
class Slide:
    """glass: light through the empty slide, f8 (3,) RGB 0-255. azure, eosin: strength of the two dye families,
    f8 (3,) RGB: what they multiply the densities of their dyes by.
    """

    glass: Floats
    azure: Floats
    eosin: Floats

    @classmethod
    def stained(cls, dice: Dice, glass: tuple[int, int, int], drift: float, alkaline: float = 0.2) -> "Slide":
        """A slide as stained on some day.

        glass: RGB of the laboratory's mean. drift: relative spread of lamp and stain. alkaline: how far the buffer may
        be off, 0-1; an alkaline one turns what eosin stains from pink to greyish blue.
        """
        lamp = np.array(glass) + 40 * drift * dice.normals(1) + 20 * drift * dice.normals(3)
        hue = np.exp(0.6 * drift * dice.normals(3))
        greying = 1 + dice.between(0.0, alkaline) * np.array(_GREYING)
        return cls(
            glass=np.clip(lamp, 0, 250),
            azure=dice.near(1.0, drift) * hue,
            eosin=dice.near(1.0, drift) * hue * greying,
        )

    def dye(self, name: str) -> Floats:
        """Optical density of the named stained matter, f8 (3,) RGB."""
        family, strength = (_AZURE, self.azure) if name in _AZURE else (_EOSIN, self.eosin)
        return -np.log(np.array(family[name])) * strength
