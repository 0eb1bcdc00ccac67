"""A trained network as a Python object, with a call on an array or a path: what it sees in it, and the cells it counts.

It goes the ways of `segtrain.predict` and `segtrain.count`; what those write into files is here held in memory.
"""

import html
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from segtrain.counting.cell_measures import FieldCells
from segtrain.counting.count import CountResult, count_images, count_result, names_of
from segtrain.counting.count_tables import record
from segtrain.counting.counted_picture import draw_cells
from segtrain.counting.pooled_fields import FieldNames
from segtrain.counting.prediction import Prediction, as_png, predict_image
from segtrain.counting.summary import CountSummary
from segtrain.counting.watershed_split import Labels
from segtrain.inference.exported_networks import load_onnx
from segtrain.inference.field_prediction import JudgedImage, open_images, um_per_px_of
from segtrain.inference.image_reader import ImageReader, as_image, open_image
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.pretrained import or_shipped
from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels
from smearsynth.fields.scale import AUTO, Scale

ImageLike = str | Path | Pixels
"""A path, or an array: uint8, (H, W, 3) RGB or (H, W) grey."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CellCount(CountResult):
    """The cells of one image or several; what `CountResult` has, and each cell.

    cells: a mapping each, as `pandas.DataFrame(count.cells)` takes them: image, cell (its number), class (a key, or
    "unsure"), x, y, left, top, right, bottom (px of the image), area_um2, confidence, eccentricity, border and counted
    (1, or 0 where the bottom or the right edge cuts it). Printed, it is what a laboratory reports; in a notebook, with
    the picture of an only image.

    >>> count = segtrain.load("runs/first").count("field.png", um_per_px=0.2)
    >>> count.map.max() == len(count.cells), sum(count.summary.cells.values()) <= len(count.cells)
    (np.True_, True)
    """

    cells: list[dict[str, Any]]
    given: tuple[JudgedImage, ...]
    found: tuple[FieldCells, ...]
    networks: Networks

    @property
    def summary(self) -> CountSummary:
        """Of all images together: cells by class, parasitaemia, differential, each with its interval; see
        `CountSummary`."""
        return self.together

    @property
    def map(self) -> Labels:
        """int32 (H, W) of an only image: 0 = no cell, else the number of a cell, `cell` in `cells`. UserError where
        there are several: see `maps`."""
        if len(self.found) != 1:
            raise UserError(f"{len(self.found)} images were counted, each with a map of its own: take `maps`.")
        return self.maps[0]

    @cached_property
    def maps(self) -> tuple[Labels, ...]:
        """The map of each image, in their order."""
        return tuple(one.native_map() for one in self.found)

    def picture(self, number: int = 0) -> Pixels:
        """uint8 (H', W', 3): image `number` with each cell outlined and numbered, and a legend."""
        one = self.given[number]
        pixels = one.image.rows(0, one.image.shape[0])
        return draw_cells(pixels, one.um_per_px, self.found[number], self.networks.classes)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        text = f"<pre>{html.escape(str(self))}</pre>"
        if len(self.found) > 1:
            return text
        return f'{text}<img src="data:image/png;base64,{b64encode(as_png(self.picture())).decode()}">'


class Network:
    """A network that is ready for use; made by `segtrain.load`."""

    def __init__(self, networks: Networks, name: str) -> None:
        self.networks, self.name = networks, name

    @property
    def classes(self) -> tuple[str, ...]:
        """Keys of the classes that it tells apart, by id."""
        return self.networks.classes.keys

    @property
    def um_per_px(self) -> float:
        """The scale that it was trained at; images of any other are brought to it."""
        return self.networks.um_per_px

    def predict(
        self, image: ImageLike, um_per_px: float | str | Path = AUTO, *, probability: bool = False
    ) -> Prediction:
        """The class of every pixel of an image of any size.

        image: a path, or an array, uint8, (H, W, 3) RGB or (H, W) grey. um_per_px: micrometres per pixel of the image,
        the path of a table, or "auto", by which the median single red cell is 7.3 um wide. probability: keep those of
        all classes. Raises UserError where the image is none, or shows no scale.

        >>> net = segtrain.load("runs/first")
        >>> field = numpy.full((300, 400, 3), 230, numpy.uint8)
        >>> net.predict(field, um_per_px=0.1).label.shape
        (300, 400)
        """
        reader = open_image(image) if isinstance(image, str | Path) else as_image(image)
        return predict_image(
            self.networks, reader, um_per_px_of(reader, Scale(str(um_per_px))), probability=probability
        )

    def count(
        self,
        images: ImageLike | Sequence[ImageLike],
        um_per_px: float | str | Path = AUTO,
        *,
        progress: bool = False,
    ) -> CellCount:
        """The cells of one image or several, for research and not for a diagnosis.

        images: as for `predict`, a folder of them, or a list. Cells that the bottom or right edge cuts are found, and
        not counted. progress: a bar on stderr, or lines in a log. Raises UserError as `predict` does.

        >>> count = segtrain.load("runs/first").count(["field.png"], um_per_px=0.2)
        >>> cells = pandas.DataFrame(count.cells)
        """
        several = list(images) if isinstance(images, list | tuple) else [images]
        arrays = sum(not isinstance(image, str | Path) for image in several)
        readers: list[ImageReader] = []
        left_out: list[str] = []
        for number, image in enumerate(several):
            name = f"images[{number}]" if arrays > 1 else "image"
            if isinstance(image, str | Path):
                files, deeper = open_images([image])
                readers, left_out = readers + files, [*left_out, *deeper]
            else:
                readers.append(as_image(image, name))
        if not readers:
            raise UserError("there is no image: give a path, an array, or a list of them", "images")
        scale, names = Scale(str(um_per_px)), names_of([Path(reader.name) for reader in readers])
        given, found, warnings = count_images(self.networks, readers, scale, lambda _, cells: cells, progress=progress)
        fields = FieldNames(images=names, groups={})
        result = count_result(self.networks, scale, fields, given, [field.cells for field in found], warnings, left_out)
        pairs = zip(given, found, strict=True)
        return CellCount(
            images=result.images,
            together=result.together,
            made_with=result.made_with,
            warnings=result.warnings,
            cells=[record(names[one.path], cell) for one, field in pairs for cell in field.cells],
            given=tuple(given),
            found=tuple(found),
            networks=self.networks,
        )

    def __repr__(self) -> str:
        return (
            f"<Network {self.name}: {len(self.classes)} classes at {self.um_per_px:g} um/px, on {self.networks.device}>"
        )


def load(
    run: str | Path | None = None,
    *,
    others: Sequence[str | Path] = (),
    which: Literal["best", "last"] = "best",
    tta: bool = False,
    cells: str | Path | None = None,
    prevalence: float | None = None,
    batch: int | None = None,
    device: str = "auto",
) -> Network:
    """A network, to be called on arrays and paths.

    run: the folder of a training, or an ONNX file that `segtrain.export` wrote; by default the networks that come with
    the package. others: runs whose probabilities are averaged with its own. which: the network of the best epoch or of
    the last. tta: average over the eight views of a tile, turned and mirrored. cells: the run of a network that names
    each cell that `count` finds. prevalence: share of the red cells that are thought to be infected, as for
    `segtrain.count`. batch: tiles at a time, by default what suits the device. device: "auto", "cpu",
    "cuda" or "cuda:1". Raises UserError.

    >>> net = segtrain.load("runs/first")
    >>> net.classes[8:]
    ('infected_rbc', 'healthy_rbc')
    """
    known = run is not None
    path, cells = or_shipped(run, cells)
    more = list(others)
    if path.is_file():
        if cells is not None or prevalence is not None or which == "last":
            raise UserError(
                f"{path} is an exported network, which stands alone: name its run, or leave these out",
                "cells",
                "prevalence",
                "which",
            )
        return Network(load_onnx([path, *more], tta=tta, batch=batch), path.name)
    networks = load_networks(
        [path, *more], which=which, tta=tta, batch=batch, device=device, cells=cells, prevalence=prevalence
    )
    return Network(networks, str(path) if known else "of segtrain")
