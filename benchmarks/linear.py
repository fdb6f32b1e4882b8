"""An epoch of the linear probe: rows of one tensor, and fused Adam, beside the loop one would first write."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import limits
from benchmarks.harness import Options, Way, gain, measure
from benchmarks.record import Findings
from cpd.config import Linear
from cpd.evaluate.linear import train_probe

TITLE = "Linear probe: an epoch"
OURS, LOOP = "rows of a tensor, fused Adam", "DataLoader over TensorDataset, Adam"
CLASSES = 400


def run(options: Options) -> Findings:
    """One epoch of each."""
    n, dim = (2000, 64) if options.quick else (24_000, 2048)
    train_ND, label_N = torch.randn(n, dim), torch.randint(CLASSES, (n,))
    settings = Linear(epochs=1)
    gemm = limits.gemm(settings.batch, dim, CLASSES)

    def products(number: int) -> None:
        for _ in range(2 * (n // settings.batch)):  # forward, and the gradient of the weights
            gemm(number)

    ways = [
        Way(
            name=OURS,
            side="ours",
            run=lambda k: train_probe(train_ND, label_N, settings, n_classes=CLASSES, seed=k),
        ),
        Way(name=LOOP, side="obvious", run=lambda k: _loop(train_ND, label_N, settings)),
        Way(name="its matrix products alone", side="limit", run=products),
    ]
    table = measure("An epoch", ways, rounds=options.rounds(4))
    return Findings(
        title=TITLE,
        about=f"{n:,} rows of {dim}, {CLASSES} classes, batches of {settings.batch}",
        tables=(table,),
        targets=(gain(table, what="linear probe, an epoch", against=LOOP, ours=OURS, other=LOOP, at_least=1.3),),
    )


def _loop(train_ND: torch.Tensor, label_N: torch.Tensor, settings: Linear) -> None:
    probe = nn.Sequential(nn.BatchNorm1d(train_ND.shape[1]), nn.Linear(train_ND.shape[1], CLASSES))
    optimiser = torch.optim.Adam(probe.parameters(), lr=settings.lr)
    for x_BD, label_B in DataLoader(TensorDataset(train_ND, label_N), batch_size=settings.batch, shuffle=True):
        optimiser.zero_grad()
        cross_entropy(probe(x_BD), label_B).backward()
        optimiser.step()
