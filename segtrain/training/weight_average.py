"""An average of a network's weights over the last steps, which mostly segments better than the last step's."""

import copy
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """`model` is a copy whose weights follow the trained network's: w = decay * w + (1 - decay) * trained.

    The decay of update t = 1, 2, ... is min(decay, (1 + t) / (10 + t)), so that the drawn weights of the start are soon
    forgotten. Running means of batch normalisation are averaged as weights are; counters are copied. Weights stay in
    their own format, fp32.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """decay: 0 to below 1."""
        assert 0 <= decay < 1
        self.decay, self.updates = decay, 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the weights after an optimiser step. model: the module itself, not what DDP or torch.compile wrap
        around it. Never waits for the device."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, trained = _tensors(self.model), _tensors(model)
        floats = [key for key, value in averages.items() if value.is_floating_point()]
        torch._foreach_lerp_([averages[k] for k in floats], [trained[k] for k in floats], 1 - decay)
        for key in averages.keys() - set(floats):
            averages[key].copy_(trained[key])

    def state_dict(self) -> dict[str, Any]:
        """Tensors and a number."""
        return {"updates": self.updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach() for key, value in model.state_dict().items()}
