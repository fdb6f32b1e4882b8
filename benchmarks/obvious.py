"""The objectives as one would first write them (and as the authors' code does): whole matrices, whole gathers."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def exact_loss(f_BD: Tensor, bank_ND: Tensor, index_B: Tensor, *, tau: float) -> Tensor:
    """Cross-entropy over a B x N matrix of logits."""
    return F.cross_entropy(f_BD @ bank_ND.T / tau, index_B)


def nce_loss(f_BD: Tensor, bank_ND: Tensor, index_B: Tensor, noise_BM: Tensor, *, tau: float, log_z: float) -> Tensor:
    """NCE over gathered rows: a B x (m + 1) x d tensor."""
    rows_BKD = bank_ND[torch.cat([index_B[:, None], noise_BM], dim=1)]
    logits_BK = torch.einsum("bd,bkd->bk", f_BD, rows_BKD) / tau - math.log(noise_BM.shape[1]) - log_z
    return -(F.logsigmoid(logits_BK[:, 0]) + F.logsigmoid(-logits_BK[:, 1:]).sum(dim=1)).mean()
