"""What the four methods have in common: how a step calls them, and what a checkpoint keeps of them.

Shapes: V clips of a video, B videos of this rank, G of all ranks, F feature, D projection, T frames, H, W, C=3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from cpd.objectives.banks import check_kind

if TYPE_CHECKING:
    from torch import Tensor


class Loss(NamedTuple):
    """Parts of the loss, of which "loss" is minimised; and keys (B, V, D) that `update` wants back, or None."""

    parts: dict[str, Tensor]
    keys_BVD: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How long a run is: optimiser steps in all, and in an epoch."""

    total: int
    epoch: int


class Method(nn.Module):
    """One of the four methods; its parts that are trained are its parameters.

    Every rank calls it for as many micro-batches, with B = 0 where it has nothing.

    Args:
        steps: how long the run is.

    Attributes:
        kind: what a checkpoint is of.
        done: optimiser steps that were made.
    """

    kind: str

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps, self.done = steps, 0

    def forward(self, feature_VBF: Tensor, clip_BVTHWC: Tensor) -> Loss:
        """The loss of a micro-batch.

        Args:
            feature_VBF: the tower's features of the clips, live.
            clip_BVTHWC: the same clips as uint8, for a second network.
        """
        raise NotImplementedError

    def update(self, key_GVD: Tensor | None) -> None:
        """After each optimiser step, on every rank, with the step's keys of all ranks in rank order, if it has such."""
        self.done += 1

    def memory(self) -> dict[str, Any]:
        """What a checkpoint keeps besides parameters and buffers, equal on all ranks."""
        return {"kind": self.kind, "done": self.done}

    def load_memory(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; CpdError when it is of another method or size."""
        check_kind(state, self.kind)
        self.done = state["done"]
