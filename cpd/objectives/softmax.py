"""Softmax over every row of a memory bank, streamed: exact, and no B x N tensor is ever held.

Shapes: B anchors, G anchors of all ranks, N bank rows, K rows of one chunk, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from cpd.objectives import attention
from cpd.objectives.ranks import Shard, fetch_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# Rows per step. On a CPU a B x 2048 block of scores stays in cache; on a GPU fewer, larger kernels are quicker.
CHUNK = {"cpu": 2048}
CHUNK_ACCELERATOR = 16384


def bank_softmax_loss(
    f_BD: Tensor,
    banks_ND: Sequence[Tensor],
    index_B: Tensor,
    *,
    tau: float,
    group_N: Tensor | None = None,
    shard: Shard | None = None,
) -> Tensor:
    """Mean over B of -log softmax_i(f . bank_i / tau) at i = index_B, over all N rows.

    The gradient with respect to f is (sum_j p_j bank_j - bank_i) / (B tau), so the forward pass streams the
    expectation along with the log-sum-exp (as FlashAttention does) and keeps only (B, D) for backward. Memory is
    O(B D + B chunk). The banks are constants, and may be overwritten before backward.

    Args:
        f_BD: anchors (B, D); computed in fp32 or wider, also under autocast.
        banks_ND: one bank (N, D), or several whose columns are taken as if concatenated to D. One in half precision is
            a fused attention call where that gains (`attention`).
        index_B: row of each anchor's positive, int64.
        tau: temperature.
        group_N: rows other than the positive that are of the positive's group are left out of the softmax (pairs with
            one title are no negatives of each other); None leaves none out.
        shard: `banks_ND` are this rank's rows alone. Anchors visit all ranks and the parts of the softmax are added;
            every rank calls at the same time, with B = 0 if it has nothing (its result is then not a number).

    Returns:
        Scalar.

    Raises:
        IndexError: an index is not a row of the bank (on a GPU it is a device assertion).
    """
    chunk = CHUNK.get(f_BD.device.type, CHUNK_ACCELERATOR)
    loss: Tensor = _BankSoftmax.apply(f_BD, tuple(banks_ND), index_B, tau, chunk, group_N, shard)  # type: ignore[no-untyped-call]
    return loss


class _BankSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        f_BD: Tensor,
        banks_ND: tuple[Tensor, ...],
        index_B: Tensor,
        tau: float,
        chunk: int,
        group_N: Tensor | None = None,
        shard: Shard | None = None,
    ) -> Tensor:
        with torch.autocast(f_BD.device.type, enabled=False):
            query_BD = at_least_fp32(f_BD) / tau
            if shard is None and group_N is None and attention.fits(query_BD, banks_ND):
                query_BD = query_BD.to(banks_ND[0].dtype).float()  # as the fused scores have it
                lse_B, expected_BD = attention.attend(query_BD, banks_ND[0])
                positive_BD = gather_rows(banks_ND, index_B).float()
            elif shard is None:
                lse_B, expected_BD = _stream(query_BD, banks_ND, chunk=chunk, equal=_Equal.of(index_B, group_N))
                positive_BD = gather_rows(banks_ND, index_B).to(query_BD.dtype)
            else:
                lse_B, expected_BD, positive_BD = _over_ranks(query_BD, banks_ND, index_B, chunk, group_N, shard)
            ctx.save_for_backward((expected_BD - positive_BD) / (tau * len(f_BD)))
            ctx.dtype = f_BD.dtype
            return (lse_B - (query_BD * positive_BD).sum(dim=1)).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None, None]:
        (grad_BD,) = ctx.saved_tensors
        return (grad * grad_BD).to(ctx.dtype), None, None, None, None, None, None


def at_least_fp32(x: Tensor) -> Tensor:
    """Half precision widened to fp32; fp32 and fp64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def gather_rows(banks_ND: Sequence[Tensor], index_B: Tensor) -> Tensor:
    """Rows of one bank, or of several side by side: (B, D). Negative indices are refused, unlike bank[index]."""
    return torch.cat([bank.index_select(0, index_B) for bank in banks_ND], dim=1)


