"""Titles and persistency together: rho clips of one video, one title (`objective.rho` beside a loss on titles).

The loss on titles sees each clip with the title of its video, and is averaged over the clips; the persistency loss is
added with `objective.rho.weight`. The bank's row of a video moves towards the mean of its clips.

Shapes: B micro-batch, V clips of a video, G rows of all micro-batches and ranks, F feature, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from cpd.config import Config, Experiment
from cpd.engine import distributed
from cpd.engine.distributed import World
from cpd.engine.task import Score, StepResult
from cpd.models.heads import unit_rows
from cpd.objectives.pair import PairObjective
from cpd.objectives.rho.method import Loss
from cpd.pretrain.persistency import Memory, Persistency, method_parts
from cpd.pretrain.run import Pretraining, common_parts, pair_objective
from cpd.pretrain.titles import titles_of


@dataclass(frozen=True)
class BothMemories:
    """The method's memory and the banks, as checkpoints see them."""

    method: Memory
    pairs: PairObjective

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors."""
        return {"method": self.method.state_dict(), "pairs": self.pairs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore them."""
        self.method.load_state_dict(state["method"])
        self.pairs.load_state_dict(state["pairs"])

    def rank_state(self) -> dict[str, Any]:
        """Banks that ranks share."""
        return self.pairs.rank_state()


@dataclass(frozen=True, kw_only=True)
class BesideTitles(Persistency):
    """A run whose network learns from titles and from persistency.

    Attributes:
        pairs: the loss on titles, and its banks.
    """

    pairs: PairObjective

    def compare(
        self, found: Loss, feature_VBF: torch.Tensor, index_B: torch.Tensor
    ) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
        """Parts: those of the loss on titles, persistency and agree; loss is the weighted sum."""
        rho = self.exp.objective.rho
        assert rho is not None
        persistency = found.parts["loss"]
        parts = {"persistency": persistency.detach(), "agree": found.parts["agree"]}
        if not len(index_B):
            loss = rho.weight * persistency
            if self.syncs:  # in the order of ranks with samples
                loss = loss + self.model.embed_text(self.titles(index_B)).sum()  # its batch norm waits for this rank
            if self.shares_banks:
                for _ in feature_VBF:
                    self.pairs(*self._no_rows())  # the other ranks' anchors want this rank's rows
            return {"loss": loss, **parts}, (*self.kept(found), *self._no_rows())
        v_VBD = torch.stack([self.model.video_head(feature_BF) for feature_BF in feature_VBF])
        t_BD = self.model.embed_text(self.titles(index_B))
        index_B = index_B.to(self.world.device)
        told = self._over_clips(v_VBD, t_BD, index_B)
        rows = (unit_rows(v_VBD.detach().mean(0)), t_BD.detach(), index_B)
        return {**told, **parts, "loss": told["loss"] + rho.weight * persistency}, (*self.kept(found), *rows)

    def _over_clips(self, v_VBD: torch.Tensor, t_BD: torch.Tensor, index_B: torch.Tensor) -> dict[str, torch.Tensor]:
        """Parts of the loss on titles, averaged over the clips; one clip at a time, so that no video is twice in it."""
        with torch.autocast(v_VBD.device.type, enabled=False):
            found = [self.pairs(v_BD, t_BD, index_B) for v_BD in v_VBD]
        return {name: torch.stack([parts[name] for parts in found]).mean(0) for name in found[0]}

    def update(self, results: Sequence[StepResult]) -> None:
        """Banks, then the method's second network and memory."""
        rows = [result.rows[-3:] for result in results if result.rows] or [self._no_rows()]
        v_GD, t_GD, index_G = (
            distributed.gather_rows(torch.cat([row[i] for row in rows]), self.world) for i in range(3)
        )
        self.pairs.update(v_GD, t_GD, index_G)
        super().update(results)

    def enter_stage(self, stage: int) -> None:
        """As with titles alone; the queue is filled, if it is to be and is not."""
        super().enter_stage(stage)
        Pretraining.enter_stage(self, stage)

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """All but the language model and the momentum encoder; the language model."""
        own = [p for p in self.method.parameters() if p.requires_grad]
        groups = Pretraining.groups(self)
        return {"rest": [*groups["rest"], *own], "text": groups["text"]}

    def score(self) -> Score:
        """Held-out retrieval."""
        return self.held_out()


def prepare(config: Config, exp: Experiment, *, seed: int, world: World) -> BesideTitles:
    """Open the shards and build what is trained.

    Raises:
        CpdError: shards or encoder are missing, there is no usable pair, or the queue is longer than an epoch.
    """
    parts = common_parts(config, exp, seed=seed, world=world, title_of=lambda table: titles_of(table, exp.title))
    pairs = pair_objective(exp, parts["titles"], seed=seed, world=world)
    own = method_parts(exp, parts, seed=seed, world=world)
    own["objective"] = BothMemories(own["objective"], pairs)
    return BesideTitles(**parts, **own, pairs=pairs)
