"""From a tower's features to unit projections.

Shapes: V clips of a video, B videos, F feature, D projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor


def project(head: nn.Module, feature_VBF: Tensor) -> Tensor:
    """Unit projections (V, B, D), fp32 or wider; each clip of the videos is a batch of its own (batch norm).

    A rank without videos (B = 0) gets none, with gradient, and leaves the statistics of its batch norm alone; under
    SyncBatchNorm, which counts the rows of all ranks, it runs along.
    """
    V, B, _ = feature_VBF.shape
    if not B and not synced(head):
        return feature_VBF.new_zeros(V, 0, width(head)) + feature_VBF.sum()
    return torch.stack([functional.normalize(at_least_fp32(head(feature_BF)), dim=-1) for feature_BF in feature_VBF])


def width(head: nn.Module) -> int:
    """D: what the last weight matrix of a head gives."""
    return [p.shape[0] for p in head.parameters() if p.ndim > 1][-1]


def synced(module: nn.Module) -> bool:
    """Whether its batch norms speak with other ranks, so that every rank has to call it."""
    return any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
