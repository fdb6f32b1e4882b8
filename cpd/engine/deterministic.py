"""Deterministic mode: on a GPU, too, the same run gives the same bits. On a CPU it always does."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Within the block torch refuses operations whose result depends on timing, and cuDNN chooses no algorithm by it.

    Raises:
        CpdError: the network needs an operation that has no deterministic form on this device.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        raise CpdError(f"train.deterministic: {error}", hint="set train.deterministic to false") from error
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
