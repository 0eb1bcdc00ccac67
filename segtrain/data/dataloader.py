"""Batches of one split for the training loop: what is in them is a function of (seed, epoch, step), nothing else.

Workers are threads, because inflating and OpenCV leave the interpreter's lock: on two shared cores two threads read
4,800 samples/s from gzip shards and two processes, which must pass each batch through shared memory, 2,900. There is no
fork beside a GPU, nothing to leak, and no worker that dies apart from the program: what goes wrong in one is raised
where its batch is due. A GPU augments by itself; where there is none, albumentations takes an eighth of torch's time.

A batch is fetched in two halves: `begin` runs in any thread, `finish` in the caller's, whose stream of GPU work the
batch then belongs to.
"""

import os
import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segtrain.data.augmentation import AugmentSpec, augment_batch, draw
from segtrain.data.in_memory import InMemoryDataset
from segtrain.data.sampler import Budget, Index, budget_batches, evaluation_batches, training_batches
from segtrain.data.samples import INSTANCE, PARASITE, Maps, Shards
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores

_AHEAD = 2
"""Batches that are begun beyond one for each worker."""
_MOST_WORKERS = 8
_TYPES = {"label": torch.uint8, INSTANCE: torch.int32, PARASITE: torch.uint8}


class Batch(NamedTuple):
    """image: uint8 (B, 3, H, W) RGB, channels_last in memory. label: uint8 (B, H, W), 255 = ignore. number: int64 (B,),
    on the host: numbers of the samples in their split. Where they are asked for, instance: int32 (B, H, W), 0 = no
    cell, else its number in its image; parasite: uint8 (B, H, W), 0, 1, 255 = not known."""

    image: Tensor
    label: Tensor
    number: Tensor
    instance: Tensor | None = None
    parasite: Tensor | None = None

    @property
    def maps(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        named = {"label": self.label, INSTANCE: self.instance, PARASITE: self.parasite}
        return {name: one for name, one in named.items() if one is not None}

    def to(self, device: torch.device) -> "Batch":
        """With image and maps there; from pinned memory, nobody waits."""
        maps = {name: one.to(device, non_blocking=True) for name, one in self.maps.items()}
        return Batch(self.image.to(device, non_blocking=True), number=self.number, **maps)


class PendingBatch(NamedTuple):
    """A batch, and what the GPU must have done before it is whole."""

    batch: Batch
    copied: torch.cuda.Event | None


class HostFetcher:
    """Reads samples, augments them if asked to, and copies batches to a GPU beside its other work."""

    def __init__(
        self,
        source: Shards | InMemoryDataset,
        *,
        augment: AugmentSpec | None,
        seed: int,
        device: torch.device,
        maps: Collection[str],
    ) -> None:
        """augment: what is done here, on the host. maps: of `samples.MORE_MAPS`."""
        self._source, self._augment, self._seed, self._device = source, augment, seed, device
        self._maps = maps
        self._size = source.size
        self._copies = torch.cuda.Stream(device) if device.type == "cuda" else None

    def begin(self, key: int, number: Index) -> PendingBatch:
        """Reads the samples `number`; the copy to the GPU is under way when it returns. key: what
        augmentation is drawn by beside the sample."""
        batch = self._read(key, number)
        if self._copies is None:
            return PendingBatch(batch, None)
        with torch.cuda.stream(self._copies):
            return PendingBatch(batch.to(self._device), self._copies.record_event())

    def finish(self, pending: PendingBatch) -> Batch:
        """The batch; the GPU, not the caller, waits for the copy."""
        if pending.copied is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(pending.copied)
            for tensor in (pending.batch.image, *pending.batch.maps.values()):
                tensor.record_stream(stream)
        return pending.batch

    def _read(self, key: int, number: Index) -> Batch:
        pinned = self._copies is not None
        images = torch.empty((len(number), *self._size, 3), dtype=torch.uint8, pin_memory=pinned)
        maps = {
            name: torch.empty((len(number), *self._size), dtype=_TYPES[name], pin_memory=pinned)
            for name in ("label", *self._maps)
        }
        to_image, to_map = images.numpy(), {name: one.numpy() for name, one in maps.items()}
        if self._augment is not None:
            from segtrain.data.albumentations_adapter import augment_sample  # albumentations takes seconds to load

            draws = draw(self._augment, seed=self._seed, epoch=key, index=number)
        for row, sample in enumerate(number.tolist()):
            image, label = self._source.read(sample)
            found: Maps = {"label": label, **(self._source.more_maps(sample, self._maps) if self._maps else {})}
            if self._augment is not None:
                image, found = augment_sample(image, found, draws, row)
            to_image[row] = image
            for name, one in found.items():
                to_map[name][row] = one
        return Batch(images.permute(0, 3, 1, 2), number=torch.from_numpy(number), **maps)


class GpuFetcher:
    """Picks samples out of a set that is in the memory of the GPU."""

    def __init__(self, dataset: InMemoryDataset) -> None:
        self._dataset = dataset

    def begin(self, key: int, number: Index) -> PendingBatch:  # noqa: ARG002
        """Picks the samples `number`."""
        numbers = torch.from_numpy(number)
        rows = numbers.to(self._dataset.device, non_blocking=True)
        image = self._dataset.image.index_select(0, rows).permute(0, 3, 1, 2)
        maps = {"label": self._dataset.label, **self._dataset.maps}
        picked = {name: one.index_select(0, rows) for name, one in maps.items()}
        return PendingBatch(Batch(image, number=numbers, **picked), None)

    def finish(self, pending: PendingBatch) -> Batch:
        """The batch."""
        return pending.batch


class Loader:
    """Reads, augments and batches; its workers stay from epoch to epoch until `close`."""

    def __init__(
        self,
        source: Shards | InMemoryDataset,
        *,
        batch: int,
        shuffle: bool,
        seed: int = 0,
        augment: AugmentSpec | None = None,
        samples: Index | None = None,
        budget: Budget | None = None,
        maps: Collection[str] = (),
        workers: int | None = None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """batch: samples of a step on each rank. shuffle: training (shared evenly over ranks, by seed and epoch);
        else evaluation (in order, every sample on exactly one rank). samples: numbers of those to use, default all.
        budget: how many images the training sees in all, on one rank; None: an epoch is a pass over the samples.
        maps: of `samples.MORE_MAPS`, those that batches are to have beside the label; of a set that has them.
        workers: threads, 0 for the caller's own, None for `default_workers`. UserError where `augment` cannot be done
        to these images."""
        assert budget is None or world == 1, "the images of a budget are counted on one rank"
        self.batch, self.shuffle, self.seed, self.rank, self.world = batch, shuffle, seed, rank, world
        self._budget = budget
        self.device = torch.device(device)
        self.waited = 0.0
        """Seconds that the caller has waited for batches so far."""
        self._samples = np.arange(len(source)) if samples is None else np.asarray(samples, np.int64)
        self._pool: ThreadPoolExecutor | None = None

        spec = None if augment is None or augment.changes_nothing else augment
        if spec is not None:
            _refuse_augmentation(spec, source)
        by_gpu = self.device.type == "cuda" and spec is not None and not spec.needs_host
        self._on_device = spec if by_gpu else None
        self._fetch: GpuFetcher | HostFetcher
        if isinstance(source, InMemoryDataset) and source.on_gpu:
            self._fetch, self.workers = GpuFetcher(source), 0
        else:
            self._fetch = HostFetcher(
                source, augment=None if by_gpu else spec, seed=seed, device=self.device, maps=maps
            )
            self.workers = default_workers(self.device) if workers is None else workers
        # Asked for at every step, and a plan shuffles the whole split.
        self._batches = len(self._plan(0))

    def __len__(self) -> int:
        """Batches of an epoch on this rank, the same in every epoch."""
        return self._batches

    def images(self, epochs: int) -> int:
        """Of so many epochs of training, over all ranks."""
        if self._budget:
            return self._budget.images * epochs // self._budget.epochs
        return epochs * (len(self._samples) - len(self._samples) % self.world)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on."""
        plan = [(self._key(epoch, step), number) for step, number in enumerate(self._plan(epoch))][start:]
        fetched = self._fetched(plan)
        for key, _ in plan:
            called = time.perf_counter()
            pending = next(fetched)
            self.waited += time.perf_counter() - called
            yield self._augmented_on_device(key, self._fetch.finish(pending))

    def close(self) -> None:
        """Ends the workers; the next epoch starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _key(self, epoch: int, step: int) -> int:
        """What augmentation is drawn by beside the sample: the same sample may come again in an epoch of a budget."""
        return epoch * self._batches + step if self._budget else epoch

    def _plan(self, epoch: int) -> list[Index]:
        if self._budget:
            return budget_batches(self._samples, self.batch, self._budget, seed=self.seed, epoch=epoch)
        if self.shuffle:
            return training_batches(
                self._samples, self.batch, seed=self.seed, epoch=epoch, rank=self.rank, world=self.world
            )
        return evaluation_batches(self._samples, self.batch, rank=self.rank, world=self.world)

    def _fetched(self, plan: list[tuple[int, Index]]) -> Iterator[PendingBatch]:
        if self.workers == 0:
            yield from (self._fetch.begin(key, number) for key, number in plan)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="loader")
        ahead: deque[Future[PendingBatch]] = deque()
        try:
            for key, number in plan:
                ahead.append(self._pool.submit(self._fetch.begin, key, number))
                if len(ahead) == self.workers + _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def _augmented_on_device(self, key: int, batch: Batch) -> Batch:
        if self._on_device is None:
            return batch
        draws = draw(self._on_device, seed=self.seed, epoch=key, index=batch.number.numpy())
        image, maps = augment_batch(batch.image, batch.maps, draws, self._on_device)
        return Batch(image, number=batch.number, **maps)


def _refuse_augmentation(spec: AugmentSpec, source: Shards | InMemoryDataset) -> None:
    """UserError where `spec` cannot be done to the images of `source`."""
    height, width = source.size
    if spec.quarter_turns and height != width:
        raise UserError(f"augment.quarter_turns needs square images, these are {width} x {height} px: switch it off.")
    if spec.needs_host and isinstance(source, InMemoryDataset) and source.on_gpu:
        raise UserError("augment.jpeg_range works on the host only: leave it out, or leave `resident` out.")


def default_workers(device: torch.device) -> int:
    """One where the network needs the cores itself; beside a GPU this rank's share of the cores, at most 8."""
    if device.type == "cpu":
        return 1
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(_MOST_WORKERS, usable_cores() // ranks_here))
