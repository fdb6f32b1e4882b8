"""One pretraining run: what the engine's loop calls.

Shapes: B micro-batch, G rows of all micro-batches and ranks, T frames, H, W, C=3, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cpd.config import Config, Experiment, FeatureViews
from cpd.engine import distributed, optim
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.clips import ClipEpochs, usable
from cpd.engine.deterministic import deterministic
from cpd.engine.distributed import World
from cpd.engine.ema import Ema
from cpd.engine.loop import fit
from cpd.engine.metrics import MetricsLog
from cpd.engine.progress import Progress
from cpd.engine.task import Plan, Score, StepResult, Task, Tools
from cpd.engine.trackers import open_trackers
from cpd.models.two_tower import TwoTower
from cpd.objectives import pair
from cpd.objectives.pair import PairObjective
from cpd.objectives.rho.projection import synced
from cpd.pretrain.build import build_model, open_table, ranks_of
from cpd.pretrain.titles import Titles, equal_groups, shuffled, titles_of
from cpd.pretrain.validation import HeldOut
from cpd.shards.loader import ClipBatch, worker_count
from cpd.shards.read import SampleTable
from cpd.video.transforms import to_model

SPLIT = "train"


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Everything that one run trains with.

    Attributes:
        exp: the experiment.
        world: which rank this is.
        model: both towers and heads, on the device.
        objective: loss and banks.
        clips: training clips by epoch.
        titles: text features of their instances.
        held_out: the validation.
        precision: of the forward pass.
        ema: average of the weights, which is what is validated and kept; None: the weights themselves.
    """

    exp: Experiment
    world: World
    model: TwoTower
    objective: PairObjective
    clips: ClipEpochs
    titles: Titles
    held_out: HeldOut
    precision: optim.Precision
    ema: Ema | None = None

    def train(self, folder: Path, checkpoints: Checkpoints, *, stop: Callable[[], str]) -> Progress:
        """Train through all stages; the model then has the weights that are kept."""
        train = self.exp.train
        trackers = open_trackers(train.log, folder) if self.world.first else []
        tools = Tools(
            optimizer=optim.build(
                train.optimizer, self.groups(), weight_decay=train.weight_decay, momentum=train.momentum
            ),
            precision=self.precision,
            world=self.world,
            checkpoints=checkpoints,
            log=MetricsLog(folder / "metrics.jsonl", writes=self.world.first, trackers=trackers),
            stop=stop,
        )
        task = Task(
            module=self.module(),
            state={"objective": self.objective, **({"ema": self.ema} if self.ema else {})},
            epoch=self.clips,
            step=self.step,
            on_step=self.update,
            on_stage=self.enter_stage,
            validate=self.validate,
            samples=len(self.clips.instances),
            rank_state=self.objective.rank_state(),
        )
        with deterministic(train.deterministic):
            progress = fit(task, self.plan(), tools)
        if self.ema is not None:
            self.ema.copy_in()
        return progress

    @property
    def compares_ranks(self) -> bool:
        """Whether a batch's pairs are compared with those of other ranks, which then wait for this rank's rows."""
        return self.exp.objective.name in pair.IN_BATCH and self.world.size > 1

    @property
    def syncs(self) -> bool:
        """Whether batch norms wait for every rank, forward and backward."""
        return synced(self.model.video)

    @property
    def shares_banks(self) -> bool:
        """Whether ranks compute the loss together, each with its part of the banks."""
        return self.exp.objective.shard_banks and self.world.size > 1

    def validate(self) -> Score:
        """The score of the held-out videos, with the averaged weights if there are such."""
        with self.ema.swapped() if self.ema is not None else nullcontext():
            return self.score()

    def score(self) -> Score:
        """Held-out retrieval."""
        return self.held_out()

    def plan(self) -> Plan:
        """The curriculum as the loop sees it."""
        train, steps = self.exp.train, self.clips.steps
        return Plan(
            stages=tuple(
                optim.Stage(
                    epochs=s.epochs,
                    patience=s.patience,
                    lrs={"rest": s.lr, "text": s.lr_text or 0.0},
                    warmup_epochs=train.warmup_epochs if s.warmup_epochs is None else s.warmup_epochs,
                )
                for s in self.exp.stages
            ),
            steps=steps,
            batch=train.batch,
            schedule=optim.Schedule(kind=train.schedule, milestones=train.milestones),
            clip_grad=train.clip_grad,
            checkpoint_seconds=60 * train.checkpoint_minutes,
            validate_every=train.validate_every,
            log_every=min(10, steps),
        )

    def step(self, batch: ClipBatch) -> StepResult:
        """Loss of a micro-batch; its features go to the banks after the optimiser step."""
        count, failed = usable(batch)
        if self.nobody(count):
            return StepResult(parts={}, count=0, keys=[], failed=failed)
        if not count:
            return StepResult(parts=self.go_along(), count=0, keys=[], failed=failed)
        device = self.world.device
        index_B = batch.index_B.to(device)
        x_BCTHW = to_model(batch.clip_BTHWC.to(device, non_blocking=True))
        with self.precision.autocast():
            v_BD, t_BD = self.embed(x_BCTHW, batch.index_B)
        v_BD, t_BD = v_BD.float(), t_BD.float()
        parts = self.objective(v_BD, t_BD, index_B)
        rows = (v_BD.detach(), t_BD.detach(), index_B)
        return StepResult(parts=parts, count=count, keys=batch.keys, rows=rows, failed=failed)

    def nobody(self, count: int) -> bool:
        """Whether no rank has a sample of a micro-batch: a loss, and batch statistics, of nothing are not numbers."""
        if not self.clips.lockstep:
            return not count
        return not distributed.sum_values([count], self.world)[0]

    def go_along(self) -> dict[str, torch.Tensor]:
        """Without samples: a part in what ranks compute together, forward and backward, and none in the loss."""
        v_BD, t_BD, index_B = self._no_rows()
        if self.syncs:
            views = self.exp.views
            clip_BTHWC = torch.empty(0, views.frames, views.size, views.size, 3, dtype=torch.uint8)
            with self.precision.autocast():
                v_BD, t_BD = self.embed(to_model(clip_BTHWC.to(self.world.device)), index_B)
            v_BD, t_BD = v_BD.float(), t_BD.float()
        parts = self.objective(v_BD, t_BD, index_B) if self.shares_banks or self.compares_ranks else {}
        if self.compares_ranks:
            return parts
        return {"loss": v_BD.sum() + t_BD.sum()} if self.syncs else {}

    def embed(self, x_BCTHW: torch.Tensor, index_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the objective compares: unit rows (B, D) of the clips and of their titles."""
        v_BD, t_BD = self.model(x_BCTHW, self.titles(index_B))
        return v_BD, t_BD

    def update(self, results: Sequence[StepResult]) -> None:
        """Move the banks by the features of every rank, in rank order, so that all ranks hold the same banks."""
        rows = [result.rows for result in results if result.count] or [self._no_rows()]
        v_GD, t_GD, index_G = (
            distributed.gather_rows(torch.cat([row[i] for row in rows]), self.world) for i in range(3)
        )
        self.objective.update(v_GD, t_GD, index_G)
        if self.ema is not None:
            self.ema.update()

    def enter_stage(self, stage: int) -> None:
        """Freeze the language model and compute its features, or release it.

        Frozen after it was trained, it stays as its average is: the features are then those of the weights kept.
        """
        trains = self.exp.stages[stage].lr_text is not None
        if self.ema is not None and not trains:
            self.ema.copy_in(prefix="text.")
        self.model.train()
        self.model.train_language_model(trains)
        for titles in (self.titles, self.held_out.titles):
            if trains:
                titles.release()
            else:
                titles.freeze()

    def module(self) -> nn.Module:
        """What is made equal on all ranks, and kept by checkpoints."""
        return self.model

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the name of their learning rate."""
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("text.")]
        return {"rest": rest, "text": list(self.model.text.parameters())}

    def _no_rows(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        empty = torch.zeros(0, self.exp.heads.dim, device=self.world.device, requires_grad=self.compares_ranks)
        return empty, empty, torch.zeros(0, dtype=torch.int64, device=self.world.device)


def prepare(config: Config, exp: Experiment, *, seed: int, world: World) -> Pretraining:
    """Open the shards and build what is trained.

    Raises:
        CpdError: shards or encoder are missing, or there is no usable pair.
    """
    parts = common_parts(config, exp, seed=seed, world=world, title_of=lambda table: titles_of(table, exp.title))
    ema = None if exp.train.ema is None else Ema(parts["model"], decay=exp.train.ema)
    return Pretraining(**parts, objective=pair_objective(exp, parts["titles"], seed=seed, world=world), ema=ema)


def pair_objective(exp: Experiment, titles: Titles, *, seed: int, world: World) -> PairObjective:
    """The loss that compares videos and titles, and its banks."""
    return pair.build(
        exp.objective,
        n=len(titles),
        dim=exp.heads.dim,
        seed=seed,
        device=world.device,
        group_N=equal_groups(titles.titles),
        ranks=ranks_of(world) if world.size > 1 else None,
    )


def _together(exp: Experiment) -> bool:
    """Whether a rank's micro-batch waits for those of the others."""
    objective = exp.objective
    compared = objective.shard_banks or objective.rho is not None or objective.name in pair.IN_BATCH
    return compared or exp.train.sync_bn


def common_parts(
    config: Config, exp: Experiment, *, seed: int, world: World, title_of: Callable[[SampleTable], list[str]]
) -> dict[str, Any]:
    """What a `Pretraining` holds besides its objective: exp, world, model, clips, titles, held_out, precision.

    Raises:
        CpdError: shards or encoder are missing, or there is no usable pair.
    """
    results = Path(config.results)
    table = open_table(results, [(source, SPLIT) for source in exp.sources])
    model = build_model(config, exp, seed=seed, world=world)
    if exp.train.compile:
        model.video.compile()  # in place: names of weights stay as they are
    titles = title_of(table)
    titles = shuffled(titles, seed=seed) if exp.shuffle_titles else titles
    precision = optim.Precision(exp.train.precision, world.device)
    workers = worker_count(exp.train.workers, shards=table.n_shards, world=world.size)
    clips = ClipEpochs(
        table=table,
        instances=range(len(table)),
        views=exp.views,
        batch=exp.train.batch,
        per_rank=exp.train.per_rank,
        seed=seed,
        workers=workers,
        world=world,
        lockstep=_together(exp) and world.size > 1,
        rho=None if exp.objective.rho is None else exp.objective.rho.clips,
    )
    val = open_table(results, [(exp.validation.source, exp.validation.split)])
    views = exp.views
    held_out = HeldOut(
        table=val,
        titles=Titles(title_of(val)[: exp.validation.n], model, world),
        views=FeatureViews(clips=1, crops=1, frames=views.frames, stride=views.stride, size=views.size),
        model=model,
        precision=precision,
        workers=workers,
        world=world,
    )
    return {
        "exp": exp,
        "world": world,
        "model": model,
        "clips": clips,
        "titles": Titles(titles, model, world),
        "held_out": held_out,
        "precision": precision,
    }
