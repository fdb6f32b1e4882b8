"""Fine-tuning: what the engine's loop calls.

Shapes: B micro-batch, K classes, F video feature, T frames, H, W, C=3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from cpd.config import Finetune, Train
from cpd.engine import optim
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.clips import ClipEpochs, usable
from cpd.engine.deterministic import deterministic
from cpd.engine.distributed import World
from cpd.engine.loop import fit
from cpd.engine.metrics import MetricsLog
from cpd.engine.progress import Progress
from cpd.engine.task import Plan, Score, StepResult, Task, Tools
from cpd.engine.trackers import open_trackers
from cpd.shards.loader import ClipBatch
from cpd.video.transforms import to_model


class Classifier(nn.Module):
    """A video tower and a fully connected layer over its pooled feature."""

    def __init__(self, video: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.video = video
        self.fc = nn.Linear(features, classes)

    def forward(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Clips (B, 3, T, H, W) to logits (B, K)."""
        logits_BK: torch.Tensor = self.fc(self.video(x_BCTHW))
        return logits_BK


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """Everything that one fine-tuning trains with.

    Attributes:
        settings: epochs, learning rate, milestones or patience.
        model: on the device.
        clips: training clips by epoch.
        targets_N: class of each instance of the table, int64.
        precision: of the forward pass.
        world: which rank this is.
        options: of the experiment, which decide on trackers and determinism here, too.
        validate: top-1 of the held-out videos, for `settings.patience`.
    """

    settings: Finetune
    model: Classifier
    clips: ClipEpochs
    targets_N: torch.Tensor
    precision: optim.Precision
    world: World
    options: Train
    validate: Callable[[], Score] | None = None

    def train(self, folder: Path, checkpoints: Checkpoints, *, stop: Callable[[], str]) -> Progress:
        """Adam with weight decay, lr / 10 at the milestones, or when validation saturates; everything is trained."""
        settings = self.settings
        trackers = open_trackers(self.options.log, folder) if self.world.first else []
        self.model.requires_grad_(True)
        optimizer = optim.build("adam", {"all": self.model.parameters()}, weight_decay=settings.weight_decay)
        tools = Tools(
            optimizer=optimizer,
            precision=self.precision,
            world=self.world,
            checkpoints=checkpoints,
            log=MetricsLog(folder / "metrics.jsonl", writes=self.world.first, trackers=trackers),
            stop=stop,
        )
        task = Task(
            module=self.model,
            state={},
            epoch=self.clips,
            step=self.step,
            on_step=_nothing,
            on_stage=lambda stage: _train_mode(self.model),
            validate=self.validate,
            samples=len(self.clips.instances),
        )
        plan = Plan(
            stages=stages(settings),
            steps=self.clips.steps,
            batch=settings.batch,
            schedule=optim.Schedule(kind="step", milestones=settings.milestones),
            log_every=min(10, self.clips.steps),
        )
        with deterministic(self.options.deterministic):
            return fit(task, plan, tools)

    def step(self, batch: ClipBatch) -> StepResult:
        """Cross-entropy of a micro-batch, and how many it gets right."""
        count, failed = usable(batch)
        if not count:
            return StepResult(parts={}, count=0, keys=[], failed=failed)
        device = self.world.device
        target_B = self.targets_N[batch.index_B].to(device)
        with self.precision.autocast():
            logits_BK = self.model(to_model(batch.clip_BTHWC.to(device, non_blocking=True)))
        loss = functional.cross_entropy(logits_BK.float(), target_B)
        top1 = (logits_BK.argmax(1) == target_B).float().mean()
        return StepResult(parts={"loss": loss, "top1": top1}, count=count, keys=batch.keys, failed=failed)


def stages(settings: Finetune) -> tuple[optim.Stage, ...]:
    """One stage with its milestones; with patience one for each learning rate, lr, lr / 10 and lr / 100."""
    return tuple(
        optim.Stage(epochs=settings.epochs, lrs={"all": lr}, patience=settings.patience) for lr in settings.rates
    )


def _train_mode(model: nn.Module) -> None:
    model.train()


def _nothing(results: Sequence[StepResult]) -> None:
    """There are no banks."""
