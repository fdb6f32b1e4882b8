"""Validation: text-video retrieval on the first n held-out pairs, from deterministic centre views (paper, 4.2).

Shapes: N pairs, V views of a video (one), T frames, H, W, C=3, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from cpd.config import FeatureViews
from cpd.engine import distributed, optim
from cpd.engine.distributed import World
from cpd.engine.task import Score
from cpd.evaluate import ranks
from cpd.models.two_tower import TwoTower
from cpd.pretrain.titles import Titles
from cpd.shards.loader import view_loader
from cpd.shards.read import SampleTable
from cpd.video.transforms import to_model

RECALLS = ("r1", "r5", "r10")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Held-out pairs; pair i is instance i of `table`.

    Attributes:
        table: the videos.
        titles: their titles, as many as are validated.
        views: one centre clip.
        model: what is validated.
        precision: of the forward pass.
        workers: decoding processes of this rank.
        world: which rank this is; ranks share the videos.
    """

    table: SampleTable
    titles: Titles
    views: FeatureViews
    model: TwoTower
    precision: optim.Precision
    workers: int
    world: World

    @torch.no_grad()
    def __call__(self) -> Score:
        """Text-to-video recall at 1, 5, 10 and median rank; the score is the mean of the three recalls."""
        self.model.eval()
        index_N, video_ND, failed = self._videos()
        text_ND = self.model.embed_text(self.titles.constant(index_N)).float()
        self.model.train()
        video_ND, text_ND = ranks.unit_pairs(video_ND.cpu(), text_ND.cpu())
        found = ranks.scores(ranks.ranks(text_ND, video_ND))
        values = {**found, "n": float(len(index_N)), "failed": float(failed)}
        return Score(value=sum(found[name] for name in RECALLS) / len(RECALLS), values=values)

    def _videos(self) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Instances and embeddings of the videos that could be read, and how many could not."""
        return self.rows(lambda x_BCTHW: self.model.embed_video(x_BCTHW)[0], dim=self.model.video_head.out_features)

    def rows(
        self, embed: Callable[[torch.Tensor], torch.Tensor], *, dim: int
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Instances (N,) and rows (N, dim) of the videos that could be read, equal on all ranks, and how many not."""
        own = distributed.share(range(len(self.titles)), self.world)
        rows = [torch.zeros(0, dim)]
        index: list[int] = []
        failed = 0
        for batch in view_loader(self.table, own, views=self.views, workers=self.workers):
            if batch.failed:
                failed += 1
                continue
            with self.precision.autocast():
                f_VD = embed(to_model(batch.clips_VTHWC.to(self.world.device)))
            rows.append(f_VD.float().cpu())
            index.append(batch.instance)
        device = self.world.device
        index_N = distributed.gather_rows(torch.tensor(index, dtype=torch.int64, device=device), self.world)
        video_ND = distributed.gather_rows(torch.cat(rows).to(device), self.world)
        return index_N, video_ND, round(distributed.sum_values([failed], self.world)[0])
