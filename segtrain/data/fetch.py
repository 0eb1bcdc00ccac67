"""Two ways from sample numbers to a batch on the device: through the host, or within the GPU that holds the set.

`begin` may run in any thread; `finish` runs in the caller's, whose stream of GPU work the batch then belongs to.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from segtrain.data.augment import AugmentSpec, draw
from segtrain.data.resident import Resident
from segtrain.data.samples import Shards
from segtrain.data.shuffle import Index


class Batch(NamedTuple):
    """image: u1 (B, 3, H, W) RGB, channels_last in memory. label: u1 (B, H, W), 255 = ignore. number: i8 (B,), on the
    host: numbers of the samples in their split."""

    image: Tensor
    label: Tensor
    number: Tensor


class Begun(NamedTuple):
    """A batch, and what the GPU must have done before it is whole."""

    batch: Batch
    copied: torch.cuda.Event | None


class FromHost:
    """Reads samples, augments them if asked to, and copies batches to a GPU beside its other work."""

    def __init__(
        self, source: Shards | Resident, *, augment: AugmentSpec | None, seed: int, device: torch.device
    ) -> None:
        """augment: what is done here, on the host."""
        self._source, self._augment, self._seed, self._device = source, augment, seed, device
        self._size = source.size
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def begin(self, epoch: int, number: Index) -> Begun:
        """Reads; the copy to the GPU is under way when it returns."""
        batch = self._read(epoch, number)
        if self._copies is None:
            return Begun(batch, None)
        with torch.cuda.stream(self._copies):
            image, label = (host.to(self._device, non_blocking=True) for host in (batch.image, batch.label))
            return Begun(Batch(image, label, batch.number), self._copies.record_event())

    def finish(self, begun: Begun) -> Batch:
        """The batch; the GPU, not the caller, waits for the copy."""
        if begun.copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(begun.copied)
            begun.batch.image.record_stream(stream)
            begun.batch.label.record_stream(stream)
        return begun.batch

    def _read(self, epoch: int, number: Index) -> Batch:
        pinned = self._copies is not None
        images = torch.empty((len(number), *self._size, 3), dtype=torch.uint8, pin_memory=pinned)
        labels = torch.empty((len(number), *self._size), dtype=torch.uint8, pin_memory=pinned)
        to_image, to_label = images.numpy(), labels.numpy()
        if self._augment is not None:
            from segtrain.data.augment_host import augment  # albumentations takes seconds to load

            draws = draw(self._augment, seed=self._seed, epoch=epoch, index=number)
        for row, sample in enumerate(number.tolist()):
            image, label = self._source.read(sample)
            if self._augment is not None:
                image, label = augment(image, label, draws, row)
            to_image[row], to_label[row] = image, label
        return Batch(images.permute(0, 3, 1, 2), labels, torch.from_numpy(number))


class FromDevice:
    """Picks the samples out of a set that lies in the memory of the device."""

    def __init__(self, resident: Resident) -> None:
        self._resident = resident

    def begin(self, epoch: int, number: Index) -> Begun:  # noqa: ARG002
        """Picks."""
        numbers = torch.from_numpy(number)
        rows = numbers.to(self._resident.device, non_blocking=True)
        image = self._resident.image.index_select(0, rows).permute(0, 3, 1, 2)
        return Begun(Batch(image, self._resident.label.index_select(0, rows), numbers), None)

    def finish(self, begun: Begun) -> Batch:
        """The batch."""
        return begun.batch
