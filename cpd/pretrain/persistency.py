"""Training without text: clips of one video should look alike (objective `persistency`; docs/rho.md).

The run folder is like any other: the video tower is trained, the heads and the language model are as initialised, so
that the protocols on res5 and fine-tuning take it as they take the paper's. Projection heads, momentum encoder, queue
and prototypes stay behind with the checkpoints.

Shapes: B micro-batch, V clips of a video, F feature, T frames, H, W, C=3, D projection, N videos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from cpd.config import Config, Experiment, FeatureViews
from cpd.engine import distributed
from cpd.engine.clips import usable
from cpd.engine.distributed import World
from cpd.engine.ema import Ema
from cpd.engine.loop import undisturbed
from cpd.engine.task import Score, StepResult
from cpd.errors import ConfigError, CpdError
from cpd.evaluate import ranks
from cpd.objectives.rho.method import Loss, Method, Steps
from cpd.objectives.rho.moco import Moco
from cpd.objectives.rho.projection import synced
from cpd.pretrain.build import ranks_of, sync_batch_norm
from cpd.pretrain.methods import build_method
from cpd.pretrain.run import Pretraining, common_parts
from cpd.pretrain.validation import RECALLS
from cpd.shards.loader import ClipBatch
from cpd.shards.read import SampleTable
from cpd.video.transforms import to_model

FILLING = 2**31  # number of the first epoch whose clips fill the queue: no training epoch has it


@dataclass(frozen=True)
class Memory:
    """A method as checkpoints see it: what it keeps besides the weights, which go with the module."""

    method: Method

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors."""
        return self.method.memory()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.method.load_memory(state)

    def rank_state(self) -> dict[str, Any]:
        """Nothing is one rank's alone."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Persistency(Pretraining):
    """A run of one of the four methods; its `titles` are empty.

    Attributes:
        trained: the model and the method, in one module.
        method: the loss, and the networks and memories that it needs.
    """

    trained: nn.ModuleDict
    method: Method

    def step(self, batch: ClipBatch) -> StepResult:
        """Loss of a micro-batch. A rank without samples goes along, and counts nothing."""
        n, failed = usable(batch)
        if self.nobody(n):
            return StepResult(parts={}, count=0, keys=[], failed=failed)
        clip_BVTHWC = self.clips_of(batch) if n else self._no_clips()
        with self.precision.autocast():
            feature_VBF = self.features(clip_BVTHWC)
            found = self.method(feature_VBF, clip_BVTHWC)
            parts, rows = self.compare(found, feature_VBF, batch.index_B if n else batch.index_B[:0])
        return StepResult(parts=parts, count=n, keys=batch.keys if n else [], rows=rows, failed=failed)

    def clips_of(self, batch: ClipBatch) -> torch.Tensor:
        """uint8 clips (B, V, T, H, W, 3) on the device."""
        return batch.clip_BTHWC.to(self.world.device, non_blocking=True)

    def features(self, clip_BVTHWC: torch.Tensor) -> torch.Tensor:
        """The tower's features (V, B, F), live; each clip of the videos is a batch of its own (batch norm)."""
        B, V = clip_BVTHWC.shape[:2]
        video = self.model.video
        if not B and not synced(video):
            return torch.zeros(V, 0, video.feature_dim, device=self.world.device, requires_grad=True)
        return torch.stack([video(to_model(clip_BTHWC)) for clip_BTHWC in clip_BVTHWC.unbind(1)])

    def compare(
        self, found: Loss, feature_VBF: torch.Tensor, index_B: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
        """Parts of the loss, and the rows that `update` wants."""
        return found.parts, self.kept(found)

    def kept(self, found: Loss) -> tuple[torch.Tensor, ...]:
        """Keys of a micro-batch for `update`, of the method that has such."""
        return () if found.keys_BVD is None else (found.keys_BVD.detach(),)

    def update(self, results: Sequence[StepResult]) -> None:
        """The method's second network and memory follow; equal on all ranks."""
        self.method.update(self.gathered_keys(results))
        if self.ema is not None:
            self.ema.update()

    def gathered_keys(self, results: Sequence[StepResult]) -> torch.Tensor | None:
        """Keys (G, V, D) of all ranks and micro-batches of a step, in rank order; None if the method has none."""
        if not isinstance(self.method, Moco):
            return None
        rows = [result.rows[0] for result in results if result.rows]
        return distributed.gather_rows(torch.cat(rows), self.world)

    def enter_stage(self, stage: int) -> None:
        """Train the video tower and the method; fill the queue, if it is to be and is not."""
        self.trained.train()
        self.model.train_language_model(False)
        if isinstance(self.method, Moco) and not self.method.queue.full:
            self._fill(self.method)

    def module(self) -> nn.Module:
        """The model and the method."""
        return self.trained

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The video tower, heads and prototypes; not the momentum encoder."""
        own = [p for p in self.method.parameters() if p.requires_grad]
        return {"rest": [*self.model.video.parameters(), *own], "text": []}

    @torch.no_grad()
    def score(self) -> Score:
        """Held-out persistency: by the first clip of each held-out video (res5, cosine), find its last among all.

        Recalls and rank have names of their own: nobody shall take them for text-video retrieval.
        """
        self.trained.eval()
        index_N, both_NF, failed = self.held_out.rows(
            lambda x_VCTHW: self.model.video(x_VCTHW).reshape(1, -1), dim=2 * self.model.video.feature_dim
        )
        self.trained.train()
        self.model.train_language_model(False)
        first_NF, last_NF = ranks.unit_pairs(*both_NF.cpu().chunk(2, dim=1))
        found = ranks.scores(ranks.ranks(first_NF, last_NF))
        named = {f"clip_{name}": value for name, value in found.items()}
        values = {**named, "n": float(len(index_N)), "failed": float(failed)}
        return Score(value=sum(found[name] for name in RECALLS) / len(RECALLS), values=values)

    def _no_clips(self) -> torch.Tensor:
        """As `clips_of`, of no video."""
        views, rho = self.exp.views, self.exp.objective.rho
        assert rho is not None
        shape = (0, rho.views, views.frames, views.size, views.size, 3)
        return torch.empty(shape, dtype=torch.uint8, device=self.world.device)

    @torch.no_grad()
    def _fill(self, method: Moco) -> None:
        """Keys of clips that no training epoch shows fill the queue, before the first update."""
        size = len(method.queue.rows_QD)
        bar = tqdm(total=size, unit="key", desc="filling the queue", disable=None if self.world.first else True)
        with bar, undisturbed():
            for clip_BVTHWC in self._filling_clips():
                with self.precision.autocast():
                    key_VBD = method.keys(clip_BVTHWC)
                key_GVD = distributed.gather_rows(key_VBD.transpose(0, 1).contiguous(), self.world)
                method.fill(key_GVD)
                bar.update(min(key_GVD.shape[0] * key_GVD.shape[1], size - bar.n))
                if method.queue.full:
                    return

    def _filling_clips(self) -> Iterator[torch.Tensor]:
        """Clips of this rank's micro-batches, epoch after epoch; as many on every rank."""
        for epoch in count(FILLING):
            for micros in self.clips(epoch, 0):
                for batch in micros:
                    yield self.clips_of(batch) if usable(batch)[0] else self._no_clips()


def prepare(config: Config, exp: Experiment, *, seed: int, world: World) -> Persistency:
    """Open the shards and build what is trained.

    Raises:
        ConfigError: a stage trains the language model, or titles are shuffled.
        CpdError: shards or encoder are missing, there is no usable video, or the queue is longer than an epoch.
    """
    if exp.shuffle_titles or any(stage.lr_text is not None for stage in exp.stages):
        raise ConfigError("objective persistency has no text: leave out stages.lr_text and shuffle_titles")
    parts = common_parts(config, exp, seed=seed, world=world, title_of=without_titles)
    views = FeatureViews(clips=2, crops=1, frames=exp.views.frames, stride=exp.views.stride, size=exp.views.size)
    parts["held_out"] = replace(parts["held_out"], views=views)
    return Persistency(**parts, **method_parts(exp, parts, seed=seed, world=world))


def method_parts(exp: Experiment, parts: dict[str, Any], *, seed: int, world: World) -> dict[str, Any]:
    """What a run of a method holds besides `run.common_parts`: method, trained, objective, ema.

    Raises:
        CpdError: the queue is longer than an epoch.
    """
    rho, clips, model = exp.objective.rho, parts["clips"], parts["model"]
    assert rho is not None
    keys = rho.views * len(clips.instances)
    if rho.method == "moco" and rho.queue > keys:
        raise CpdError(
            f"objective.rho.queue is {rho.queue}, but an epoch has only {keys} keys",
            hint=f"set it to a small part of that, e.g. {max(1, keys // 4)}: videos would be negatives of themselves",
        )
    epochs = sum(stage.epochs for stage in exp.stages)
    method = build_method(
        rho,
        model.video,
        steps=Steps(total=epochs * clips.steps, epoch=clips.steps),
        seed=seed,
        device=world.device,
        ranks=ranks_of(world) if world.size > 1 else None,
        convert=lambda module: sync_batch_norm(module, exp, world),
    )
    trained = nn.ModuleDict({"model": model, "method": method})
    ema = None if exp.train.ema is None else Ema(model, decay=exp.train.ema)
    return {"method": method, "trained": trained, "objective": Memory(method), "ema": ema}


def without_titles(table: SampleTable) -> list[str]:
    """No title for any instance."""
    return [""] * len(table)
