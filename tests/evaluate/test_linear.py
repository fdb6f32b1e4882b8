"""The probe against batch norm, cross-entropy and Adam written out, and against scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cpd.config import Linear
from cpd.errors import CpdError
from cpd.evaluate import linear
from cpd.evaluate.datasets import Labelled


def data(n: int, *, seed: int, n_classes: int = 5, dim: int = 10) -> tuple[torch.Tensor, list[str]]:
    generator = torch.Generator().manual_seed(seed)
    label_N = torch.arange(n) % n_classes
    centre_KD = 2 * torch.randn(n_classes, dim, generator=torch.Generator().manual_seed(7))
    x_ND = centre_KD[label_N] + torch.randn(n, dim, generator=generator)
    return 5 + 3 * x_ND, [f"c{i}" for i in label_N.tolist()]


def slow_probe(x_ND: torch.Tensor, label_N: torch.Tensor, settings: Linear, *, seed: int) -> list[torch.Tensor]:
    """Weights after training, in float64 with every formula written out: scale, shift, weight_KD, bias_K."""
    n, dim, n_classes = len(x_ND), x_ND.shape[1], int(label_N.max()) + 1
    torch.manual_seed(seed)
    start = torch.nn.Linear(dim, n_classes)
    params = [torch.ones(dim), torch.zeros(dim), start.weight.detach(), start.bias.detach()]
    params = [p.double().requires_grad_() for p in params]
    first, second = ([torch.zeros_like(p) for p in params] for _ in range(2))
    order, step = torch.Generator().manual_seed(seed), 0
    steps = -(-n // settings.batch)
    for _ in range(settings.epochs):
        shuffled_N = torch.randperm(n, generator=order)
        for begin in range(0, n, settings.batch):
            index_B = shuffled_N[begin : begin + settings.batch]
            lr = slow_lr(step / steps, settings) if step >= settings.warmup_epochs * steps else 0.0
            lr = lr or settings.lr * (step + 1) / (settings.warmup_epochs * steps or 1)
            x_BD, step = x_ND[index_B].double(), step + 1
            centred_BD = (x_BD - x_BD.mean(0)) / (x_BD.var(0, unbiased=False) + 1e-5).sqrt()
            logit_BK = (centred_BD * params[0] + params[1]) @ params[2].T + params[3]
            picked_B = logit_BK[range(len(index_B)), label_N[index_B]]
            grads = torch.autograd.grad((logit_BK.logsumexp(1) - picked_B).mean(), params)
            for i, grad in enumerate(grads):
                grad = grad + settings.weight_decay * params[i]
                if settings.optimizer == "sgd":
                    first[i] = settings.momentum * first[i] + grad
                    params[i] = (params[i] - lr * first[i]).detach().requires_grad_()
                    continue
                first[i] = 0.9 * first[i] + 0.1 * grad
                second[i] = 0.999 * second[i] + 0.001 * grad**2
                fixed = (second[i] / (1 - 0.999**step)).sqrt() + 1e-8
                params[i] = (params[i] - lr * first[i] / (1 - 0.9**step) / fixed).detach().requires_grad_()
    return params


def slow_lr(epochs: float, settings: Linear) -> float:
    """Of a step that comes so many epochs, whole and part, after the start."""
    if settings.schedule == "step":
        return settings.lr * 0.1 ** (int(epochs) // settings.step)
    share = (epochs - settings.warmup_epochs) / (settings.epochs - settings.warmup_epochs)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * share))


@pytest.mark.parametrize(
    "settings",
    [
        Linear(epochs=4, lr=1e-2, step=2, batch=16),
        Linear(epochs=4, lr=1e-2, batch=16, weight_decay=0.05, schedule="cosine"),
        Linear(epochs=4, lr=0.1, batch=16, optimizer="sgd", momentum=0.8, weight_decay=0.05, schedule="cosine"),
        Linear(epochs=4, lr=0.1, step=1, batch=16, optimizer="sgd", warmup_epochs=2),
    ],
)
def test_training_agrees_with_the_formulas_written_out(settings: Linear) -> None:
    x_ND, labels = data(50, seed=0)
    label_N = torch.tensor([int(label[1]) for label in labels])
    probe = linear.train_probe(x_ND, label_N, settings, n_classes=5, seed=3)
    for ours, wanted in zip(probe.parameters(), slow_probe(x_ND, label_N, settings, seed=3), strict=True):
        torch.testing.assert_close(ours.detach().double(), wanted.detach(), atol=1e-4, rtol=1e-4)


def test_accuracy_is_that_of_logistic_regression() -> None:
    (train_ND, labels), (test_QD, truth) = data(400, seed=1), data(400, seed=2)
    scaler = StandardScaler().fit(train_ND.numpy())
    twin = LogisticRegression(C=1e3, max_iter=500).fit(scaler.transform(train_ND.numpy()), labels)
    wanted = 100 * twin.score(scaler.transform(test_QD.numpy()), truth)
    train, test = Labelled({"emb": train_ND}, labels, labels), Labelled({"emb": test_QD}, truth, truth)
    got = linear.evaluate(train, test, Linear(epochs=20, lr=1e-2, step=10, batch=64)).values["emb"]["top1"]
    assert abs(got - wanted) < 3
    assert got > 80


def test_equal_seeds_give_equal_probes_and_leave_the_global_seed_alone() -> None:
    x_ND, labels = data(40, seed=4)
    label_N = torch.tensor([int(label[1]) for label in labels])
    settings = Linear(epochs=2, batch=8)

    def weights(seed: int) -> torch.Tensor:
        return next(linear.train_probe(x_ND, label_N, settings, n_classes=5, seed=seed)[1].parameters())

    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    assert torch.equal(torch.rand(3), wanted)


def test_lr_of_each_step() -> None:
    step = Linear(epochs=5, lr=1.0, step=2)
    assert [linear.lr_at(i, step, steps=2) for i in range(10)] == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)
    cosine = Linear(epochs=4, lr=1.0, schedule="cosine", warmup_epochs=1, optimizer="sgd")
    wanted = [0.5, 1, 1, *(0.5 * (1 + math.cos(math.pi * i / 6)) for i in range(1, 6))]
    assert [linear.lr_at(i, cosine, steps=2) for i in range(8)] == pytest.approx(wanted)


@pytest.mark.parametrize("n", [2, 16, 17, 33, 40])
def test_batches_hold_every_item_once_and_none_is_alone(n: int) -> None:
    parts = linear.batches(n, 16, generator=torch.Generator().manual_seed(0))
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    assert all(len(part) > 1 for part in parts)


def test_one_training_item_is_refused() -> None:
    with pytest.raises(CpdError, match="1 training items"):
        linear.classify(torch.ones(1, 3), ["a"], torch.ones(1, 3), Linear())
