"""The memory bank: one unit row per instance, moved towards its latest feature (paper, section 3.2).

Shapes: B batch, N instances, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cpd.errors import CpdError
from cpd.objectives.ranks import Shard, locate

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Ranks

BLOCK_ROWS = 2**18  # drawn at a time: 268 MB of 256 numbers each


class Bank:
    """N unit rows of D numbers.

    A plain tensor and no module buffer, so that DistributedDataParallel does not broadcast it in every forward pass.
    Every rank holds all of it and applies the same gathered update, so the banks stay equal; or each holds its part
    and applies what concerns it. Memory per rank: `bank_bytes`.

    Args:
        n: instances.
        dim: D.
        seed: of the random unit rows it starts with; drawn on the CPU, so they do not depend on the device.
        device: where the rows live.
        ranks: who shares the bank, each with the rows `ranks.rows(n)` alone; None: all rows are here.
        dtype: of the rows; they are moved in fp32 and then rounded.

    Attributes:
        rows_ND: the rows that are here.
        first: instance of the first of them.
        shard: where the others are; None when all are here.
    """

    def __init__(
        self,
        n: int,
        dim: int,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        ranks: Ranks | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.first, stop = (0, n) if ranks is None else ranks.rows(n)
        self.shard = None if ranks is None else Shard(ranks=ranks, first=self.first)
        if stop == self.first:
            raise CpdError(f"a bank of {n} rows cannot be shared by {ranks.size if ranks else 1} ranks")
        rows_ND = functional.normalize(_random_rows(n, dim, self.first, stop, seed=seed), dim=1)
        self.rows_ND = rows_ND.to(device=device, dtype=dtype)

    @torch.no_grad()
    def update(self, index_B: Tensor, f_BD: Tensor, *, momentum: float) -> None:
        """Set row = normalise(momentum * row + (1 - momentum) * f), in place.

        An instance that occurs more than once takes its last feature, whatever the device: a plain indexed write
        would leave the winner to chance on a GPU.

        Args:
            index_B: instance of each feature, int64.
            f_BD: unit features (B, D); any float type.
            momentum: share of the old row, in [0, 1).

        Raises:
            IndexError: an index is not in 0..N-1 (on a GPU it is a device assertion).
        """
        last = _last_occurrences(index_B)
        index, new = index_B[last], f_BD[last].float()
        if self.shard is not None:
            local, here = locate(index, self.first, len(self.rows_ND))
            index, new = local[here], new[here]
        old = self.rows_ND.index_select(0, index).float()
        moved = functional.normalize(momentum * old + (1 - momentum) * new, dim=1)
        self.rows_ND.index_copy_(0, index, moved.to(self.rows_ND.dtype))

    def state_dict(self) -> dict[str, Tensor]:
        """The rows themselves (no copy)."""
        return {"rows": self.rows_ND}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy the rows of a checkpoint in.

        Raises:
            CpdError: they are of another number of instances or another dimension.
        """
        if state["rows"].shape != self.rows_ND.shape:
            raise CpdError(
                f"the checkpoint's bank is {tuple(state['rows'].shape)}, this run's {tuple(self.rows_ND.shape)}",
                hint="the shards or heads.dim changed since: delete the run's checkpoints folder to start anew",
            )
        self.rows_ND.copy_(state["rows"])


def bank_bytes(n: int, dim: int, *, ranks: int = 1, dtype: torch.dtype = torch.float32) -> int:
    """Bytes of both banks' rows on the fullest of `ranks` ranks that share them.

    430 MB for 210,000 instances of 256 in fp32. Ten million are 20.5 GB, and shared by 8 ranks 2.56 GB each.
    """
    return 2 * dtype.itemsize * dim * -(-n // ranks)


def _random_rows(n: int, dim: int, first: int, stop: int, *, seed: int) -> Tensor:
    """Rows first..stop of `torch.randn(n, dim)`, a block at a time, so that the others are never held.

    torch fills in runs of 16 values: a block that is a multiple of 16 rows draws what the whole would. The tail of
    fewer than 16 rows stays with the block before it.
    """
    generator = torch.Generator().manual_seed(seed)
    starts = list(range(0, max(n - 15, 1), BLOCK_ROWS))
    kept = []
    for low, high in zip(starts, [*starts[1:], n], strict=True):
        block_KD = torch.randn(high - low, dim, generator=generator)
        kept.append(block_KD[max(first - low, 0) : max(stop - low, 0)])
    return torch.cat(kept)


def _last_occurrences(index_B: Tensor) -> Tensor:
    """Positions in index_B of the last occurrence of each value."""
    ordered_B, order_B = torch.sort(index_B, stable=True)
    is_last_B = torch.ones_like(ordered_B, dtype=torch.bool)
    is_last_B[:-1] = ordered_B[1:] != ordered_B[:-1]
    return order_B[is_last_B]
