"""Noise-contrastive estimation against a memory bank, one gather for loss and gradient.

Shapes: B anchors, M noise rows per anchor, N bank rows, D embedding, G anchors of one block.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor

# Largest gathered block, in elements: 16 MiB of fp32 on a CPU (near its caches), 1 GiB on a GPU.
BLOCK = {"cpu": 2**22}
BLOCK_ACCELERATOR = 2**28


class NoiseContrast(torch.autograd.Function):
    """Mean NCE loss; noise rows are gathered for a few anchors at a time, so no B x M x D tensor is formed."""

    @staticmethod
    def forward(
        ctx: Any, f_BD: Tensor, bank_ND: Tensor, index_B: Tensor, noise_BM: Tensor, tau: float, log_z: float
    ) -> Tensor:
        """The loss, and its gradient (B, D) for backward. See `cross_pair.nce_loss`."""
        with torch.autocast(f_BD.device.type, enabled=False):
            query_BD = at_least_fp32(f_BD) / tau
            shift = math.log(noise_BM.shape[1]) + log_z
            loss, grad_BD = _positive(query_BD, bank_ND, index_B, shift=shift)
            for anchors in _blocks(noise_BM, dim=bank_ND.shape[1]):
                part, grad_GD = _noise(query_BD[anchors], bank_ND, noise_BM[anchors], shift=shift)
                loss = loss + part
                grad_BD[anchors] += grad_GD
            ctx.save_for_backward(grad_BD / (tau * len(f_BD)))
            ctx.dtype = f_BD.dtype
            return loss / len(f_BD)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        """Scale the gradient found in the forward pass."""
        (grad_BD,) = ctx.saved_tensors
        return (grad * grad_BD).to(ctx.dtype), None, None, None, None, None


def _positive(query_BD: Tensor, bank_ND: Tensor, index_B: Tensor, *, shift: float) -> tuple[Tensor, Tensor]:
    """Sum of -log h over the positives, and its gradient (B, D) with respect to the query."""
    rows_BD = bank_ND.index_select(0, index_B).to(query_BD.dtype)
    logit_B = (query_BD * rows_BD).sum(dim=1) - shift
    return -functional.logsigmoid(logit_B).sum(), -torch.sigmoid(-logit_B)[:, None] * rows_BD


def _noise(query_GD: Tensor, bank_ND: Tensor, noise_GM: Tensor, *, shift: float) -> tuple[Tensor, Tensor]:
    """Sum of -log(1 - h) over the noise rows of a block, and its gradient (G, D) with respect to the query."""
    rows = bank_ND.index_select(0, noise_GM.reshape(-1)).to(query_GD.dtype)
    rows_GMD = rows.view(*noise_GM.shape, bank_ND.shape[1])
    logit_GM = torch.bmm(rows_GMD, query_GD[:, :, None]).squeeze(2) - shift
    loss = functional.softplus(logit_GM).sum()
    grad_GD = torch.bmm(torch.sigmoid(logit_GM)[:, None, :], rows_GMD).squeeze(1)
    return loss, grad_GD


def _blocks(noise_BM: Tensor, *, dim: int) -> list[slice]:
    """Slices of anchors whose gathered rows stay under the block size (one anchor at least)."""
    limit = BLOCK.get(noise_BM.device.type, BLOCK_ACCELERATOR)
    size = max(1, limit // (noise_BM.shape[1] * dim))
    return [slice(start, start + size) for start in range(0, len(noise_BM), size)]
