"""The queue of keys that MoCo takes its negatives from (arXiv 1911.05722, section 3.2).

Shapes: G keys of all ranks, Q queue, D projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cpd.errors import CpdError

if TYPE_CHECKING:
    from torch import Tensor


class Queue:
    """The last Q keys, in a ring; equal on all ranks, since each pushes the gathered keys.

    A plain tensor and no module buffer, so that nothing broadcasts it. It begins empty: MoCo fills it before the first
    update of its weights.

    Args:
        size: Q.
        dim: D.
        device: where the rows live.

    Attributes:
        rows_QD: the keys, fp32.
        pushed: keys that were ever pushed.
    """

    def __init__(self, size: int, dim: int, *, device: torch.device | str = "cpu") -> None:
        self.rows_QD = torch.zeros(size, dim, device=device)
        self.pushed = 0

    @property
    def full(self) -> bool:
        """Whether every row is a key."""
        return self.pushed >= len(self.rows_QD)

    @torch.no_grad()
    def push(self, key_GD: Tensor) -> None:
        """Replace the oldest rows; of more keys than rows the last stay."""
        size = len(self.rows_QD)
        place_G = (self.pushed + torch.arange(len(key_GD), device=self.rows_QD.device)) % size
        self.rows_QD.index_copy_(0, place_G[-size:], key_GD[-size:].to(self.rows_QD.dtype))
        self.pushed += len(key_GD)

    def state_dict(self) -> dict[str, Any]:
        """The rows (no copy) and how far the ring has turned."""
        return {"rows": self.rows_QD, "pushed": self.pushed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the rows of a checkpoint.

        Raises:
            CpdError: they are more or fewer, or of another dimension.
        """
        if state["rows"].shape != self.rows_QD.shape:
            raise CpdError(
                f"the checkpoint's queue is {tuple(state['rows'].shape)}, this run's {tuple(self.rows_QD.shape)}",
                hint="put objective.rho back, or delete the run's checkpoints folder to start anew",
            )
        self.rows_QD.copy_(state["rows"])
        self.pushed = state["pushed"]
