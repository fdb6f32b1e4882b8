"""Collectives of two ranks, checked from within."""

from __future__ import annotations

from pathlib import Path

import torch

from cpd.engine import distributed


def check_collectives(folder: Path) -> None:
    with distributed.joined(timeout_seconds=30) as world:
        rank = world.rank
        mine = torch.full((rank * 3, 2), float(rank))  # rank 0 has no rows at all
        assert distributed.gather_rows(mine, world).tolist() == [[1.0, 1.0]] * 3
        index = torch.arange(2 - rank) + 10 * rank
        assert distributed.gather_rows(index, world).tolist() == [0, 1, 10]
        assert distributed.gather_rows_to_cpu(mine, world).tolist() == [[1.0, 1.0]] * 3
        uneven = torch.arange(7.0 - 2 * rank)[:, None] + 10 * rank
        wanted = [*range(7), *range(10, 15)]
        for block in (1, 2, 3, 5, 7, 100):
            assert distributed.gather_rows_to_cpu(uneven, world, block=block).flatten().tolist() == wanted
        assert distributed.gather_objects({"rank": rank}, world) == [{"rank": 0}, {"rank": 1}]
        assert distributed.sum_values([1.0, rank], world) == [2.0, 1.0]
        sums(rank, world)
        torch.manual_seed(rank)
        module = torch.nn.BatchNorm1d(3)
        module.running_mean += rank + 1
        distributed.broadcast_module(module, world, buffers_only=True)
        assert module.running_mean.tolist() == [1.0] * 3
        distributed.barrier(world)


def sums(rank: int, world: distributed.World) -> None:
    a, b, c = (torch.nn.Parameter(torch.zeros(n)) for n in (2, 3, 4))
    a.grad = torch.full((2,), 1.0 + rank)
    if rank == 1:
        b.grad = torch.ones(3)
    distributed.sum_gradients([a, b, c], world)
    assert a.grad.tolist() == [3.0, 3.0]
    assert b.grad is not None
    assert b.grad.tolist() == [1.0] * 3
    assert c.grad is None  # nobody's: it must not decay
