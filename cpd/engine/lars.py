"""LARS: SGD whose step on each weight is scaled to that weight's norm (You et al., arXiv 1708.03888, equation 6).

Large batches need large learning rates, and those need this. torch has none, and packages that do bring much else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TRUST = 0.001
EPS = 1e-8


class Lars(torch.optim.Optimizer):
    """g' = (g + decay * w) * trust * |w| / (|g| + decay * |w|), then momentum as torch's SGD has it.

    Weights of one dimension (biases, batch norm) are neither scaled nor decayed, as SimCLR and BYOL do and the
    persistency study does. A weight or a gradient that is zero altogether is stepped as by plain SGD.

    Args:
        params: parameters, or groups of them.
        lr: learning rate.
        momentum: share of the last step.
        weight_decay: of weights with two dimensions or more.
    """

    def __init__(self, params: Any, *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; parameters without gradient are left alone, and keep their momentum."""
        for group in self.param_groups:
            used = [p for p in group["params"] if p.grad is not None]
            for parameter in used:
                self._move(parameter, _scaled(parameter, group["weight_decay"]), group["lr"], group["momentum"])

    def _move(self, parameter: Tensor, step: Tensor, lr: float, momentum: float) -> None:
        state = self.state[parameter]
        if "momentum_buffer" in state:
            state["momentum_buffer"].mul_(momentum).add_(step)
        else:
            state["momentum_buffer"] = step.clone()
        parameter.add_(state["momentum_buffer"], alpha=-lr)


def _scaled(parameter: Tensor, decay: float) -> Tensor:
    """The gradient with weight decay, scaled by the trust ratio; nothing waits for the device."""
    grad = parameter.grad
    assert grad is not None
    if parameter.ndim < 2:
        return grad
    size, slope = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(grad)
    ratio = TRUST * size / (slope + decay * size + EPS)
    usable = (size > 0) & (slope > 0)
    return torch.where(usable, ratio * (grad + decay * parameter), grad)
