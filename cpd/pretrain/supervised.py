"""Supervised training of the same network on the labels of the sources (Table 4, "3D R50 supervised").

The run folder is like any other: the video tower is trained, the heads and the language model are as initialised, so
that the protocols on res5 and fine-tuning take it as they take the paper's.

Shapes: B micro-batch, K classes, F video feature, N videos, T frames, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from cpd.config import Config, Experiment
from cpd.engine.distributed import World
from cpd.engine.ema import Ema
from cpd.engine.task import Score, StepResult
from cpd.errors import ConfigError, CpdError
from cpd.objectives.supervised import Labels
from cpd.pretrain.run import Pretraining, common_parts
from cpd.pretrain.titles import of_every_sample
from cpd.shards.read import SampleTable


@dataclass(frozen=True, kw_only=True)
class Supervised(Pretraining):
    """A supervised run; its `titles` are the labels.

    Attributes:
        trained: the video tower and its classifier, in one module.
        classes: names, sorted.
    """

    trained: nn.ModuleDict
    classes: list[str]

    def embed(self, x_BCTHW: torch.Tensor, index_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, K), twice: the objective looks at the first alone."""
        logits_BK = self.logits(x_BCTHW)
        return logits_BK, logits_BK.detach()

    def logits(self, x_BCTHW: torch.Tensor) -> torch.Tensor:
        """Clips to logits (B, K)."""
        logits_BK: torch.Tensor = self.trained["fc"](self.model.video(x_BCTHW))
        return logits_BK

    def update(self, results: Sequence[StepResult]) -> None:
        """There are no banks."""
        if self.ema is not None:
            self.ema.update()

    def enter_stage(self, stage: int) -> None:
        """Train the video tower; the rest has no part in the loss."""
        self.model.train()
        self.model.train_language_model(False)

    def module(self) -> nn.Module:
        """The model and its classifier."""
        return self.trained

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The video tower and the classifier."""
        return {"rest": [*self.model.video.parameters(), *self.trained["fc"].parameters()], "text": []}

    @torch.no_grad()
    def score(self) -> Score:
        """Top-1 accuracy, in percent, on the held-out videos: one centre clip each."""
        self.trained.eval()
        index_N, logits_NK, failed = self.held_out.rows(self.logits, dim=len(self.classes))
        self.enter_stage(0)
        self.trained["fc"].train()
        wanted = [self.held_out.titles.titles[i] for i in index_N.tolist()]
        right = sum(self.classes[k] == name for k, name in zip(logits_NK.argmax(1).tolist(), wanted, strict=True))
        top1 = 100 * right / max(1, len(wanted))
        return Score(value=top1, values={"top1": top1, "n": float(len(wanted)), "failed": float(failed)})


def prepare(config: Config, exp: Experiment, *, seed: int, world: World) -> Supervised:
    """Open the shards and build what is trained.

    Raises:
        ConfigError: a stage trains the language model, or titles are shuffled.
        CpdError: shards or encoder are missing, or a video has no label, or one that training lacks.
    """
    if exp.shuffle_titles or any(stage.lr_text is not None for stage in exp.stages):
        raise ConfigError("objective supervised has no text: leave out stages.lr_text and shuffle_titles")
    parts = common_parts(config, exp, seed=seed, world=world, title_of=labels_of)
    classes = sorted(set(parts["titles"].titles))
    unseen = sorted(set(parts["held_out"].titles.titles) - set(classes))
    if unseen:
        raise CpdError(f"{exp.validation.source}: labels without a training video: {', '.join(unseen[:5])}")
    fc = classifier(parts["model"].video.feature_dim, len(classes), seed=seed)
    trained = nn.ModuleDict({"model": parts["model"], "fc": fc.to(world.device)})
    place = {name: k for k, name in enumerate(classes)}
    target_N = torch.tensor([place[name] for name in parts["titles"].titles], device=world.device)
    ema = None if exp.train.ema is None else Ema(trained, decay=exp.train.ema)
    return Supervised(**parts, objective=Labels(target_N), ema=ema, trained=trained, classes=classes)


def classifier(features: int, classes: int, *, seed: int) -> nn.Linear:
    """F to K, as `seed` initialises it on every rank; the global generator goes on undisturbed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(features, classes)


def labels_of(table: SampleTable) -> list[str]:
    """The class name of each instance.

    Raises:
        CpdError: some have none.
    """
    labels = [meta.get("label") or "" for meta in table.meta]
    hint = "objective supervised needs sources with labels (a `labels` column, or an official list)"
    return of_every_sample(table, labels, what="label", hint=hint)
