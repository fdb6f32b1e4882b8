"""rho-BYOL: predict the momentum encoder's projection of another clip; no negatives (arXiv 2006.07733, 2104.14558).

Shapes: V clips of a video, B videos, D projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from cpd.objectives.rho.method import Loss, Method, Steps
from cpd.objectives.rho.momentum import MomentumEncoder, momentum_at
from cpd.objectives.rho.pairs import agreement, mean_over_pairs
from cpd.objectives.rho.projection import project
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor


def loss(p_VBD: Tensor, k_VBD: Tensor) -> Tensor:
    """Mean over videos and ordered pairs i != j of -2 cos(prediction of clip i, target of clip j).

    Args:
        p_VBD: unit predictions, live.
        k_VBD: unit projections of the same clips by the momentum encoder, constants.

    Returns:
        Scalar from -2 (all clips of a video agree) to 2.
    """
    with torch.autocast(p_VBD.device.type, enabled=False):
        p_VBD, k_VBD = at_least_fp32(p_VBD), at_least_fp32(k_VBD)
        return mean_over_pairs(lambda i, j: -2 * (p_VBD[i] * k_VBD[j]).sum(dim=-1), len(p_VBD), p_VBD.shape[1])


class Byol(Method):
    """A predictor upon the network's projection, and a momentum encoder without one.

    Args:
        head: projection, F to D.
        predictor: D to D.
        keys: the momentum encoder, of tower and head.
        momentum: at the first step.
        steps: how long the run is.
    """

    kind = "persistency byol"

    def __init__(
        self, head: nn.Module, predictor: nn.Module, keys: MomentumEncoder, *, momentum: float, steps: Steps
    ) -> None:
        super().__init__(steps)
        self.predict, self.keys, self.start = nn.Sequential(head, predictor), keys, momentum

    def forward(self, feature_VBF: Tensor, clip_BVTHWC: Tensor) -> Loss:
        """Parts: loss, and agree, the mean cosine of a video's targets (1 for all videos alike is collapse)."""
        p_VBD, k_VBD = project(self.predict, feature_VBF), self.keys(clip_BVTHWC)
        return Loss({"loss": loss(p_VBD, k_VBD), "agree": agreement(k_VBD)})

    def update(self, key_GVD: Tensor | None) -> None:
        """The momentum encoder follows."""
        self.keys.follow(momentum_at(self.done, self.steps.total, start=self.start))
        super().update(key_GVD)
