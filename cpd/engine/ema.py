"""An exponential moving average of a module's weights."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn


class Ema:
    """average = decay * average + (1 - decay) * weights, after each optimiser step.

    Buffers are not averaged: batch norm's running statistics are averages already, and go with either weights.

    Args:
        module: whose parameters; frozen ones are held, too, since a later stage may release them.
        decay: share of the old average.
    """

    def __init__(self, module: nn.Module, *, decay: float) -> None:
        self.module, self.decay = module, decay
        self.average = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}

    @torch.no_grad()
    def update(self) -> None:
        """One optimiser step was made."""
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                self.average[name].lerp_(parameter, 1 - self.decay)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Within the block the module has the averaged weights."""
        own = {name: parameter.detach().clone() for name, parameter in self.module.named_parameters()}
        self.copy_in()
        try:
            yield
        finally:
            self._fill(own)

    def copy_in(self, *, prefix: str = "") -> None:
        """Give the module the averaged weights for good: all, or those whose names begin with `prefix`."""
        self._fill({name: average for name, average in self.average.items() if name.startswith(prefix)})

    def state_dict(self) -> dict[str, Tensor]:
        """The averages, not copied."""
        return self.average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy the averages of a checkpoint in; KeyError when it lacks one."""
        for name, average in self.average.items():
            average.copy_(state[name])

    @torch.no_grad()
    def _fill(self, values: dict[str, Tensor]) -> None:
        parameters = dict(self.module.named_parameters())
        for name, value in values.items():
            parameters[name].copy_(value)
