"""Softmax over a bank in half precision as one fused attention call: query = features, key = value = rows.

A batch of some dozens of queries keeps a single multiprocessor of a GPU busy, so the bank is cut into parts that are
attended to side by side, and the parts of the softmax are added (as flash-decoding does).

Shapes: B anchors, N bank rows, S parts of K rows each, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

DEVICES = {"cuda"}  # where the fused kernel gains; elsewhere rows are streamed
MOST_DIM = 256  # of a head, in the fused kernels
PARTS = 256  # side by side: some for each multiprocessor


def fits(query_BD: Tensor, banks_ND: Sequence[Tensor]) -> bool:
    """Whether the softmax over these banks can be one fused call."""
    bank_ND = banks_ND[0]
    half = bank_ND.dtype in (torch.bfloat16, torch.float16)
    return half and len(banks_ND) == 1 and query_BD.device.type in DEVICES and bank_ND.shape[1] <= MOST_DIM


def attend(query_BD: Tensor, bank_ND: Tensor, *, parts: int = PARTS) -> tuple[Tensor, Tensor]:
    """Log-sum-exp (B,) and softmax-weighted mean row (B, D) of query . row over all rows, in fp32.

    Queries are rounded to the bank's precision, scores and sums are accumulated in fp32, and the mean row is rounded
    once more: in bf16 to 0.4 % of its largest number, which is then the floor of the gradient.

    Args:
        query_BD: features over the temperature.
        bank_ND: rows, in half precision.
        parts: S, lowered where there are fewer rows.
    """
    n, dim = bank_ND.shape
    K = n // max(min(parts, n), 1)
    S = n // K
    whole = _fused(query_BD.to(bank_ND.dtype).expand(S, -1, -1), bank_ND[: S * K].view(S, K, dim))
    rest = [_fused(query_BD.to(bank_ND.dtype)[None], bank_ND[S * K :][None])] if n > S * K else []
    lse_SB, mean_SBD = (torch.cat(part) for part in zip(whole, *rest, strict=True))
    return merge(lse_SB, mean_SBD)


def merge(lse_SB: Tensor, mean_SBD: Tensor) -> tuple[Tensor, Tensor]:
    """The softmax over all rows from those over parts of them."""
    lse_B = torch.logsumexp(lse_SB, dim=0)
    return lse_B, ((lse_SB - lse_B).exp()[:, :, None] * mean_SBD).sum(dim=0)


def _fused(query_SBD: Tensor, rows_SKD: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp (S, B) and mean rows (S, B, D), fp32. One head; the scale is in the queries."""
    query, rows = query_SBD[:, None], rows_SKD[:, None]
    if query.device.type == "cpu":
        found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, rows, rows, 0.0, False, scale=1.0)
    else:
        found = torch.ops.aten._scaled_dot_product_flash_attention(query, rows, rows, 0.0, False, False, scale=1.0)
    mean_S1BD, lse_S1B = found[:2]
    return lse_S1B[:, 0, : query.shape[2]].float(), mean_S1BD[:, 0].float()
