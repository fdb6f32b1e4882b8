"""All ordered pairs of a video's clips, and losses over them.

Shapes: V clips of a video, B videos, D projection.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def mean_over_pairs(loss_of: Callable[[int, int], Tensor], views: int, videos: int) -> Tensor:
    """Mean over the V (V - 1) ordered pairs (i, j), i != j, and over the videos.

    Args:
        loss_of: losses (B,) of the pair in which clip i is the query and clip j its positive.
        views: V, at least 2.
        videos: B; without any the result is 0, with a gradient of 0, so that a rank that has none can go along.
    """
    total_B = torch.stack([loss_of(i, j) for i, j in permutations(range(views), 2)]).mean(0)
    return total_B.sum() / max(videos, 1)


@torch.no_grad()
def agreement(unit_VBD: Tensor) -> Tensor:
    """Mean cosine of a video's clips, over pairs and videos: 1 when all agree."""
    V, B, _ = unit_VBD.shape
    return (unit_VBD.sum(0).square().sum() / max(B, 1) - V) / (V * (V - 1))
