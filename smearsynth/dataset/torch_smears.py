"""Smears as a dataset of torch, for training loops of one's own; the one module of smearsynth that knows torch.

What a transform draws is keyed by (seed, epoch, index): before each call all generators that it may draw from are
seeded with that key, and put back behind it. So a sample is changed in the same way whatever worker fetches it, in
whatever order, and an interrupted epoch can be gone on with.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from smearsynth.base.errors import UserError
from smearsynth.base.splitmix import mix
from smearsynth.dataset.smears import SmearSplit

_BEHIND = ("instance", "parasite")


class Transform(Protocol):
    """What albumentations calls a transform: takes image=, uint8 (H, W, 3), and mask=, uint8 (H, W), the label, or
    masks=, the label and further maps; gives a mapping with the same keys. To be sent to workers that are spawned, it
    must be picklable."""

    def __call__(self, **arrays: Any) -> Mapping[str, Any]: ...


class TorchSmears(Dataset[tuple[Tensor, ...]]):
    """image float32 (3, H, W) in 0 to 1, label int64 (H, W), and of `maps` each int64 (H, W).

    A label of 255 has no weight: give `ignore_index=255` to the loss, of imported sets. A transform gets uint8 arrays,
    and the image that it gives is divided by 255 where it still is uint8; what is float already, as after
    `albumentations.Normalize`, stays as it is, and so does a tensor.

    >>> dataset = smearsynth.open("quickstart")["train"].torch()
    >>> images, labels = next(iter(torch.utils.data.DataLoader(dataset, 16, shuffle=True)))
    >>> images.shape, labels.shape
    (torch.Size([16, 3, 224, 224]), torch.Size([16, 224, 224]))
    """

    def __init__(
        self, smears: SmearSplit, transform: Transform | None = None, *, maps: Sequence[str] = (), seed: int = 0
    ) -> None:
        """Raises UserError where the smears have not one of `maps`."""
        unknown = [name for name in maps if name not in _BEHIND or name not in smears.maps]
        if unknown:
            there = ", ".join(name for name in _BEHIND if name in smears.maps) or "neither instance nor parasite"
            raise UserError(f"{unknown[0]!r} is no map that these smears have; they have {there}", "maps")
        smears.prepare()
        self.smears, self.transform, self.maps, self.seed = smears, transform, tuple(maps), seed
        # In shared memory, so that it reaches workers that live on from epoch to epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Other draws of the transform than in other epochs; call it before the epoch's first batch."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.smears)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        arrays = self.smears.read(index, ("image", "label", *self.maps))
        image, masks = arrays["image"], [arrays[name] for name in ("label", *self.maps)]
        if self.transform is not None:
            number = self.smears.number_of(index)
            with _seeded(_key(self.seed, int(self._epoch), number), self.transform):
                image, masks = _transformed(self.transform, image, masks)
        return _image_tensor(image), *map(_map_tensor, masks)


def _transformed(transform: Transform, image: Any, masks: list[Any]) -> tuple[Any, list[Any]]:
    several = len(masks) > 1
    changed = transform(image=image, masks=masks) if several else transform(image=image, mask=masks[0])
    try:
        return changed["image"], list(changed["masks"]) if several else [changed["mask"]]
    except (KeyError, TypeError, IndexError):
        keys = "image and masks" if several else "image and mask"
        raise UserError(
            f"the transform gave {type(changed).__name__}: it takes {keys} by name, and gives a mapping with both, as "
            "those of albumentations do",
            "transform",
        ) from None


def _key(seed: int, epoch: int, number: int) -> int:
    """32 bits, which every generator takes as its seed."""
    key = np.zeros(1, np.uint64)
    for part in (seed, epoch, number):
        key = mix(key ^ np.uint64(part % 2**64))
    return int(key[0] >> np.uint64(32))


@contextmanager
def _seeded(key: int, transform: Any) -> Iterator[None]:
    """All generators that a transform may draw from, seeded for one call and then put back as they were; those of
    albumentations are its own."""
    if hasattr(transform, "set_random_seed"):
        transform.set_random_seed(key)
    python, of_numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(key)
    np.random.seed(key)  # noqa: NPY002
    torch.set_rng_state(torch.Generator().manual_seed(key).get_state())
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        torch.set_rng_state(of_torch)


def _image_tensor(image: npt.NDArray[Any] | Tensor) -> Tensor:
    """(3, H, W) of (H, W, 3); a tensor is taken to be as torch has images."""
    if not isinstance(image, Tensor):
        image = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    return image.to(torch.float32) / 255 if image.dtype == torch.uint8 else image.to(torch.float32)


def _map_tensor(mask: npt.NDArray[Any] | Tensor) -> Tensor:
    return mask.to(torch.int64) if isinstance(mask, Tensor) else torch.from_numpy(mask.astype(np.int64))
