"""One process or many (torchrun): gloo on CPUs, NCCL on GPUs.

Gradients are summed by one all-reduce per optimiser step instead of DDP's hooks: a rank whose clips all failed to
decode, micro-batches of different sizes and parameters that a later stage unfreezes need no special case, and nothing
is wrapped, so a head can never be replaced behind a wrapper's back (PAPER section 4, b and g).

Shapes: B rows of this rank, G rows of all ranks.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIMEOUT_SECONDS = 300.0
BUCKET_ELEMENTS = 8 * 2**20  # 32 MiB of fp32 a message: large enough for bandwidth, small beside the model


@dataclass(frozen=True)
class World:
    """Which of how many processes this is, and the device it computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this rank writes files and shows progress."""
        return self.rank == 0


@contextmanager
def joined(*, timeout_seconds: float = TIMEOUT_SECONDS) -> Iterator[World]:
    """Join the processes that torchrun started, or be alone.

    A rank that dies or hangs ends the others after `timeout_seconds` in their next collective.

    Raises:
        CpdError: there are more local ranks than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = _device(int(os.environ.get("LOCAL_RANK", "0")))
    _use_own_cores(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if size == 1:
        yield World(device=device)
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    bound = device if device.type == "cuda" else None
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_seconds), device_id=bound)
    try:
        yield World(rank=dist.get_rank(), size=size, device=device)
    finally:
        dist.destroy_process_group()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise CpdError(
            f"rank {local_rank} of this node has no GPU: only {torch.cuda.device_count()} visible",
            hint="lower --nproc-per-node, or ask the cluster for more GPUs",
        )
    device = torch.device("cuda", local_rank)
    torch.cuda.set_device(device)
    return device


def _use_own_cores(local_ranks: int) -> None:
    """As many threads as cores we may use; an explicit OMP_NUM_THREADS is left alone."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local_ranks))


def share(items: Sequence[Any], world: World) -> list[Any]:
    """This rank's contiguous part of `items`; the parts differ by one in length at most."""
    low = len(items) * world.rank // world.size
    return list(items[low : len(items) * (world.rank + 1) // world.size])


def gather_objects(value: Any, world: World) -> list[Any]:
    """`value` of every rank, in rank order."""
    if world.size == 1:
        return [value]
    values: list[Any] = [None] * world.size
    dist.all_gather_object(values, value)
    return values


def gather_rows(x_B: torch.Tensor, world: World) -> torch.Tensor:
    """Rows of all ranks in rank order, without gradient; ranks may hold different numbers of rows, or none.

    Args:
        x_B: (B, ...) on `world.device`; all ranks agree on everything but B.

    Returns:
        (G, ...) with G the sum of all B, equal on every rank.
    """
    x_B = x_B.detach()
    if world.size == 1:
        return x_B
    counts = torch.zeros(world.size, dtype=torch.int64, device=world.device)
    counts[world.rank] = len(x_B)
    dist.all_reduce(counts)
    longest = int(counts.max())
    padded = x_B.new_zeros((longest, *x_B.shape[1:]))
    padded[: len(x_B)] = x_B
    parts = [torch.empty_like(padded) for _ in range(world.size)]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts.tolist(), strict=True)])


def gather_rows_to_cpu(x_BD: torch.Tensor, world: World, *, block: int = 1 << 16) -> torch.Tensor:
    """As `gather_rows`, of rows in main memory that together are too many for the device: block by block.

    Args:
        x_BD: (B, D) on the CPU; B may differ between ranks.
        block: rows of each rank on the device at a time.

    Returns:
        (G, D) on the CPU, equal on every rank.
    """
    if world.size == 1:
        return x_BD.detach()
    counts = gather_objects(len(x_BD), world)
    starts = [sum(counts[:rank]) for rank in range(world.size)]
    all_GD = x_BD.new_empty((sum(counts), *x_BD.shape[1:]))
    for begin in range(0, max(counts), block):
        found = gather_rows(x_BD[begin : begin + block].to(world.device), world).cpu()
        sizes = [min(max(count - begin, 0), block) for count in counts]
        for start, rows in zip(starts, torch.split(found, sizes), strict=True):
            all_GD[start + begin : start + begin + len(rows)] = rows
    return all_GD


def sum_values(values: Sequence[float], world: World) -> list[float]:
    """Sum a few numbers over the ranks, in double precision."""
    if world.size == 1:
        return list(values)
    total = torch.tensor(values, dtype=torch.float64, device=world.device)
    dist.all_reduce(total)
    return [float(value) for value in total.tolist()]


def sum_tensor(x: torch.Tensor, world: World) -> torch.Tensor:
    """The sum over ranks of a tensor of one shape, without gradient."""
    total = x.detach().clone(memory_format=torch.contiguous_format)
    if world.size > 1:
        dist.all_reduce(total)
    return total


def sum_gradients(parameters: Sequence[torch.nn.Parameter], world: World) -> None:
    """Sum `.grad` over the ranks, in place; a rank without a gradient that another has counts as zero."""
    if world.size == 1:
        return
    for bucket in _buckets(_used_anywhere(parameters, world)):
        flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
        dist.all_reduce(flat)
        pieces = torch.split(flat, [parameter.numel() for parameter in bucket])
        for parameter, piece in zip(bucket, pieces, strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(piece.view_as(parameter))


def _used_anywhere(parameters: Sequence[torch.nn.Parameter], world: World) -> list[torch.nn.Parameter]:
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=world.device)
    dist.all_reduce(used)
    return [parameter for parameter, n in zip(parameters, used.tolist(), strict=True) if n]


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buckets(parameters: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    bucket: list[torch.nn.Parameter] = []
    for parameter in parameters:
        bucket.append(parameter)
        if sum(p.numel() for p in bucket) >= BUCKET_ELEMENTS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


def broadcast_module(module: torch.nn.Module, world: World, *, buffers_only: bool = False) -> None:
    """Make parameters and buffers those of rank 0 (batch-norm statistics are each rank's own while training)."""
    if world.size == 1:
        return
    tensors = [*module.buffers()] if buffers_only else [*module.parameters(), *module.buffers()]
    for tensor in tensors:
        plain = tensor.detach().contiguous()  # channels-last weights are no plain memory, which gloo asks for
        dist.broadcast(plain, src=0)
        tensor.detach().copy_(plain)


def barrier(world: World) -> None:
    """Wait for all ranks, at most the timeout that `joined` set."""
    if world.size > 1:
        dist.barrier()
