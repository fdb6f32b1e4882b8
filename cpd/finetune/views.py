"""The test: softmax averaged over all views of a video, by key (10 clips x 3 crops in the paper).

Shapes: V views of a video, M views of a pass, K classes, T frames, H, W, C=3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import nn
from tqdm import tqdm

from cpd.config import FeatureViews
from cpd.engine import distributed, optim
from cpd.engine.distributed import World
from cpd.engine.together import stoppable
from cpd.errors import CpdError
from cpd.shards.loader import view_loader
from cpd.shards.read import SampleTable
from cpd.video.transforms import to_model

T = TypeVar("T")
Predictions = dict[str, torch.Tensor]  # key -> probabilities (K,)


@torch.no_grad()
def predict(
    model: nn.Module,
    table: SampleTable,
    instances: Sequence[int],
    *,
    views: FeatureViews,
    precision: optim.Precision,
    per_pass: int,
    workers: int,
    world: World,
    stop: Callable[[], str] = lambda: "",
) -> tuple[Predictions, dict[str, str]]:
    """Mean probabilities (K,) by key, and the reason by key of videos that could not be read; equal on every rank.

    Args:
        model: clips (M, 3, T, H, W) to logits (M, K).
        table: the videos.
        instances: which of them; ranks share them.
        views: clips and crops of each video.
        precision: of the forward pass.
        per_pass: views in one forward pass.
        workers: decoding processes of this rank.
        world: which rank this is.
        stop: asked before each video for a reason to stop, "" for none.

    Raises:
        Requeue: `stop` gave a reason on some rank; what was predicted so far is lost.
        CpdError: a video has another number of views than `views` says, or occurs twice, or is missing.
    """
    model.eval()
    own: Predictions = {}
    failed: dict[str, str] = {}
    mine = distributed.share(instances, world)
    turns = -(-len(instances) // world.size)
    batches = stoppable(view_loader(table, mine, views=views, workers=workers), turns, stop=stop, world=world)
    hidden = None if world.first else True
    for batch in tqdm(batches, total=len(mine), desc="test", unit="video", disable=hidden, dynamic_ncols=True):
        if batch.failed:
            failed.update(batch.failed)
            continue
        if len(batch.clips_VTHWC) != views.clips * views.crops:
            raise CpdError(f"{batch.key}: {len(batch.clips_VTHWC)} views, not {views.clips} x {views.crops}")
        if batch.key in own:
            raise CpdError(f"{batch.key}: tested twice")
        own[batch.key] = _mean_softmax(model, batch.clips_VTHWC, precision, per_pass, world.device)
    predictions = merged(distributed.gather_objects(own, world))
    reasons = merged(distributed.gather_objects(failed, world))
    missing = {table.keys[i] for i in instances} - predictions.keys() - reasons.keys()
    if missing:
        raise CpdError(f"{len(missing)} test videos were not seen, first {sorted(missing)[0]}")
    return predictions, reasons


def _mean_softmax(
    model: nn.Module, clips_VTHWC: torch.Tensor, precision: optim.Precision, per_pass: int, device: torch.device
) -> torch.Tensor:
    parts = []
    for clips_MTHWC in torch.split(clips_VTHWC, per_pass):
        with precision.autocast():
            logits_MK = model(to_model(clips_MTHWC.to(device)))
        parts.append(logits_MK.float().softmax(1).cpu())
    return torch.cat(parts).mean(0)


def merged(parts: Sequence[dict[str, T]]) -> dict[str, T]:
    """One mapping of all ranks' results.

    Raises:
        CpdError: two ranks hold the same key, so one of them would be lost.
    """
    whole: dict[str, T] = {}
    for part in parts:
        twice = whole.keys() & part.keys()
        if twice:
            raise CpdError(f"{len(twice)} videos were tested twice, first {sorted(twice)[0]}")
        whole.update(part)
    return whole
