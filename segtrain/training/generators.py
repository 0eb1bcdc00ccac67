"""The global random generators of a process: seeded, and carried over a resume.

Weights are drawn from torch's, and dropout; Python's and numpy's are kept for whatever library may draw from them.
Augmentation and shuffling draw from none (see `data.keyed_random`).
"""

import os
import random
from typing import Any

import numpy as np
import torch

from segtrain.networks.checkpoint import State


def seed_generators(seed: int, *, deterministic: bool) -> None:
    """Every generator. deterministic: whether a GPU must compute the same bits every time, too."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def random_states() -> State:
    """The states of every generator: Python's, numpy's, torch's on the CPU and on each GPU; as a checkpoint takes
    them, without numpy arrays."""
    version, words, gauss = random.getstate()
    twister: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    words_of_numpy = torch.from_numpy(twister["state"]["key"].astype(np.int64))
    return {
        "python": (version, torch.tensor(words, dtype=torch.int64), gauss),
        "numpy": {**twister, "state": {**twister["state"], "key": words_of_numpy}},
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_states(state: State) -> None:
    """Sets every generator to where `random_states` found it; the GPUs' only where there are as many."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    twister = state["numpy"]
    words_of_numpy = twister["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state({**twister, "state": {**twister["state"], "key": words_of_numpy}})  # noqa: NPY002
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])
