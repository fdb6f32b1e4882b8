"""The momentum encoder: a second network that follows the first slowly (arXiv 1911.05722, section 3.2).

Shapes: V clips of a video, B videos of this rank, G videos of all ranks, T frames, H, W, C=3, D projection.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from cpd.objectives.noise import derive_seed
from cpd.objectives.rho.projection import project, synced, width

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from cpd.objectives.ranks import Ranks


def momentum_at(step: int, steps: int, *, start: float) -> float:
    """1 - (1 - start) (cos(pi k / K) + 1) / 2: from `start` at step 0 to 1 at the end (PAPER section 5)."""
    return 1 - (1 - start) * (math.cos(math.pi * min(step, steps) / steps) + 1) / 2


class MomentumEncoder(nn.Module):
    """Copies of a tower and its projection head, without gradient.

    Parameters and batch-norm statistics begin as the live ones. Parameters then follow by `follow`; the statistics are
    those of this network's own forward passes, in training mode, and are kept and made equal on ranks with the other
    buffers.

    Args:
        tower: normalised clips (B, 3, T, H, W) to features (B, F).
        head: features to projections (B, D).
        to_input: uint8 clips (B, T, H, W, 3) to what the tower takes.
        shuffle: with several ranks, spread the videos over the ranks anew for this pass ("shuffle BN"), so that a key
            shares its batch norm with other videos than its query does. Within one process there is nothing to spread
            over: the statistics of a batch do not depend on its order.
        ranks: None: this process is alone.
        seed: of the shuffling; the same on every rank.
    """

    def __init__(
        self,
        tower: nn.Module,
        head: nn.Module,
        *,
        to_input: Callable[[Tensor], Tensor],
        shuffle: bool,
        ranks: Ranks | None,
        seed: int,
    ) -> None:
        super().__init__()
        self.tower, self.head = copy.deepcopy(tower), copy.deepcopy(head)
        self.requires_grad_(False)
        self._live = (tower, head)  # in a tuple, which torch takes for no part of this module
        self.to_input, self.ranks, self.seed = to_input, ranks if shuffle else None, seed
        self.draws = 0

    @torch.no_grad()
    def forward(self, clip_BVTHWC: Tensor) -> Tensor:
        """Unit keys (V, B, D) of this rank's clips. With shuffling every rank calls, with B = 0 if it has none."""
        if self.ranks is None:
            return self._keys(clip_BVTHWC)
        ranks = self.ranks
        own = ranks.own(clip_BVTHWC)
        clip_GVTHWC = ranks.gather(clip_BVTHWC)  # as bytes: a quarter of what normalised clips would be
        order_G = self._permutation(len(clip_GVTHWC)).to(clip_BVTHWC.device)
        low, high = ranks.rows(len(order_G))
        keys_BVD = self._keys(clip_GVTHWC[order_G[low:high]]).transpose(0, 1).contiguous()
        spread_GVD = ranks.gather(keys_BVD)
        keys_GVD = torch.empty_like(spread_GVD)
        keys_GVD[order_G] = spread_GVD
        return keys_GVD[own].transpose(0, 1)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """parameter = momentum * parameter + (1 - momentum) * live parameter."""
        own: list[Tensor] = [*self.tower.parameters(), *self.head.parameters()]
        live: list[Tensor] = [p for module in self._live for p in module.parameters()]
        torch._foreach_lerp_(own, live, 1 - momentum)

    def _keys(self, clip_BVTHWC: Tensor) -> Tensor:
        """Each clip of the videos is a batch of its own, as the live network has them."""
        if not len(clip_BVTHWC) and not synced(self):
            return torch.zeros(clip_BVTHWC.shape[1], 0, width(self.head), device=clip_BVTHWC.device)
        clips = clip_BVTHWC.unbind(1)
        return project(self.head, torch.stack([self.tower(self.to_input(clip_BTHWC)) for clip_BTHWC in clips]))

    def _permutation(self, n: int) -> Tensor:
        """A new one at each call, the same on every rank."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "shuffle", self.draws))
        self.draws += 1
        return torch.randperm(n, generator=generator)
