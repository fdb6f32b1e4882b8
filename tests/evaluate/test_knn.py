"""k-NN against scikit-learn, and against a vote written out in plain Python."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from cpd.config import Knn
from cpd.evaluate import knn
from cpd.evaluate.datasets import Labelled
from cpd.evaluate.predictions import Classified


def data(n: int, n_classes: int, *, seed: int, dim: int = 12) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    label_N = torch.randint(n_classes, (n,), generator=generator)
    centre_KD = torch.randn(n_classes, dim, generator=torch.Generator().manual_seed(99))
    return centre_KD[label_N] + 1.5 * torch.randn(n, dim, generator=generator), [f"c{i:02d}" for i in label_N.tolist()]


def slow(train_ND: torch.Tensor, labels: list[str], query_D: torch.Tensor, settings: Knn) -> list[str]:
    """Ranked classes of one query, one similarity at a time."""
    sims = []
    for row_D, label in zip(train_ND.double(), labels, strict=True):
        query = query_D.double()
        sims.append((float(row_D @ query / row_D.norm() / query.norm()), label))
    near = sorted(sims, reverse=True)[: settings.k]
    votes: dict[str, list[float]] = defaultdict(list)
    for sim, label in near:
        votes[label].append(sim)
    if settings.vote == "majority":
        return sorted(votes, key=lambda c: (len(votes[c]), sum(votes[c])), reverse=True)[:5]
    return sorted(votes, key=lambda c: sum(math.exp(s / settings.tau) for s in votes[c]), reverse=True)[:5]


@pytest.mark.parametrize("vote", ["majority", "weighted"])
@pytest.mark.parametrize("k", [1, 4, 25])
def test_agrees_with_the_vote_written_out(vote: str, k: int) -> None:
    (train_ND, labels), (test_QD, _) = data(150, 9, seed=0), data(40, 9, seed=1)
    settings = Knn(k=k, vote=vote)  # type: ignore[arg-type]
    wanted = [slow(train_ND, labels, query_D, settings) for query_D in test_QD]
    assert knn.classify(train_ND, labels, test_QD, settings) == wanted


@pytest.mark.parametrize("vote", ["majority", "weighted"])
def test_agrees_with_scikit_learn(vote: str) -> None:
    (train_ND, labels), (test_QD, truth) = data(400, 6, seed=2), data(300, 6, seed=3)
    settings = Knn(k=15, vote=vote)  # type: ignore[arg-type]
    weights = "uniform" if vote == "majority" else (lambda distance: np.exp((1 - distance) / settings.tau))
    twin = KNeighborsClassifier(15, metric="cosine", algorithm="brute", weights=weights)
    twin.fit(train_ND.numpy(), labels)
    train, test = Labelled({"x": train_ND}, labels, labels), Labelled({"x": test_QD}, truth, truth)
    values = knn.evaluate(train, test, settings).values
    ours = [best[0] for best in knn.classify(train_ND, labels, test_QD, settings)]
    counts = twin.predict_proba(test_QD.numpy())
    clear = np.sort(counts, axis=1)[:, -1] > np.sort(counts, axis=1)[:, -2]  # scikit-learn breaks ties by class order
    assert clear.mean() > 0.8
    assert (np.array(ours)[clear] == twin.predict(test_QD.numpy())[clear]).all()
    assert values["x"]["top1"] == pytest.approx(100 * np.mean(np.array(ours) == np.array(truth)))
    assert 40 < values["x"]["top1"] < values["x"]["top5"] <= 100


def test_only_classes_with_a_neighbour_are_predicted() -> None:
    train_ND, labels = torch.eye(6), list("abcdef")
    assert knn.classify(train_ND, labels, torch.eye(6)[:1], Knn(k=1)) == [["a"]]


def test_k_may_exceed_the_training_set() -> None:
    assert knn.classify(torch.eye(2), ["a", "b"], torch.tensor([[0.1, 1.0]]), Knn(k=25)) == [["b", "a"]]


def test_a_class_that_training_lacks_counts_as_wrong() -> None:
    train = Labelled({"x": torch.eye(2)}, ["a", "b"], ["1", "2"])
    test = Labelled({"x": torch.eye(2)}, ["a", "z"], ["3", "4"])
    found = knn.evaluate(train, test, Knn(k=1))
    assert found.values["x"]["top1"] == 50
    assert found.predictions == Classified(
        classes=["a", "b", "z"], keys=["3", "4"], labels=[0, 2], top5={"x": [[0], [1]]}
    )


def test_more_queries_than_a_chunk() -> None:
    (train_ND, labels), (test_QD, _) = data(50, 4, seed=4), data(knn.CHUNK + 3, 4, seed=5)
    whole = knn.classify(train_ND, labels, test_QD, Knn(k=3))
    assert len(whole) == knn.CHUNK + 3
    assert whole[-3:] == knn.classify(train_ND, labels, test_QD[-3:], Knn(k=3))
