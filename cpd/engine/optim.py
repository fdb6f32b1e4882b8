"""Optimisers, learning-rate schedules and precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from cpd.engine.lars import Lars

PrecisionName = Literal["fp32", "bf16", "fp16"]


def build(
    name: Literal["sgd", "lars", "adam"],
    groups: Mapping[str, Iterable[torch.nn.Parameter]],
    *,
    weight_decay: float,
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """SGD with momentum, LARS or Adam (L2 form of weight decay, as both papers' code) over named groups.

    Learning rates are set by the loop from the stage; they start at 0 so that forgetting to cannot train. A
    parameter without gradient (a frozen language model) is left alone, weight decay and momentum included.

    Args:
        name: which optimiser.
        groups: parameters by group name; each has a learning rate of its own.
        weight_decay: of every parameter; LARS spares those of one dimension.
        momentum: of SGD and LARS.
    """
    rows: list[dict[str, Any]] = [{"name": key, "params": list(params)} for key, params in groups.items()]
    if name == "sgd":
        return torch.optim.SGD(rows, lr=0.0, momentum=momentum, weight_decay=weight_decay)
    if name == "lars":
        return Lars(rows, lr=0.0, momentum=momentum, weight_decay=weight_decay)
    return torch.optim.Adam(rows, lr=0.0, weight_decay=weight_decay)


def parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    """Every trainable parameter, in a fixed order."""
    return [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage as the loop sees it.

    Attributes:
        epochs: at most this many.
        lrs: learning rate by group of the optimiser; 0.0 for frozen ones.
        patience: end after this many epochs without a better validation score; None: never.
        warmup_epochs: over which the learning rates rise from 0.
    """

    epochs: int
    lrs: Mapping[str, float]
    warmup_epochs: int = 0
    patience: int | None = None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Factor on a stage's learning rates. Steps are optimiser steps counted from the start of the stage.

    Attributes:
        kind: constant; cosine (half a period down to 0); or step (/ 10 at each epoch of `milestones`).
        milestones: epochs of kind `step`.
    """

    kind: Literal["constant", "cosine", "step"] = "constant"
    milestones: tuple[int, ...] = ()

    def factor(self, step: int, stage: Stage, *, steps_per_epoch: int) -> float:
        """The factor of optimiser step `step` of a stage."""
        warm = stage.warmup_epochs * steps_per_epoch
        if step < warm:
            return (step + 1) / warm
        if self.kind == "cosine":
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, stage.epochs * steps_per_epoch - warm)))
        passed = sum(step >= milestone * steps_per_epoch for milestone in self.milestones)
        return float(0.1**passed) if self.kind == "step" else 1.0


class Precision:
    """Mixed precision: `autocast()` for the forward pass, and fp16's loss scaler."""

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        self._open: Callable[[], AbstractContextManager[Any]] = lambda: torch.autocast(
            device.type, dtype=dtypes[name], enabled=name != "fp32"
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> AbstractContextManager[Any]:
        """Context of the forward pass; losses are computed outside it, in fp32."""
        return self._open()
