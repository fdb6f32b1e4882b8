"""k-nearest-neighbour classification on frozen features, by cosine (PAPER section 2; the paper does not name the vote).

`majority` counts the k neighbours by class and breaks ties by the sum of their similarities; `weighted` sums
exp(similarity / tau). Only classes among the neighbours can be predicted, in top-5 too. Of several training items with
the very same similarity the earlier is the nearer.

Shapes: N training items, Q test items, B of a chunk, D features, K classes, k neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cpd.config import Knn
from cpd.evaluate.factors import Factors
from cpd.evaluate.neighbours import nearest
from cpd.evaluate.predictions import Measured, scored

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.evaluate.datasets import Labelled

CHUNK = 1024


def evaluate(train: Labelled, test: Labelled, settings: Knn, *, factors: Factors | None = None) -> Measured:
    """Scores of every feature: {"emb": {"top1", "top5", "chance", ...}, "res5": ...}, in percent."""
    ranked = {
        name: classify(train_ND, train.labels, test.features[name], settings, name=name)
        for name, train_ND in train.features.items()
    }
    return scored(ranked, test.labels, test.keys, classes=train.labels, factors=factors)


def classify(
    train_ND: Tensor, labels: list[str], test_QD: Tensor, settings: Knn, *, name: str = "features"
) -> list[list[str]]:
    """Classes of each test item, best first: at most 5, and only those that have a neighbour."""
    classes = sorted(set(labels))
    number = {name: position for position, name in enumerate(classes)}
    label_N = torch.tensor([number[label] for label in labels])
    sim_Qk, near_Qk = nearest(train_ND, test_QD, k=settings.k, desc=f"knn {name}")
    ranked: list[list[str]] = []
    for sim_Bk, near_Bk in zip(torch.split(sim_Qk, CHUNK), torch.split(near_Qk, CHUNK), strict=True):
        ranked += _ranked(_votes(sim_Bk, label_N[near_Bk], settings, n_classes=len(classes)), classes)
    return ranked


def _votes(sim_Bk: Tensor, label_Bk: Tensor, settings: Knn, *, n_classes: int) -> Tensor:
    """Score of every class, (B, K) float64; positive exactly where a class has a neighbour."""
    if settings.vote == "weighted":
        weight_Bk = torch.exp((sim_Bk - 1) / settings.tau)
    else:
        # one vote outweighs the sum of all similarities, which lies in [-k, k]
        weight_Bk = 2 * sim_Bk.shape[1] + 1 + sim_Bk
    empty_BK = torch.zeros(len(sim_Bk), n_classes, dtype=torch.float64)
    return empty_BK.scatter_add(1, label_Bk, weight_Bk)


def _ranked(score_BK: Tensor, classes: list[str]) -> list[list[str]]:
    score_B5, best_B5 = score_BK.sort(dim=1, descending=True, stable=True)
    rows = zip(score_B5[:, :5].tolist(), best_B5[:, :5].tolist(), strict=True)
    return [[classes[c] for s, c in zip(scores, best, strict=True) if s > 0] for scores, best in rows]
