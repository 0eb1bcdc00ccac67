"""The processes of one training: one, or as many as torchrun has started; and the signals that stop them.

A number that decides what happens next (a stop, a loss that is not finite) must be the same in all of them, or one
waits for the others for ever; `any` and `total` bring it to one value.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
import torch.distributed as dist
from torch import Tensor

from smearsynth.base.errors import WorkError


@dataclass(frozen=True)
class Ranks:
    """This process among those of the training. rank: 0 to world - 1; local: its number on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def any(self, *flags: bool, device: torch.device) -> list[bool]:
        """For each flag, whether it is set in any process."""
        if self.world == 1:
            return list(flags)
        return [bool(n) for n in self.total(torch.tensor(flags, dtype=torch.int64, device=device)).tolist()]

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Gives every process the tensors of the first, in place."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process's place, as torchrun states it in the environment; gloo joins CPUs, nccl GPUs."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    ranks = Ranks(int(os.environ["RANK"]), world, int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


class TrainingStoppedError(WorkError):
    """A training ended because it was asked to, and its state is saved."""


class StopSignal:
    """SIGTERM or Ctrl-C, which the training reads between two steps. by: the signal's name, "" as long as none came."""

    def __init__(self) -> None:
        self.by = ""

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler's signature)
        """Notes the signal; the next one of its kind ends the process at once."""
        self.by = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def listening() -> Iterator[StopSignal]:
    """Notes both signals for the time of the block; outside the main thread, where no handler can be set, neither."""
    stop = StopSignal()
    try:
        before = {number: signal.signal(number, stop.note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
