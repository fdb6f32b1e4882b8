"""An epoch of the linear probe: two products a step, rows of one tensor, and fused Adam, beside the same with a third
product, as autograd does it, and beside the loop one would first write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import limits
from benchmarks.harness import Options, Way, gain, measure
from benchmarks.record import Findings
from cpd.config import Linear
from cpd.evaluate.linear import train_probe

TITLE = "Linear probe: an epoch"
OURS, LOOP = "two products a step, rows of a tensor, fused Adam", "DataLoader over TensorDataset, Adam"
PLAIN = "three products a step, rows of a tensor, fused Adam"
CLASSES = 400


def run(options: Options) -> Findings:
    """One epoch of each."""
    n, dim = (2000, 64) if options.quick else (24_000, 2048)
    data = torch.randn(n, dim), torch.randint(CLASSES, (n,))
    settings = Linear(epochs=1)
    size = settings.batch
    gemm = limits.gemm(size, dim, CLASSES)

    def products(number: int) -> None:
        for _ in range(2 * (n // size)):  # forward, and the gradient of the weights
            gemm(number)

    ways = [
        Way(name=OURS, side="ours", run=lambda k: train_probe(*data, settings, n_classes=CLASSES, seed=k)),
        Way(name=PLAIN, side="other", run=lambda k: _plain(_rows(*data, size), settings, dim=dim, fused=True)),
        Way(
            name=LOOP,
            side="obvious",
            run=lambda k: _plain(DataLoader(TensorDataset(*data), size, shuffle=True), settings, dim=dim),
        ),
        Way(name="its matrix products alone", side="limit", run=products),
    ]
    table = measure("An epoch", ways, rounds=options.rounds(4))
    return Findings(
        title=TITLE,
        about=f"{n:,} rows of {dim}, {CLASSES} classes, batches of {size}",
        tables=(table,),
        targets=(gain(table, what="linear probe, an epoch", against=LOOP, ours=OURS, other=LOOP, at_least=1.3),),
    )


def _plain(parts: Iterable[tuple[Tensor, Tensor]], settings: Linear, *, dim: int, fused: bool | None = None) -> None:
    """BatchNorm and Linear as torch has them, trained on batches of rows and labels."""
    probe = nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, CLASSES))
    optimiser = torch.optim.Adam(probe.parameters(), lr=settings.lr, fused=fused)
    for x_BD, label_B in parts:
        optimiser.zero_grad()
        cross_entropy(probe(x_BD), label_B).backward()
        optimiser.step()


def _rows(train_ND: Tensor, label_N: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows and labels, in an order drawn anew."""
    for index_B in torch.randperm(len(label_N)).split(size):
        yield train_ND[index_B], label_N[index_B]
