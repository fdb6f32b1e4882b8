"""What a run is built from: the model, the shards, the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cpd.config import Config, Experiment
from cpd.engine import distributed
from cpd.engine.distributed import World
from cpd.errors import CpdError
from cpd.models.two_tower import TwoTower
from cpd.objectives.ranks import Ranks
from cpd.shards.read import SampleTable


def ranks_of(world: World) -> Ranks:
    """The ranks as the objectives see them."""
    return Ranks(
        rank=world.rank,
        size=world.size,
        gather=lambda x_B: distributed.gather_rows(x_B, world),
        add=lambda x: distributed.sum_tensor(x, world),
    )


def build_model(config: Config, exp: Experiment, *, seed: int, world: World) -> TwoTower:
    """The model as `seed` initialises it, equal on every rank; later random numbers differ by rank."""
    torch.manual_seed(seed)
    model = TwoTower(exp, config.encoders[exp.encoder]).to(world.device)
    torch.manual_seed((seed << 16) + world.rank)
    synced = sync_batch_norm(model, exp, world)
    assert isinstance(synced, TwoTower)
    return synced


def sync_batch_norm(module: nn.Module, exp: Experiment, world: World) -> nn.Module:
    """The module with SyncBatchNorm where the experiment wants it and there are ranks to speak with.

    Raises:
        CpdError: there are ranks, and no GPUs: torch has no SyncBatchNorm for CPUs.
    """
    if not exp.train.sync_bn or world.size == 1:
        return module
    if world.device.type != "cuda":
        raise CpdError("train.sync_bn needs GPUs", hint="set train.sync_bn to false")
    synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return synced


def open_table(results: Path, parts: Sequence[tuple[str, str]]) -> SampleTable:
    """Open the shards of some splits.

    Raises:
        CpdError: an index is missing, or there is nothing in them.
    """
    table = SampleTable.open(results, parts)
    if not len(table):
        names = ", ".join(f"{source} {split}" for source, split in parts)
        raise CpdError(f"no usable pair in {names}", hint="`cpd status` tells what became of every id")
    return table
