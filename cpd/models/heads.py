"""Projection heads: from each tower's feature to the shared unit sphere (paper, section 3.3), and those of persistency.

Shapes: B batch, F video feature, E text feature, D shared embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class VideoHead(nn.Linear):
    """One linear layer and L2 normalisation: (B, F) to unit rows (B, D)."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__(features, dim)

    def forward(self, x_BF: Tensor) -> Tensor:
        """Video features (B, F) to unit rows (B, D), in fp32 or wider."""
        return unit_rows(super().forward(x_BF))


class TextHead(nn.Module):
    """Linear, BatchNorm, ReLU, Linear and L2 normalisation: (B, E) to unit rows (B, D).

    Its BatchNorm needs at least two rows while training.
    """

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim)
        )

    def forward(self, t_BE: Tensor) -> Tensor:
        """Text features (B, E) to unit rows (B, D), in fp32 or wider."""
        return unit_rows(self.layers(t_BE))


class MlpHead(nn.Sequential):
    """Layers of the persistency study's heads: Linear, BatchNorm if wanted, ReLU, ... Linear; (B, F) to (B, D).

    A hidden layer before a BatchNorm has no bias. The rows are not normalised: BYOL's predictor takes them as they are.

    Args:
        features: F.
        hidden: width of every layer but the last.
        dim: D.
        layers: linear ones, at least 1.
        norm: whether hidden layers have a BatchNorm, which needs two rows while training.
    """

    def __init__(self, features: int, hidden: int, dim: int, *, layers: int, norm: bool) -> None:
        widths = [features] + [hidden] * (layers - 1)
        parts: list[nn.Module] = []
        for width in widths[:-1]:
            parts.append(nn.Linear(width, hidden, bias=not norm))
            parts += [nn.BatchNorm1d(hidden)] if norm else []
            parts.append(nn.ReLU(inplace=True))
        super().__init__(*parts, nn.Linear(widths[-1], dim))


def unit_rows(x_BD: Tensor) -> Tensor:
    """L2-normalise the rows in fp32 at least: half precision would leave norms off by up to 1e-2."""
    return functional.normalize(x_BD.to(torch.promote_types(x_BD.dtype, torch.float32)), dim=1)
