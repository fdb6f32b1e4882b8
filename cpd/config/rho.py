"""Settings of temporal persistency, the large-scale study's objective (PAPER section 5)."""

from __future__ import annotations

from typing import Literal

from cpd.config.base import Strict, at_least, positive, require


class Rho(Strict, frozen=True, kw_only=True):
    """Temporal persistency: clips of one video are positives (the large-scale study's four methods; docs/rho.md).

    Attributes:
        method: which of the four.
        clips: rho, clips of one video in a step. 1: one clip, seen in two augmentations.
        weight: of this loss beside a loss on titles; alone it is not looked at.
        tau: temperature (BYOL has none).
        dim: of the projection; null takes the study's (128; byol 256).
        hidden: width of the projection head; null takes the study's (2048; byol 4096).
        momentum: of the momentum encoder at the first step, rising to 1 along a cosine; null takes the study's (moco
            0.994, byol 0.996). Only these two have one.
        queue: moco: keys of earlier steps that are negatives; at most an epoch's. Filled before the first update.
        prototypes: swav: how many.
        epsilon: swav: entropy of the codes.
        iterations: swav: of Sinkhorn and Knopp.
        freeze_epochs: swav: epochs at the start in which the prototypes stay as they are.
    """

    method: Literal["moco", "simclr", "byol", "swav"]
    clips: int = 2
    weight: float = 1.0
    tau: float = 0.1
    dim: int | None = None
    hidden: int | None = None
    momentum: float | None = None
    queue: int = 65536
    prototypes: int = 1000
    epsilon: float = 0.05
    iterations: int = 3
    freeze_epochs: int = 1

    def __post_init__(self) -> None:
        at_least(self, 1, "clips", "queue", "iterations")
        positive(self, "weight", "tau", "epsilon")
        require(self.prototypes >= 2, "prototypes", "must be at least 2: all videos would share one code")
        require(self.dim is None or self.dim >= 2, "dim", "must be at least 2, or null for the study's")
        require(self.hidden is None or self.hidden >= 1, "hidden", "must be at least 1, or null for the study's")
        require(self.freeze_epochs >= 0, "freeze_epochs", "must be 0 or more")
        require(self.momentum is None or 0 <= self.momentum <= 1, "momentum", "must be in [0, 1], or null")
        require(self.momentum is None or self.has_momentum, "momentum", "belongs to moco and byol")

    @property
    def views(self) -> int:
        """Clips that the network sees of one video in a step (V)."""
        return max(2, self.clips)

    @property
    def has_momentum(self) -> bool:
        """Whether the method has a second, slowly following network."""
        return self.method in ("moco", "byol")
