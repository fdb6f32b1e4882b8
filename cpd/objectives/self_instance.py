"""Self-instance discrimination: each pair against the banks of its own modalities (equation 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cpd.objectives.softmax import bank_softmax_loss

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Shard


def loss(
    v_BD: Tensor,
    t_BD: Tensor,
    video_bank_ND: Tensor,
    text_bank_ND: Tensor,
    index_B: Tensor,
    *,
    tau: float,
    group_N: Tensor | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """Equation 2: mean over B of -log softmax_i((video_i . v + text_i . t) / tau) at i = index_B, over all N pairs.

    Both similarities stay within their modality and are added in one softmax, so nothing aligns video with text.

    Args:
        v_BD: live video features (B, D).
        t_BD: live text features (B, D) of the same pairs.
        video_bank_ND: video bank (N, D), a constant.
        text_bank_ND: text bank (N, D), a constant.
        index_B: instance of each pair, int64.
        tau: temperature.
        group_N: rows of the positive's group (of one title with it) are no negatives; None: all are.
        shard: the banks are this rank's rows alone; every rank calls at once.

    Returns:
        Scalar mean loss in nats.
    """
    banks, f_BD = [video_bank_ND, text_bank_ND], torch.cat([v_BD, t_BD], dim=1)
    return bank_softmax_loss(f_BD, banks, index_B, tau=tau, group_N=group_N, shard=shard)
