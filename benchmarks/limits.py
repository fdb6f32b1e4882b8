"""What this machine can do at best: products of matrices, and copies."""

from __future__ import annotations

from collections.abc import Callable

import torch

COPY = 2**26  # floats: far beyond the caches


def gemm(rows: int, inner: int, columns: int, *, device: str = "cpu") -> Callable[[int], object]:
    """A product of fp32 matrices; 2 * rows * inner * columns operations."""
    left, right = torch.randn(rows, inner, device=device), torch.randn(inner, columns, device=device)
    out = torch.empty(rows, columns, device=device)
    return lambda number: torch.mm(left, right, out=out)


def read_once(n_bytes: int) -> Callable[[int], object]:
    """Read so many bytes of fp32 once, in order."""
    data = torch.ones(n_bytes // 4)
    return lambda number: data.sum()


def copy() -> Callable[[int], object]:
    """Copy `COPY` floats: 8 * COPY bytes read and written."""
    source, target = torch.ones(COPY), torch.empty(COPY)
    return lambda number: target.copy_(source)
