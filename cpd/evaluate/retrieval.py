"""Text-video retrieval on held-out pairs: of N videos, which one does a title name, and the other way round.

Shapes: N pairs, D embedding.
"""

from __future__ import annotations

import statistics

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cpd.errors import CpdError

TIE = 1e-6  # similarities closer than this count as equal, whatever the matrix product's order of summing
RECALLS = (1, 5, 10)


def evaluate(video_ND: Tensor, text_ND: Tensor) -> dict[str, dict[str, float]]:
    """Recall at 1, 5 and 10 in percent and median rank (1 is best), in both directions, and chance.

    Ties are pessimistic: every candidate that is as similar as the right one stands before it, so that a constant
    embedding ranks last, not first.

    Args:
        video_ND: embeddings of N videos; text_ND those of their titles, row by row.
        text_ND: see `video_ND`.

    Returns:
        {"t2v": {"r1", "r5", "r10", "median_rank"}, "v2t": ..., "chance": ...}

    Raises:
        CpdError: no pairs, shapes that differ, or values that are not finite.
    """
    if video_ND.shape != text_ND.shape or video_ND.ndim != 2 or not len(video_ND):
        raise CpdError(
            f"retrieval of {tuple(video_ND.shape)} videos by {tuple(text_ND.shape)} texts", hint="one row a pair each"
        )
    video_ND, text_ND = normalize(video_ND.double(), dim=1), normalize(text_ND.double(), dim=1)
    if not (video_ND.isfinite().all() and text_ND.isfinite().all()):
        raise CpdError("retrieval: an embedding is not finite", hint="training diverged; lower the learning rate")
    return {
        "t2v": _scores(ranks(text_ND, video_ND)),
        "v2t": _scores(ranks(video_ND, text_ND)),
        "chance": chance(len(video_ND)),
    }


def ranks(query_ND: Tensor, gallery_ND: Tensor) -> list[int]:
    """Rank of row i of the gallery for query i: the number of rows that are at least as similar, itself included."""
    found: list[int] = []
    own_N = (query_ND * gallery_ND).sum(dim=1)
    for query_BD, own_B in zip(torch.split(query_ND, 1024), torch.split(own_N, 1024), strict=True):
        found += (query_BD @ gallery_ND.T >= own_B[:, None] - TIE).sum(dim=1).tolist()
    return found


def chance(n: int) -> dict[str, float]:
    """What a random order of n candidates scores."""
    return {f"r{k}": 100.0 * min(k, n) / n for k in RECALLS} | {"median_rank": (n + 1) / 2}


def _scores(rank_N: list[int]) -> dict[str, float]:
    recalls = {f"r{k}": 100.0 * sum(rank <= k for rank in rank_N) / len(rank_N) for k in RECALLS}
    return recalls | {"median_rank": float(statistics.median(rank_N))}
