"""Stops a training before a loss that is no number reaches the weights, without making the host wait for the device.

Each step leaves a flag on the device: 0, or 1 from the first step on whose loss or gradients were not finite. The fused
optimisers of torch take such a flag (they were given it for loss scaling) and then leave the weights alone. So the host
may look at it seldom, and still finds the weights as they were before that step.
"""

import torch
from torch import Tensor, nn


class Guard:
    """Watches the loss and gradients of every step."""

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        """optimiser: a fused one, over the parameters of `model`."""
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._optimiser = optimiser
        self._tripped = torch.zeros((), device=device)
        self._good = torch.zeros((), dtype=torch.int64, device=device)

    def step(self, loss: Tensor) -> None:
        """The optimiser's step, which changes nothing from the first step on that is not finite. Never waits."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        bad = ~torch.isfinite(loss.detach() + norm)
        self._tripped = torch.maximum(self._tripped, bad.float())
        self._good += self._tripped == 0
        self._optimiser.found_inf = self._tripped  # type: ignore[attr-defined]
        self._optimiser.step()

    @property
    def good_steps(self) -> int:
        """Steps so far, up to the one that was not finite; reading it waits for the device."""
        return int(self._good)