class _Equal:
    """Which rows are no negatives: those of the positive's group, but the positive itself."""

    def __init__(self, index_B: Tensor, group_B: Tensor, group_N: Tensor) -> None:
        self.index_B, self.group_B, self.group_N = index_B, group_B, group_N

    @classmethod
    def of(cls, index_B: Tensor, group_N: Tensor | None, *, first: int = 0, length: int | None = None) -> _Equal | None:
        """None without groups; `first` and `length` say which rows are streamed, by default all."""
        if group_N is None:
            return None
        stop = len(group_N) if length is None else first + length
        return cls(index_B - first, group_N[index_B], group_N[first:stop])

    def mask(self, score_BK: Tensor, start: int) -> Tensor:
        """Scores of rows start..start+K with those rows at the lowest finite value (-inf would make 0 / 0)."""
        rows_K = torch.arange(start, start + score_BK.shape[1], device=score_BK.device)
        group_K = self.group_N[start : start + score_BK.shape[1]]
        out_BK = (group_K == self.group_B[:, None]) & (rows_K != self.index_B[:, None])
        return score_BK.masked_fill_(out_BK, torch.finfo(score_BK.dtype).min)


def _stream(
    query_BD: Tensor, banks_ND: Sequence[Tensor], *, chunk: int, equal: _Equal | None = None
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp (B,) and softmax-weighted mean row (B, D) of query . row, chunk by chunk (online softmax)."""
    highest_B1 = query_BD.new_full((len(query_BD), 1), -torch.inf)
    total_B1 = torch.zeros_like(highest_B1)
    sum_BD = torch.zeros_like(query_BD)
    for start in range(0, len(banks_ND[0]), chunk):
        rows_KD = _chunk(banks_ND, start, start + chunk).to(query_BD.dtype)
        score_BK = query_BD @ rows_KD.T
        if equal is not None:
            score_BK = equal.mask(score_BK, start)
        before_B1 = highest_B1
        highest_B1 = torch.maximum(before_B1, score_BK.amax(dim=1, keepdim=True))
        shrink_B1 = (before_B1 - highest_B1).exp_()
        weight_BK = score_BK.sub_(highest_B1).exp_()
        total_B1 = total_B1 * shrink_B1 + weight_BK.sum(dim=1, keepdim=True)
        sum_BD = torch.addmm(sum_BD * shrink_B1, weight_BK, rows_KD)
    return (highest_B1 + total_B1.log()).squeeze(1), sum_BD / total_B1


def _over_ranks(
    query_BD: Tensor,
    banks_KD: Sequence[Tensor],
    index_B: Tensor,
    chunk: int,
    group_N: Tensor | None,
    shard: Shard,
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sum-exp (B,), expected row (B, D) and positive row (B, D) over the rows of all ranks."""
    ranks, own = shard.ranks, shard.ranks.own(query_BD)
    query_GD, index_G = ranks.gather(query_BD), ranks.gather(index_B)
    equal = _Equal.of(index_G, group_N, first=shard.first, length=len(banks_KD[0]))
    part_G, expected_GD = _stream(query_GD, banks_KD, chunk=chunk, equal=equal)
    lse_G = torch.logsumexp(ranks.gather(part_G[None]), dim=0)
    expected_GD = ranks.add(expected_GD * (part_G - lse_G).exp()[:, None])
    positive_GD = fetch_rows(banks_KD, index_G, shard).to(query_BD.dtype)
    return lse_G[own], expected_GD[own], positive_GD[own]


def _chunk(banks_ND: Sequence[Tensor], start: int, stop: int) -> Tensor:
    """Rows start..stop (K, D); a single bank is sliced without a copy."""
    if len(banks_ND) == 1:
        return banks_ND[0][start:stop]
    return torch.cat([bank[start:stop] for bank in banks_ND], dim=1)
