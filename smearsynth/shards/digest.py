"""What "the same dataset" means: digests over pixels, whatever the container, codec and sharding."""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def sample_digest(
    image: npt.NDArray[np.uint8], label: npt.NDArray[np.uint8], instance: npt.NDArray[np.uint16] | None = None
) -> str:
    """sha256, 64 hex digits, over image, label and instance in C order, little-endian; an imported sample has no
    instance.
    """
    sha = hashlib.sha256(np.ascontiguousarray(image, "u1").data)
    sha.update(np.ascontiguousarray(label, "u1").data)
    if instance is not None:
        sha.update(np.ascontiguousarray(instance, "<u2").data)
    return sha.hexdigest()


def dataset_digest(sample_digests: Iterable[str]) -> str:
    """sha256, 64 hex digits, over the raw 32-byte sample digests.

    They come in the order train, val, test and by ascending row: ascending scene, looks of a scene in recipe
    order.
    """
    sha = hashlib.sha256()
    for digest in sample_digests:
        sha.update(bytes.fromhex(digest))
    return sha.hexdigest()
