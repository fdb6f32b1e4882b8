"""Noise-contrastive estimation against a memory bank, one gather for loss and gradient.

Shapes: B anchors, M noise rows per anchor, N bank rows, D embedding, G anchors of one block or of all ranks, K chosen
noise rows of a block.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from cpd.objectives.ranks import Shard, fetch_rows, locate
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor

# Largest gathered block, in elements: 4 MiB of fp32 on a CPU (near its caches), 1 GiB on a GPU.
BLOCK = {"cpu": 2**20}
BLOCK_ACCELERATOR = 2**28


class NoiseContrast(torch.autograd.Function):
    """Mean NCE loss; noise rows are gathered for a few anchors at a time, so no B x M x D tensor is formed."""

    @staticmethod
    def forward(
        ctx: Any,
        f_BD: Tensor,
        bank_ND: Tensor,
        index_B: Tensor,
        noise_BM: Tensor,
        tau: float,
        log_z: float,
        group_N: Tensor | None = None,
        shard: Shard | None = None,
    ) -> Tensor:
        """The loss, and its gradient (B, D) for backward. See `cross_pair.nce_loss`."""
        with torch.autocast(f_BD.device.type, enabled=False):
            query_BD = at_least_fp32(f_BD) / tau
            shift = math.log(noise_BM.shape[1]) + log_z
            keep_BM = None if group_N is None else group_N[noise_BM] != group_N[index_B][:, None]
            if shard is not None:
                loss, grad_BD = _over_ranks(query_BD, bank_ND, index_B, noise_BM, keep_BM, shift=shift, shard=shard)
            else:
                loss, grad_BD = _whole(query_BD, bank_ND, index_B, noise_BM, keep_BM, shift=shift)
            ctx.save_for_backward(grad_BD / (tau * len(f_BD)))
            ctx.dtype = f_BD.dtype
            return loss / len(f_BD)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None, None, None]:
        """Scale the gradient found in the forward pass."""
        (grad_BD,) = ctx.saved_tensors
        return (grad * grad_BD).to(ctx.dtype), None, None, None, None, None, None, None


def _whole(
    query_BD: Tensor, bank_ND: Tensor, index_B: Tensor, noise_BM: Tensor, keep_BM: Tensor | None, *, shift: float
) -> tuple[Tensor, Tensor]:
    """Sum of the loss over the anchors, and its gradient (B, D), with all of the bank here."""
    rows_BD = bank_ND.index_select(0, index_B).to(query_BD.dtype)
    loss, grad_BD = _positive(query_BD, rows_BD, shift=shift)
    buffer = bank_ND.new_empty(0)  # used again by every block: fresh memory costs more than the copy into it
    for anchors, draws in _pieces(noise_BM, dim=bank_ND.shape[1]):
        keep_GM = None if keep_BM is None else keep_BM[anchors, draws]
        part, grad_GD = _noise(query_BD[anchors], bank_ND, noise_BM[anchors, draws], keep_GM, buffer, shift=shift)
        loss = loss + part
        grad_BD[anchors] += grad_GD
    return loss, grad_BD


def _over_ranks(
    query_BD: Tensor,
    bank_KD: Tensor,
    index_B: Tensor,
    noise_BM: Tensor,
    keep_BM: Tensor | None,
    *,
    shift: float,
    shard: Shard,
) -> tuple[Tensor, Tensor]:
    """The same with a part of the bank here: anchors visit all ranks, each adds what its own rows give."""
    ranks, own = shard.ranks, shard.ranks.own(query_BD)
    query_GD, noise_GM = ranks.gather(query_BD), ranks.gather(noise_BM)
    positive_GD = fetch_rows([bank_KD], ranks.gather(index_B), shard).to(query_BD.dtype)
    local_GM, here_GM = locate(noise_GM, shard.first, len(bank_KD))
    if keep_BM is not None:
        here_GM &= ranks.gather(keep_BM.to(torch.int8)).bool()
    part_G, grad_GD = _chosen(query_GD, bank_KD, local_GM, here_GM, shift=shift)
    total_GD = ranks.add(torch.cat([part_G[:, None], grad_GD], dim=1))[own]
    loss, grad_BD = _positive(query_BD, positive_GD[own], shift=shift)
    return loss + total_GD[:, 0].sum(), grad_BD + total_GD[:, 1:]


def _positive(query_BD: Tensor, rows_BD: Tensor, *, shift: float) -> tuple[Tensor, Tensor]:
    """Sum of -log h over the positives, and its gradient (B, D) with respect to the query."""
    logit_B = (query_BD * rows_BD).sum(dim=1) - shift
    return -functional.logsigmoid(logit_B).sum(), -torch.sigmoid(-logit_B)[:, None] * rows_BD


def _noise(
    query_GD: Tensor, bank_ND: Tensor, noise_GM: Tensor, keep_GM: Tensor | None, buffer: Tensor, *, shift: float
) -> tuple[Tensor, Tensor]:
    """Sum of -log(1 - h) over the noise rows of a block, and its gradient (G, D) with respect to the query."""
    rows = torch.index_select(bank_ND, 0, noise_GM.reshape(-1), out=_room(buffer, noise_GM.numel(), bank_ND.shape[1]))
    rows_GMD = rows.to(query_GD.dtype).view(*noise_GM.shape, bank_ND.shape[1])
    logit_GM = torch.bmm(rows_GMD, query_GD[:, :, None]).squeeze(2) - shift
    loss_GM, weight_GM = functional.softplus(logit_GM), torch.sigmoid(logit_GM)
    if keep_GM is not None:
        loss_GM, weight_GM = loss_GM * keep_GM, weight_GM * keep_GM
    return loss_GM.sum(), torch.bmm(weight_GM[:, None, :], rows_GMD).squeeze(1)


def _room(buffer: Tensor, rows: int, dim: int) -> Tensor:
    """The first rows of the buffer, which grows to the largest block."""
    if buffer.numel() < rows * dim:
        buffer.resize_(rows * dim)
    return buffer[: rows * dim].view(rows, dim)


def _chosen(
    query_GD: Tensor, bank_ND: Tensor, noise_GM: Tensor, keep_GM: Tensor, *, shift: float
) -> tuple[Tensor, Tensor]:
    """-log(1 - h) over the noise rows that `keep_GM` marks: by anchor (G,), and its gradient (G, D)."""
    loss_G, grad_GD = query_GD.new_zeros(len(query_GD)), torch.zeros_like(query_GD)
    for anchors in _blocks(noise_GM, dim=bank_ND.shape[1]):
        anchor_K, place_K = keep_GM[anchors].nonzero(as_tuple=True)
        rows_KD = bank_ND.index_select(0, noise_GM[anchors][anchor_K, place_K]).to(query_GD.dtype)
        logit_K = (query_GD[anchors][anchor_K] * rows_KD).sum(dim=1) - shift
        loss_G[anchors] = loss_G[anchors].index_add(0, anchor_K, functional.softplus(logit_K))
        grad_GD[anchors] = grad_GD[anchors].index_add(0, anchor_K, torch.sigmoid(logit_K)[:, None] * rows_KD)
    return loss_G, grad_GD


def _pieces(noise_BM: Tensor, *, dim: int) -> list[tuple[slice, slice]]:
    """Blocks of anchors, and where the rows of one anchor are too many, of its draws."""
    most = max(1, _limit(noise_BM) // dim)
    draws = [slice(start, start + most) for start in range(0, noise_BM.shape[1], most)]
    return [(anchors, some) for anchors in _blocks(noise_BM, dim=dim) for some in draws]


def _blocks(noise_BM: Tensor, *, dim: int) -> list[slice]:
    """Slices of anchors whose gathered rows stay under the block size (one anchor at least)."""
    size = max(1, _limit(noise_BM) // (noise_BM.shape[1] * dim))
    return [slice(start, start + size) for start in range(0, len(noise_BM), size)]


def _limit(noise_BM: Tensor) -> int:
    return BLOCK.get(noise_BM.device.type, BLOCK_ACCELERATOR)
