"""Cross-pair discrimination: a feature of one modality against the bank of the other (equations 3 and 5).

Shapes: B batch, N instances, M noise rows per anchor, D embedding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from cpd.objectives.nce import NoiseContrast
from cpd.objectives.softmax import at_least_fp32, bank_softmax_loss

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Shard


def exact_loss(
    f_BD: Tensor,
    bank_ND: Tensor,
    index_B: Tensor,
    *,
    tau: float,
    group_N: Tensor | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """One direction of equation 3, over all N rows: mean over B of -log softmax_i(bank_i . f / tau) at i = index_B.

    p(i_t | v) takes live video features and the text bank, p(i_v | t) live text features and the video bank; the
    objective is the sum of both. Streamed, with memory O(B D): see `softmax.bank_softmax_loss`.

    Args:
        f_BD: live features (B, D); the gradient flows to them alone.
        bank_ND: bank of the other modality (N, D), a constant.
        index_B: instance of each anchor (int64), whose own row is the positive.
        tau: temperature.
        group_N: rows of the positive's group (of one title with it) are no negatives; None: all are.
        shard: the bank is this rank's rows alone; every rank calls at once.

    Returns:
        Scalar mean loss in nats; log(N) for a constant bank.
    """
    return bank_softmax_loss(f_BD, [bank_ND], index_B, tau=tau, group_N=group_N, shard=shard)


def nce_loss(
    f_BD: Tensor,
    bank_ND: Tensor,
    index_B: Tensor,
    noise_BM: Tensor,
    *,
    tau: float,
    log_z: float | Tensor,
    group_N: Tensor | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """One direction of equation 3 by noise-contrastive estimation (equation 5) with uniform noise.

    With s = f . row, h = sigmoid(s / tau - log(m Z / N)): the chance that a row is data and not one of m noise rows.
    The loss of an anchor is -log h(positive) - sum over noise of log(1 - h(noise)). N cancels in Z / N, and exp(s /
    tau) is never formed: it overflows half precision above a cosine of 0.776.

    Args:
        f_BD: live features (B, D); the gradient flows to them alone. Half precision is widened to fp32.
        bank_ND: bank of the other modality (N, D), a constant.
        index_B: instance of each anchor, int64.
        noise_BM: rows drawn uniformly from 0..N-1 for each anchor (B, M), M = m at least 1.
        tau: temperature.
        log_z: log(Z / N), as `estimate_log_z` gives it.
        group_N: noise rows of the positive's group (of one title with it) are left out; None: none are.
        shard: the bank is this rank's rows alone; every rank calls at once, with noise of one M.

    Returns:
        Scalar: mean over the B anchors.
    """
    loss: Tensor = NoiseContrast.apply(  # type: ignore[no-untyped-call]
        f_BD, bank_ND, index_B, noise_BM, tau, float(log_z), group_N, shard
    )
    return loss


@torch.no_grad()
def estimate_log_z(f_BD: Tensor, bank_ND: Tensor, noise_M: Tensor, *, tau: float) -> float:
    """log(Z / N) of a batch: the mean of exp(s / tau) over the batch and uniformly drawn rows, in log space.

    The positives stay out: among m drawn rows each would weigh N / m times its share of Z.

    Args:
        f_BD: features (B, D).
        bank_ND: bank of the other modality (N, D).
        noise_M: uniformly drawn rows (M,), shared by the batch, so that one matrix product does.
        tau: temperature.
    """
    with torch.autocast(f_BD.device.type, enabled=False):
        query_BD = at_least_fp32(f_BD) / tau
        score_BM = query_BD @ bank_ND.index_select(0, noise_M).to(query_BD.dtype).T
        return float(torch.logsumexp(score_BM.flatten(), dim=0)) - math.log(score_BM.numel())
