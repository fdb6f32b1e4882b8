"""The nearest rows by cosine, exactly: one product of a matrix and a vector (of 240,000 clips, tens of milliseconds).

Shapes: N rows, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Named:
    """A title or a class, and its cosine with what was asked."""

    name: str
    score: float


def nearest(query_D: Tensor, row_ND: Tensor, *, k: int) -> list[tuple[int, float]]:
    """The `k` rows (or all, where there are fewer) with the largest cosine, best first; equal ones by row.

    Args:
        query_D: of unit length.
        row_ND: unit rows.
        k: how many.

    Returns:
        (row, cosine) of each.
    """
    score_N = row_ND @ query_D
    best = torch.topk(score_N, min(k, len(score_N)))
    found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def nearest_names(query_D: Tensor, row_ND: Tensor, names: Sequence[str], *, k: int) -> list[Named]:
    """The `k` nearest different names; of equal names the best counts, and empty ones are left out."""
    best: dict[str, float] = {}
    ask = k
    while len(best) < k:
        found = nearest(query_D, row_ND, k=ask)
        for row, score in found:
            if names[row] and len(best) < k:
                best.setdefault(names[row], score)
        if len(found) < ask:
            break
        ask *= 4
    return [Named(name, score) for name, score in best.items()]
