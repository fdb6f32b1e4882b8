"""What this machine can do at best: products of matrices, and memory read once."""

from __future__ import annotations

from collections.abc import Callable

import torch


def gemm(rows: int, inner: int, columns: int) -> Callable[[int], object]:
    """A product of fp32 matrices; 2 * rows * inner * columns operations."""
    left, right = torch.randn(rows, inner), torch.randn(inner, columns)
    out = torch.empty(rows, columns)
    return lambda number: torch.mm(left, right, out=out)


def read_once(n_bytes: int) -> Callable[[int], object]:
    """Read so many bytes of fp32 once, in order."""
    data = torch.ones(n_bytes // 4)
    return lambda number: data.sum()
