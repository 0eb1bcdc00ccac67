"""A split measured once, with all that is kept of each of its images."""

import time
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segtrain.compute import Compute
from segtrain.data.loader import Loader
from segtrain.data.samples import Shards
from segtrain.data.shuffle import Index
from segtrain.evaluation.objects import ObjectHits, Objects
from segtrain.evaluation.split import Measures, Predict, predictions
from segtrain.metrics.confusion import per_image, whole_scores


@dataclass(frozen=True, kw_only=True)
class Measured:
    """numbers: i8 (N,), of the images in `shards`. matrices: i8 (N, C, C), the confusion matrix of each, rows truth.
    objects: None where the set does not know its cells, or was not asked for them. images_per_second: of the network
    alone, from pixels in memory to logits; nan of a single batch."""

    shards: Shards
    numbers: Index
    measures: Measures
    matrices: npt.NDArray[np.int64]
    objects: Objects | None
    images_per_second: float

    @property
    def scores(self) -> list[float]:
        """mIoU of each image over the classes in its truth or prediction; nan where all is ignored."""
        found: list[float] = whole_scores(torch.from_numpy(self.matrices))["miou"].tolist()
        return found

    @property
    def units(self) -> Index:
        """i8 (N,): images of one number belong together, as looks of one scene, or what the set calls a group."""
        group, scene = self.shards.groups, self.shards.column("scene")
        unit = scene if group is None else group
        return self.numbers if unit is None else unit[self.numbers].astype(np.int64)


def measure_images(
    predict: Predict,
    shards: Shards,
    samples: Index | None,
    *,
    batch: int,
    compute: Compute,
    objects: bool,
    progress: bool,
) -> Measured:
    """samples: numbers of those to measure, None for all. objects: whether cells are looked at one by one, where the
    set knows them."""
    measures = Measures(shards.classes, compute.device, boundaries=False)
    timed, hits = Timed(predict), ObjectHits.of(shards) if objects else None
    numbers, matrices = [], []
    with closing(Loader(shards, batch=batch, shuffle=False, samples=samples, device=compute.device)) as loader:
        for logits, label, number in predictions(timed, loader, progress=progress):
            prediction = logits.argmax(dim=1)
            measures.update(logits, label)
            matrices.append(per_image(prediction, label, len(shards.classes)).cpu().numpy())
            numbers.append(number.numpy())
            if hits is not None:
                hits.update(prediction, label, number)
    return Measured(
        shards=shards,
        numbers=np.concatenate(numbers),
        measures=measures,
        matrices=np.concatenate(matrices),
        objects=None if hits is None else hits.result(),
        images_per_second=timed.images_per_second,
    )


class Timed:
    """A way of predicting that knows how long it took; the first batch, which also prepares the device, is left out."""

    def __init__(self, predict: Predict) -> None:
        self._predict, self._begun = predict, False
        self._images, self._seconds = 0, 0.0

    def __call__(self, image: Tensor) -> Tensor:
        start = time.perf_counter()
        logits = self._predict(image)
        if logits.device.type == "cuda":
            torch.cuda.synchronize(logits.device)
        if self._begun:
            self._images += len(image)
            self._seconds += time.perf_counter() - start
        self._begun = True
        return logits

    @property
    def images_per_second(self) -> float:
        """nan before the second batch."""
        return self._images / self._seconds if self._images else float("nan")
