"""Linear probe on frozen features: BatchNorm, fully connected, Adam, lr / 10 every `step` epochs (PAPER section 2).

The features stay where they are: fp32 on the CPU is read batch by batch out of its memory map.

Shapes: N training items, Q test items, D features, K classes, B batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from cpd.config import Linear
from cpd.engine import optim
from cpd.errors import CpdError
from cpd.evaluate.factors import Factors
from cpd.evaluate.linear_probe import Probe
from cpd.evaluate.predictions import Measured, scored

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.evaluate.datasets import Labelled


def evaluate(
    train: Labelled, test: Labelled, settings: Linear, *, seed: int = 0, factors: Factors | None = None
) -> Measured:
    """Scores of a probe on every feature: {"emb": {"top1", "top5", "chance", ...}, "res5": ...}, in percent.

    Raises:
        CpdError: fewer than two training items.
    """
    ranked = {
        name: classify(train_ND, train.labels, test.features[name], settings, seed=seed, name=name)
        for name, train_ND in train.features.items()
    }
    return scored(ranked, test.labels, test.keys, classes=train.labels, factors=factors)


def classify(
    train_ND: Tensor, labels: list[str], test_QD: Tensor, settings: Linear, *, seed: int = 0, name: str = "probe"
) -> list[list[str]]:
    """Train a probe; the (at most 5) best classes of each test item, best first. Equal seeds give equal weights."""
    if len(labels) < 2:
        raise CpdError(f"a linear probe on {len(labels)} training items", hint="batch statistics need at least 2")
    classes = sorted(set(labels))
    number = {label: position for position, label in enumerate(classes)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    label_N = torch.tensor([number[label] for label in labels], device=device)
    probe = train_probe(train_ND.float().to(device), label_N, settings, n_classes=len(classes), seed=seed, name=name)
    with torch.inference_mode():
        logit_QK = torch.cat([probe(part_BD.float().to(device)).cpu() for part_BD in torch.split(test_QD, 4096)])
    best_Q5 = logit_QK.sort(dim=1, descending=True, stable=True).indices[:, :5]
    return [[classes[c] for c in best] for best in best_Q5.tolist()]


def train_probe(
    train_ND: Tensor, label_N: Tensor, settings: Linear, *, n_classes: int, seed: int, name: str = "probe"
) -> nn.Module:
    """BatchNorm + Linear, trained as `settings` say; returned in eval mode."""
    order = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        probe = Probe(train_ND.shape[1], n_classes)
    probe.to(train_ND.device).train()
    optimiser = _optimiser(probe, settings)
    bar = tqdm(range(settings.epochs), desc=f"linear {name}", unit="epoch", disable=None)
    for epoch in bar:
        parts = batches(len(label_N), settings.batch, generator=order)
        for number, index_B in enumerate(parts):
            optimiser.param_groups[0]["lr"] = lr_at(epoch * len(parts) + number, settings, steps=len(parts))
            index_B = index_B.to(train_ND.device)
            loss = cross_entropy(probe(train_ND.index_select(0, index_B)), label_N[index_B])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    return probe.eval()


def lr_at(step: int, settings: Linear, *, steps: int) -> float:
    """The learning rate of an optimiser step, counted from 0, with `steps` of them an epoch."""
    milestones = tuple(range(settings.step, settings.epochs, settings.step))
    stage = optim.Stage(epochs=settings.epochs, lrs={}, warmup_epochs=settings.warmup_epochs)
    schedule = optim.Schedule(kind=settings.schedule, milestones=milestones)
    return settings.lr * schedule.factor(step, stage, steps_per_epoch=steps)


def _optimiser(probe: nn.Module, settings: Linear) -> torch.optim.Optimizer:
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            probe.parameters(), momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.Adam(probe.parameters(), weight_decay=settings.weight_decay, fused=True)


def batches(n: int, size: int, *, generator: torch.Generator) -> list[Tensor]:
    """A permutation of 0..n-1 cut into batches; a last batch of one joins the one before (batch statistics need 2)."""
    parts = list(torch.split(torch.randperm(n, generator=generator), size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts
