"""rho-SwAV: from one clip predict the cluster of another (arXiv 2006.09882, 2104.14558).

Shapes: V clips of a video, B videos of this rank, G videos of all ranks, K prototypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from cpd.objectives.rho.method import Loss, Method, Steps
from cpd.objectives.rho.pairs import agreement, mean_over_pairs
from cpd.objectives.rho.projection import project
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.objectives.ranks import Ranks


def loss(score_VBK: Tensor, code_VBK: Tensor, *, tau: float) -> Tensor:
    """Mean over videos and ordered pairs i != j of the cross-entropy of softmax(score_i / tau) to the code of clip j.

    Args:
        score_VBK: cosines of projections and prototypes, live.
        code_VBK: what `sinkhorn` made of the same scores, constants.
        tau: temperature.

    Returns:
        Scalar in nats.
    """
    with torch.autocast(score_VBK.device.type, enabled=False):
        log_VBK = torch.log_softmax(at_least_fp32(score_VBK) / tau, dim=-1)
        return mean_over_pairs(lambda i, j: -(code_VBK[j] * log_VBK[i]).sum(dim=-1), len(score_VBK), score_VBK.shape[1])


@torch.no_grad()
def sinkhorn(score_GK: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Codes that use all prototypes equally (SwAV's section 3.1), by Sinkhorn and Knopp, in log space.

    Starting at exp(score / epsilon), each prototype's sum over the videos is scaled to G / K, then each video's sum
    over the prototypes to 1, `iterations` times.

    Args:
        score_GK: cosines of one clip of every video of all ranks.
        epsilon: the smaller, the harder the codes.
        iterations: how often.

    Returns:
        (G, K), fp32 or wider; rows sum to 1.
    """
    G, K = score_GK.shape
    if not G:
        return at_least_fp32(score_GK)
    log_GK = at_least_fp32(score_GK) / epsilon
    even = torch.tensor(G / K, dtype=log_GK.dtype, device=log_GK.device).log()
    for _ in range(iterations):
        log_GK = log_GK - log_GK.logsumexp(dim=0, keepdim=True) + even
        log_GK = log_GK - log_GK.logsumexp(dim=1, keepdim=True)
    return log_GK.exp()


class Swav(Method):
    """One network and K prototypes; the codes are made from the micro-batch of all ranks.

    Args:
        head: projection, F to D.
        prototypes: D to K, without bias; its rows are kept at unit length.
        tau: temperature of the predictions.
        epsilon: entropy of the codes.
        iterations: of Sinkhorn and Knopp.
        freeze_epochs: epochs in which the prototypes stay as they are.
        ranks: None: this process is alone.
        steps: how long the run is.
    """

    kind = "persistency swav"

    def __init__(
        self,
        head: nn.Module,
        prototypes: nn.Linear,
        *,
        tau: float,
        epsilon: float,
        iterations: int,
        freeze_epochs: int,
        ranks: Ranks | None,
        steps: Steps,
    ) -> None:
        super().__init__(steps)
        self.head, self.prototypes, self.tau = head, prototypes, tau
        self.epsilon, self.iterations, self.ranks = epsilon, iterations, ranks
        self.frozen_steps = freeze_epochs * steps.epoch
        self._normalise()

    def forward(self, feature_VBF: Tensor, clip_BVTHWC: Tensor) -> Loss:
        """Parts: loss, and agree, the mean cosine of a video's projections."""
        z_VBD = project(self.head, feature_VBF)
        weight_KD = self.prototypes.weight
        with torch.autocast(z_VBD.device.type, enabled=False):
            score_VBK = functional.linear(z_VBD, weight_KD.detach() if self.frozen else weight_KD)
        return Loss({"loss": loss(score_VBK, self._codes(score_VBK), tau=self.tau), "agree": agreement(z_VBD)})

    @property
    def frozen(self) -> bool:
        """Whether the prototypes stay as they are in this step: without a gradient no optimiser touches them."""
        return self.done < self.frozen_steps

    def update(self, key_GVD: Tensor | None) -> None:
        """Bring the prototypes back to the unit sphere."""
        super().update(key_GVD)
        self._normalise()

    @torch.no_grad()
    def _codes(self, score_VBK: Tensor) -> Tensor:
        """Codes of this rank's clips, from the scores of all ranks: every rank computes the same."""
        score_BVK = score_VBK.detach().transpose(0, 1).contiguous()
        own = slice(None) if self.ranks is None else self.ranks.own(score_BVK)
        score_GVK = score_BVK if self.ranks is None else self.ranks.gather(score_BVK)
        codes = [sinkhorn(s_GK, epsilon=self.epsilon, iterations=self.iterations) for s_GK in score_GVK.unbind(1)]
        return torch.stack([code_GK[own] for code_GK in codes])

    @torch.no_grad()
    def _normalise(self) -> None:
        self.prototypes.weight.copy_(functional.normalize(self.prototypes.weight, dim=1))
