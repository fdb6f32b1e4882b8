"""The memory bank: one unit row per instance, moved towards its latest feature (paper, section 3.2).

Shapes: B batch, N instances, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cpd.errors import CpdError

if TYPE_CHECKING:
    from torch import Tensor


class Bank:
    """N unit rows of D numbers, fp32.

    A plain tensor and no module buffer, so that DistributedDataParallel does not broadcast it in every forward pass.
    Every rank holds all of it and applies the same gathered update, so the banks stay equal. Memory per rank is
    4 N D bytes (215 MB for 210,000 instances of 256; a run has two banks).

    Args:
        n: instances.
        dim: D.
        seed: of the random unit rows it starts with; drawn on the CPU, so they do not depend on the device.
        device: where the rows live.
    """

    def __init__(self, n: int, dim: int, *, seed: int, device: torch.device | str = "cpu") -> None:
        generator = torch.Generator().manual_seed(seed)
        rows_ND = functional.normalize(torch.randn(n, dim, generator=generator), dim=1)
        self.rows_ND = rows_ND.to(device)

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
        index, new = index_B[last], f_BD[last].to(self.rows_ND.dtype)
        old = self.rows_ND.index_select(0, index)
        self.rows_ND.index_copy_(0, index, functional.normalize(momentum * old + (1 - momentum) * new, dim=1))

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


def _last_occurrences(index_B: Tensor) -> Tensor:
    """Positions in index_B of the last occurrence of each value."""
    ordered_B, order_B = torch.sort(index_B, stable=True)
    is_last_B = torch.ones_like(ordered_B, dtype=torch.bool)
    is_last_B[:-1] = ordered_B[1:] != ordered_B[:-1]
    return order_B[is_last_B]
