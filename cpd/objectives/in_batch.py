"""Each pair against the other pairs of its batch: the symmetric InfoNCE loss, without a bank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor


def loss(v_BD: Tensor, t_BD: Tensor, *, tau: float, group_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean over pairs of -log softmax over the batch, video to text and text to video.

    Args:
        v_BD: video features (B, D).
        t_BD: text features (B, D) of the same pairs, the negatives of each other.
        tau: temperature.
        group_B: pairs of one group (of one title) are no negatives of each other; None: all are.

    Returns:
        v2t and t2v, scalars in nats; the objective is their sum.

    Raises:
        ValueError: a batch of one pair has no negatives.
    """
    if len(v_BD) < 2:
        raise ValueError("in-batch InfoNCE needs at least 2 pairs in a batch. Hint: raise train.per_rank")
    with torch.autocast(v_BD.device.type, enabled=False):
        score_BB = at_least_fp32(v_BD) @ at_least_fp32(t_BD).T / tau
        if group_B is not None:
            score_BB = score_BB.masked_fill(same_pairs(group_B), -torch.inf)
        index_B = torch.arange(len(v_BD), device=v_BD.device)
        return functional.cross_entropy(score_BB, index_B), functional.cross_entropy(score_BB.T, index_B)


def same_pairs(group_B: Tensor) -> Tensor:
    """(B, B): whether two different pairs are of one group."""
    same_BB = group_B[:, None] == group_B
    return same_BB & ~torch.eye(len(group_B), dtype=torch.bool, device=group_B.device)
