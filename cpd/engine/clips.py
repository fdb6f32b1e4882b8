"""A rank's training clips, epoch by epoch: what `Task.epoch` is for shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cpd.config import Views
from cpd.engine.batches import grouped, rank_steps
from cpd.engine.distributed import World
from cpd.errors import CpdError
from cpd.shards.loader import ClipBatch, clip_loader, epoch_batches
from cpd.shards.read import SampleTable

ALONE = "left alone in its micro-batch by samples that failed; batch norm needs two"


def usable(batch: ClipBatch) -> tuple[int, list[tuple[str, str]]]:
    """How many samples of a micro-batch can be trained on (0 or at least 2), and which cannot, with the reason."""
    if len(batch.keys) != 1:
        return len(batch.keys), batch.failed
    return 0, [*batch.failed, (batch.keys[0], ALONE)]


@dataclass(frozen=True, kw_only=True)
class ClipEpochs:
    """Epochs over `instances` of a table.

    Attributes:
        table: the samples.
        instances: those that train.
        views: how clips are sampled and augmented.
        batch: global batch; `per_rank` the largest micro-batch.
        seed: of order and augmentation.
        workers: decoding processes of this rank.
        world: which rank this is.
        lockstep: every rank gets as many micro-batches in a step as any, empty ones if need be (for objectives whose
            ranks compute together).
        rho: clips of each video that a persistency objective compares; None: one clip, without the axis V.
    """

    table: SampleTable
    instances: Sequence[int]
    views: Views
    batch: int
    per_rank: int
    seed: int
    workers: int
    world: World
    lockstep: bool = False
    rho: int | None = None

    def __post_init__(self) -> None:
        least = 2 * self.world.size
        for what, n in (("instances", len(self.instances)), ("the global batch", self.batch)):
            if n < least:
                raise CpdError(
                    f"{what}: {n}, but {self.world.size} ranks need {least} (batch norm needs two samples a rank)",
                    hint="use fewer GPUs, or more samples or a larger batch",
                )

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return len(self._order(0))

    def __call__(self, epoch: int, first: int) -> Iterator[Iterator[ClipBatch]]:
        """This rank's micro-batches of each step from `first` on; the order is a permutation by (seed, epoch)."""
        steps = rank_steps(self._order(epoch)[first:], self.world, size=self.per_rank, lockstep=self.lockstep)
        batches = [[self.instances[i] for i in micro] for micros in steps for micro in micros]
        clips = clip_loader(
            self.table,
            views=self.views,
            batches=batches,
            seed=self.seed,
            epoch=epoch,
            workers=self.workers,
            train=True,
            rho=self.rho,
        )
        return grouped(iter(clips), [len(micros) for micros in steps])

    def _order(self, epoch: int) -> list[list[int]]:
        n, ranks = len(self.instances), self.world.size
        return epoch_batches(n, batch=self.batch, seed=self.seed, epoch=epoch, world=ranks)
