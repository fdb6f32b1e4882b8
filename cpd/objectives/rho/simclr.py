"""rho-SimCLR: NT-Xent within the batch of all ranks (arXiv 2002.05709, 2104.14558).

Shapes: V clips of a video, B videos of this rank, G videos of all ranks, D projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cpd.objectives.gather import gather_live
from cpd.objectives.rho.method import Loss, Method, Steps
from cpd.objectives.rho.pairs import agreement, mean_over_pairs
from cpd.objectives.rho.projection import project
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cpd.objectives.ranks import Ranks


def loss(z_VBD: Tensor, all_VGD: Tensor, first: int, *, tau: float) -> Tensor:
    """Mean over videos and ordered pairs i != j of -log softmax(z_i . z_j / tau) among z_j and other videos' clips.

    With V = 2 this is NT-Xent. With more, the other clips of the same video are neither positives nor negatives of a
    pair.

    Args:
        z_VBD: unit projections of this rank's videos, live.
        all_VGD: those of all ranks, with gradient (`gather.gather_live`).
        first: where this rank's videos begin among them.
        tau: temperature.

    Returns:
        Scalar in nats: the mean over this rank's B videos.
    """
    V, B, _ = z_VBD.shape
    with torch.autocast(z_VBD.device.type, enabled=False):
        query_VBD = at_least_fp32(z_VBD) / tau
        score_VBVG = torch.einsum("vbd,wgd->vbwg", query_VBD, at_least_fp32(all_VGD))
        own_BG = torch.zeros(B, all_VGD.shape[1], dtype=torch.bool, device=z_VBD.device)
        own_BG[torch.arange(B), first + torch.arange(B)] = True
        rest_VB = score_VBVG.masked_fill(own_BG[:, None], -torch.inf).flatten(2).logsumexp(dim=-1)

        def of_pair(i: int, j: int) -> Tensor:
            positive_B = (query_VBD[i] * at_least_fp32(z_VBD[j])).sum(dim=-1)
            return torch.logaddexp(positive_B, rest_VB[i]) - positive_B

        return mean_over_pairs(of_pair, V, B)


class SimClr(Method):
    """One network; the negatives are the other videos of the micro-batch, of all ranks.

    Args:
        head: projection, F to D.
        tau: temperature.
        ranks: whose videos are negatives of each other; None: this process is alone.
        steps: how long the run is.
    """

    kind = "persistency simclr"

    def __init__(self, head: nn.Module, *, tau: float, ranks: Ranks | None, steps: Steps) -> None:
        super().__init__(steps)
        self.head, self.tau, self.ranks = head, tau, ranks

    def forward(self, feature_VBF: Tensor, clip_BVTHWC: Tensor) -> Loss:
        """Parts: loss, and agree, the mean cosine of a video's projections."""
        z_VBD = project(self.head, feature_VBF)
        all_GVD, first = gather_live(z_VBD.transpose(0, 1).contiguous(), self.ranks)
        parts = {"loss": loss(z_VBD, all_GVD.transpose(0, 1), first, tau=self.tau), "agree": agreement(z_VBD)}
        return Loss(parts)
