"""Where a run stands: what a checkpoint needs besides weights, in plain types."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Progress:
    """Position and tallies of a run; equal on every rank.

    Attributes:
        stage: index of the stage; `stage_epoch` its epochs done.
        epoch: epochs done since the start; `batch` optimiser steps done in this epoch.
        step: optimiser steps since the start.
        clips: samples seen; `seconds` of wall time spent, both over all runs that resumed one another.
        loss_sum: sum over this epoch's samples; `loss_count` their number.
        best: best validation score of this stage, reached after `best_epoch` epochs of it.
        skipped: steps that fp16's scaler refused, and how many of these in a row just now.
        failed: reason by key of every sample that could not be read.
        history: one row an epoch.
    """

    stage: int = 0
    stage_epoch: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    clips: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float | None = None
    best_epoch: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Plain types for a checkpoint."""
        return asdict(self)

    def score(self, value: float, *, patience: int | None) -> bool:
        """Note a validation score after `stage_epoch` epochs; returns whether patience has run out."""
        if self.best is None or value > self.best:
            self.best, self.best_epoch = value, self.stage_epoch
        return patience is not None and self.stage_epoch - self.best_epoch >= patience

    def next_epoch(self) -> None:
        """One epoch of this stage is done."""
        self.epoch += 1
        self.stage_epoch += 1
        self.batch = 0
        self.loss_sum, self.loss_count = 0.0, 0

    def next_stage(self) -> None:
        """This stage is done; the next judges its validations afresh."""
        self.stage += 1
        self.stage_epoch = 0
        self.best, self.best_epoch = None, 0
