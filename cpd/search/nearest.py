"""The nearest rows by cosine, exactly: one product of a matrix and a vector (of 240,000 clips, a tenth of a second).

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
class Near:
    """A row that was found.

    Attributes:
        row: its number.
        score: its cosine with what was asked.
        share: where that lies between the least (0) and the greatest (1) cosine of all rows. Training orders cosines
            and does not care for their height: the best of all may be below 0.
    """

    row: int
    score: float
    share: float


@dataclass(frozen=True)
class Named:
    """A title or a class; `score` and `share` as in `Near`."""

    name: str
    score: float
    share: float


def nearest(query_D: Tensor, row_ND: Tensor, *, k: int) -> list[Near]:
    """The `k` rows (or all, where there are fewer) with the largest cosine, best first; equal ones by row.

    Args:
        query_D: of unit length.
        row_ND: unit rows, at least one.
        k: how many.
    """
    score_N = row_ND @ query_D
    least, greatest = (float(value) for value in torch.aminmax(score_N))
    best = torch.topk(score_N, min(k, len(score_N)))
    found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    span = (greatest - least) or 1.0
    near = [Near(row, score, (score - least) / span) for row, score in found]
    return sorted(near, key=lambda one: (-one.score, one.row))


def nearest_names(query_D: Tensor, row_ND: Tensor, names: Sequence[str], *, k: int) -> list[Named]:
    """The `k` nearest different names; of equal names the best counts, and empty ones are left out."""
    best: dict[str, Named] = {}
    ask = k
    while True:
        found = nearest(query_D, row_ND, k=ask)
        for near in found:
            name = names[near.row]
            if name:
                best.setdefault(name, Named(name, near.score, near.share))
        if len(best) >= k or len(found) < ask:
            return list(best.values())[:k]
        ask *= 4
