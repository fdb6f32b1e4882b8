"""rho-MoCo: InfoNCE against a queue of keys that a momentum encoder made (arXiv 1911.05722, 2104.14558).

Shapes: V clips of a video, B videos, G of all ranks, Q queue, D projection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from cpd.objectives.rho.method import Loss, Method, Steps
from cpd.objectives.rho.momentum import MomentumEncoder, momentum_at
from cpd.objectives.rho.pairs import agreement, mean_over_pairs
from cpd.objectives.rho.projection import project
from cpd.objectives.softmax import at_least_fp32

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cpd.objectives.rho.queue import Queue


def loss(q_VBD: Tensor, k_VBD: Tensor, queue_QD: Tensor, *, tau: float) -> Tensor:
    """Mean over videos and ordered pairs i != j of -log softmax(q_i . k_j / tau) among k_j and the queue.

    Other clips of the same video are neither positives nor negatives of a pair. A query meets the queue once, not once
    a pair.

    Args:
        q_VBD: unit queries, live.
        k_VBD: unit keys of the same clips by the momentum encoder, constants.
        queue_QD: unit keys of earlier steps, constants.
        tau: temperature.

    Returns:
        Scalar in nats.
    """
    with torch.autocast(q_VBD.device.type, enabled=False):
        query_VBD, key_VBD = at_least_fp32(q_VBD) / tau, at_least_fp32(k_VBD)
        rest_VB = torch.logsumexp(query_VBD @ queue_QD.to(query_VBD.dtype).T, dim=-1)

        def of_pair(i: int, j: int) -> Tensor:
            positive_B = (query_VBD[i] * key_VBD[j]).sum(dim=-1)
            return torch.logaddexp(positive_B, rest_VB[i]) - positive_B

        return mean_over_pairs(of_pair, len(q_VBD), q_VBD.shape[1])


class Moco(Method):
    """Queries by the network, keys by its momentum encoder, negatives from the queue.

    Args:
        head: projection, F to D; no batch norm.
        keys: the momentum encoder.
        queue: empty until `fill` has filled it, before the first update.
        tau: temperature.
        momentum: at the first step.
        steps: how long the run is.
    """

    kind = "persistency moco"

    def __init__(
        self, head: nn.Module, keys: MomentumEncoder, queue: Queue, *, tau: float, momentum: float, steps: Steps
    ) -> None:
        super().__init__(steps)
        self.head, self.keys, self.queue = head, keys, queue
        self.tau, self.start = tau, momentum

    def forward(self, feature_VBF: Tensor, clip_BVTHWC: Tensor) -> Loss:
        """Parts: loss, and agree, the mean cosine of a video's queries."""
        q_VBD, k_VBD = project(self.head, feature_VBF), self.keys(clip_BVTHWC)
        parts = {"loss": loss(q_VBD, k_VBD, self.queue.rows_QD, tau=self.tau), "agree": agreement(q_VBD)}
        return Loss(parts, k_VBD.transpose(0, 1))

    def fill(self, key_GVD: Tensor) -> None:
        """Keys of all ranks go to the queue: of every clip, as the study's configuration has it."""
        self.queue.push(key_GVD.flatten(0, 1))

    def update(self, key_GVD: Tensor | None) -> None:
        """The momentum encoder follows, and the queue takes the step's keys."""
        assert key_GVD is not None
        self.keys.follow(momentum_at(self.done, self.steps.total, start=self.start))
        self.fill(key_GVD)
        super().update(key_GVD)

    def memory(self) -> dict[str, Any]:
        """The queue, and how often videos were spread over the ranks."""
        return {**super().memory(), "queue": self.queue.state_dict(), "draws": self.keys.draws}

    def load_memory(self, state: dict[str, Any]) -> None:
        """Restore them."""
        super().load_memory(state)
        self.queue.load_state_dict(state["queue"])
        self.keys.draws = state["draws"]
