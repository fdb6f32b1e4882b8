"""The processes that share a bank, as the objectives see them; the engine supplies the collectives.

Shapes: B rows of this rank, G rows of all ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Rank `rank` of `size`; every rank makes the same calls in the same order.

    Attributes:
        rank: 0 to size - 1.
        size: how many there are.
        gather: rows (B, ...) of this rank to rows (G, ...) of all, in rank order; B may differ, and may be 0.
        add: the sum over ranks of a tensor that has one shape everywhere.
    """

    rank: int
    size: int
    gather: Callable[[Tensor], Tensor]
    add: Callable[[Tensor], Tensor]

    def rows(self, n: int) -> tuple[int, int]:
        """First row of this rank's part of a bank of n rows, and the one after its last."""
        return n * self.rank // self.size, n * (self.rank + 1) // self.size

    def own(self, x_B: Tensor) -> slice:
        """Where this rank's rows are among the gathered ones. A collective: every rank calls it."""
        counts = self.gather(torch.tensor([len(x_B)], device=x_B.device)).tolist()
        first = sum(counts[: self.rank])
        return slice(first, first + len(x_B))


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Which rows of a bank are here, and who has the others."""

    ranks: Ranks
    first: int


def fetch_rows(banks_KD: Sequence[Tensor], index_G: Tensor, shard: Shard) -> Tensor:
    """Rows of sharded banks, side by side: (G, D), equal on every rank; the owner gives them, the others add zeros.

    Args:
        banks_KD: this rank's rows of one bank or several.
        index_G: which rows of the whole bank; the same on every rank.
        shard: where this rank's rows begin.
    """
    local_G, here_G = locate(index_G, shard.first, len(banks_KD[0]))
    rows_GD = torch.cat([bank.index_select(0, local_G) for bank in banks_KD], dim=1)
    return shard.ranks.add(rows_GD.masked_fill(~here_G[:, None], 0.0))


def locate(index: Tensor, first: int, length: int) -> tuple[Tensor, Tensor]:
    """Position of each row in a part of `length` rows from `first` on (0 where it is elsewhere), and whether it is."""
    local = index - first
    here = (local >= 0) & (local < length)
    return local.masked_fill(~here, 0), here
