"""Max-margin ranking of the texts of a batch for each video (equation 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cpd.objectives.in_batch import same_pairs
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor


def loss(v_BD: Tensor, t_BD: Tensor, *, delta: float, group_B: Tensor | None = None) -> Tensor:
    """Equation 4, video to text: mean over pairs i and other texts j of max(0, delta + v_i . t_j - v_i . t_i).

    Args:
        v_BD: video features (B, D).
        t_BD: text features (B, D) of the same pairs, the negatives of each other.
        delta: margin.
        group_B: pairs of one group (of one title) are no negatives of each other; None: all are.

    Returns:
        Scalar; 0 where no pair has a negative that is left.

    Raises:
        ValueError: a batch of one pair has no negatives.
    """
    if len(v_BD) < 2:
        raise ValueError("the ranking loss needs at least 2 pairs in a batch. Hint: raise train.per_rank")
    with torch.autocast(v_BD.device.type, enabled=False):
        score_BB = at_least_fp32(v_BD) @ at_least_fp32(t_BD).T
        margin_BB = (delta + score_BB - score_BB.diagonal()[:, None]).clamp(min=0)
        others = ~torch.eye(len(v_BD), dtype=torch.bool, device=v_BD.device)
        if group_B is None:
            return margin_BB[others].mean()
        others &= ~same_pairs(group_B)
        return margin_BB[others].sum() / others.sum().clamp(min=1)
