"""Each pair against the other pairs of its batch: the symmetric InfoNCE loss, without a bank.

Shapes: B pairs of this rank, G pairs of all ranks, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cpd.objectives.gather import gather_live
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The pairs of a micro-batch on all ranks, live: a gradient goes back to the rank whose row it is.

    Attributes:
        v_BD: video features of this rank's pairs.
        t_BD: text features of this rank's pairs.
        v_GD: video features of all ranks' pairs, in rank order.
        t_GD: text features of all ranks' pairs.
        index_B: where this rank's pairs are among them.
        negative_BG: which pairs are negatives of each of this rank's.
    """

    v_BD: Tensor
    t_BD: Tensor
    v_GD: Tensor
    t_GD: Tensor
    index_B: Tensor
    negative_BG: Tensor


def gather(v_BD: Tensor, t_BD: Tensor, group_B: Tensor | None, ranks: Ranks | None) -> Batch:
    """Gather the pairs of all ranks. A collective: a rank without pairs calls it with rows that need a gradient.

    Args:
        v_BD: video features (B, D).
        t_BD: text features (B, D) of the same pairs.
        group_B: pairs of one group (of one title) are no negatives of each other; None: all are.
        ranks: None: this process is alone.

    Raises:
        ValueError: a batch of one pair has no negatives.
    """
    v_BD, t_BD = at_least_fp32(v_BD), at_least_fp32(t_BD)
    both_GD, first = gather_live(torch.cat([v_BD, t_BD], dim=1), ranks)
    v_GD, t_GD = torch.split(both_GD, v_BD.shape[1], dim=1)
    if len(v_GD) < 2:
        raise ValueError("in-batch losses need at least 2 pairs in a batch. Hint: raise train.per_rank")
    index_B = torch.arange(first, first + len(v_BD), device=v_BD.device)
    negative_BG = torch.arange(len(v_GD), device=v_BD.device) != index_B[:, None]
    if group_B is not None:
        group_G = group_B if ranks is None else ranks.gather(group_B)
        negative_BG &= group_B[:, None] != group_G
    return Batch(v_BD=v_BD, t_BD=t_BD, v_GD=v_GD, t_GD=t_GD, index_B=index_B, negative_BG=negative_BG)


def loss(
    v_BD: Tensor, t_BD: Tensor, *, tau: float, group_B: Tensor | None = None, ranks: Ranks | None = None
) -> tuple[Tensor, Tensor]:
    """Mean over this rank's pairs of -log softmax over all ranks' pairs, video to text and text to video.

    Args:
        v_BD: video features (B, D).
        t_BD: text features (B, D) of the same pairs, the negatives of each other.
        tau: temperature.
        group_B: pairs of one group (of one title) are no negatives of each other; None: all are.
        ranks: whose pairs are negatives, too; None: this process is alone.

    Returns:
        v2t and t2v, scalars in nats (0 for a rank without pairs); the objective is their sum.

    Raises:
        ValueError: a batch of one pair has no negatives.
    """
    with torch.autocast(v_BD.device.type, enabled=False):
        batch = gather(v_BD, t_BD, group_B, ranks)
        return _direction(batch.v_BD, batch.t_GD, batch, tau), _direction(batch.t_BD, batch.v_GD, batch, tau)


def _direction(anchor_BD: Tensor, other_GD: Tensor, batch: Batch, tau: float) -> Tensor:
    score_BG = anchor_BD @ other_GD.T / tau
    own_B1 = batch.index_B[:, None]
    left_BG = batch.negative_BG.scatter(1, own_B1, True)
    total_B = score_BG.masked_fill(~left_BG, -torch.inf).logsumexp(dim=1)
    return (total_B - score_BG.gather(1, own_B1).squeeze(1)).sum() / max(1, len(anchor_BD))
