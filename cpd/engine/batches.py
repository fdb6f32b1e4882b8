"""From global batches to each rank's micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import TypeVar

from cpd.engine.distributed import World, share

M = TypeVar("M")


def micro_batches(items: Sequence[int], size: int) -> list[list[int]]:
    """Cut a rank's share into pieces of nearly equal length, `size` at most.

    No piece has a single item unless the share has (batch norm needs two), so pieces of a tiny `size` may be larger.
    """
    if not items:
        return []
    pieces = max(1, min(-(-len(items) // size), len(items) // 2))
    edges = [len(items) * k // pieces for k in range(pieces + 1)]
    return [list(items[low:high]) for low, high in pairwise(edges)]


def rank_steps(
    batches: Sequence[Sequence[int]], world: World, *, size: int, lockstep: bool = False
) -> list[list[list[int]]]:
    """This rank's micro-batches of each global batch: step -> micro-batch -> instances.

    With `lockstep` every rank has as many as any other rank in each step; those that are too many are empty.
    """
    steps = [micro_batches(share(batch, world), size) for batch in batches]
    if lockstep:
        for batch, micros in zip(batches, steps, strict=True):
            ranks = (replace(world, rank=rank) for rank in range(world.size))
            most = max(len(micro_batches(share(batch, rank), size)) for rank in ranks)
            micros += [[] for _ in range(most - len(micros))]
    return steps


def grouped(items: Iterator[M], counts: Sequence[int]) -> Iterator[Iterator[M]]:
    """Hand out `counts[k]` items for step k, lazily; each group must be used up before the next is asked for."""
    for count in counts:
        yield islice(items, count)
