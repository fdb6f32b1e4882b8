"""Rows of all ranks with gradient: what a loss on one rank does to the rows of another goes back to that rank.

Shapes: B rows of this rank, G rows of all ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Ranks


def gather_live(x_B: Tensor, ranks: Ranks | None) -> tuple[Tensor, int]:
    """Rows (G, ...) of all ranks in rank order, and where this rank's begin. Every rank calls, forward and backward.

    Args:
        x_B: this rank's rows; there may be none, but then they need a gradient, too, so that backward is called.
        ranks: None: this process is alone.
    """
    if ranks is None:
        return x_B, 0
    own = ranks.own(x_B)
    rows_G: Tensor = _Gather.apply(x_B, ranks, own)  # type: ignore[no-untyped-call]
    return rows_G, own.start


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_B: Tensor, ranks: Ranks, own: slice) -> Tensor:
        ctx.ranks, ctx.own = ranks, own
        return ranks.gather(x_B)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_G: Tensor) -> tuple[Tensor, None, None]:
        return ctx.ranks.add(grad_G)[ctx.own], None, None
