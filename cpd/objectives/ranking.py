"""Max-margin ranking of the texts of a batch for each video (equation 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cpd.objectives.in_batch import gather

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Ranks


def loss(
    v_BD: Tensor, t_BD: Tensor, *, delta: float, group_B: Tensor | None = None, ranks: Ranks | None = None
) -> Tensor:
    """Equation 4, video to text: mean over pairs i and other texts j of max(0, delta + v_i . t_j - v_i . t_i).

    Args:
        v_BD: video features (B, D).
        t_BD: text features (B, D) of the same pairs, the negatives of each other.
        delta: margin.
        group_B: pairs of one group (of one title) are no negatives of each other; None: all are.
        ranks: whose texts are ranked, too; None: this process is alone.

    Returns:
        Scalar; 0 where no pair has a negative that is left. With `ranks`, the mean of the ranks' values, each weighted
        by its number of pairs, is that of one process with all pairs.

    Raises:
        ValueError: a batch of one pair has no negatives.
    """
    with torch.autocast(v_BD.device.type, enabled=False):
        batch = gather(v_BD, t_BD, group_B, ranks)
        score_BG = batch.v_BD @ batch.t_GD.T
        margin_BG = (delta + score_BG - score_BG.gather(1, batch.index_B[:, None])).clamp(min=0)
        n_negatives = batch.negative_BG.sum().to(margin_BG.dtype)
        if ranks is not None:
            n_negatives = ranks.add(n_negatives) * (len(v_BD) / len(batch.v_GD))  # this rank's part of all ranks'
        return (margin_BG * batch.negative_BG).sum() / torch.where(n_negatives > 0, n_negatives, 1.0)
