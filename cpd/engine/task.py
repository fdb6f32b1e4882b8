"""What the loop is given: a task, a plan and tools; and what a step gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch

from cpd.engine.checkpoint import Checkpoints
from cpd.engine.distributed import World
from cpd.engine.metrics import MetricsLog
from cpd.engine.optim import Precision, Schedule, Stage

M = TypeVar("M")


class Stateful(Protocol):
    """What a checkpoint keeps: modules, optimisers, objectives."""

    def state_dict(self) -> Any:
        """Plain types and tensors."""

    def load_state_dict(self, state: Any) -> Any:
        """Restore them."""


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a micro-batch gave.

    Attributes:
        parts: scalar tensors by name, means over `count` samples; "loss" is minimised. Empty when `count` is 0, or, of
            objectives whose ranks also go backward together, a finite "loss" that counts nothing.
        count: samples.
        keys: their keys.
        rows: detached tensors for `on_step`.
        failed: (key, reason) of samples that could not be used.
    """

    parts: dict[str, torch.Tensor]
    count: int
    keys: list[str]
    rows: tuple[torch.Tensor, ...] = ()
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A validation: `value` is better when larger, `values` are what is logged."""

    value: float
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Task(Generic[M]):
    """What is trained.

    Attributes:
        module: whose buffers are made equal before they are validated or saved.
        state: objects that a checkpoint keeps, besides the optimiser and the loop's own state.
        epoch: (epoch, first step) -> this rank's micro-batches of each optimiser step from `first step` on.
        step: forward pass of a micro-batch.
        on_step: after the optimiser step, with the step's results (bank updates).
        on_stage: on entering a stage, and on resuming in it: freeze, unfreeze, set modes.
        validate: called by all ranks after an epoch; None: there is no validation.
        samples: size of the training set, for the share of failures that is tolerated.
        rank_state: objects of which each rank keeps its own state (a part of the banks); the same names on all ranks.
    """

    module: torch.nn.Module
    state: Mapping[str, Stateful]
    epoch: Callable[[int, int], Iterator[Iterator[M]]]
    step: Callable[[M], StepResult]
    on_step: Callable[[Sequence[StepResult]], None]
    on_stage: Callable[[int], None]
    validate: Callable[[], Score] | None
    samples: int
    rank_state: Mapping[str, Stateful] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How it is trained. `batch` is the nominal global batch; an epoch has `steps` optimiser steps."""

    stages: tuple[Stage, ...]
    steps: int
    batch: int
    schedule: Schedule = field(default_factory=Schedule)
    clip_grad: float | None = None
    checkpoint_seconds: float = 600.0
    validate_every: int = 1
    log_every: int = 10


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the loop works with besides the task."""

    optimizer: torch.optim.Optimizer
    precision: Precision
    world: World
    checkpoints: Checkpoints
    log: MetricsLog
    stop: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Agreed:
    """Sums over ranks of one step."""

    loss_sum: float
    count: int
    failed: int
    finite: bool
    stop: bool
    save: bool
