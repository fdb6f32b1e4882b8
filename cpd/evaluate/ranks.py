"""Ranks of right pairs among all pairs, by cosine: what retrieval measures, and what pretraining validates with.

Shapes: N pairs, B queries of a chunk, D embedding.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from cpd.errors import CpdError

TIE = 1e-6  # similarities closer than this count as equal, whatever the matrix product's order of summing
RECALLS = (1, 5, 10)
CHUNK = 1024


def unit_pairs(video_ND: Tensor, text_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides as float64 rows of unit length.

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
    return video_ND, text_ND


def ranks(query_ND: Tensor, gallery_ND: Tensor) -> list[int]:
    """Rank of row i of the gallery for query i: the number of rows that are at least as similar, itself included.

    Ties are pessimistic: every candidate that is as similar as the right one stands before it, so that a constant
    embedding ranks last, not first.
    """
    found: list[int] = []
    own_N = (query_ND * gallery_ND).sum(dim=1)
    for query_BD, own_B in zip(torch.split(query_ND, CHUNK), torch.split(own_N, CHUNK), strict=True):
        found += (query_BD @ gallery_ND.T >= own_B[:, None] - TIE).sum(dim=1).tolist()
    return found


def best(query_ND: Tensor, gallery_ND: Tensor, *, k: int) -> list[list[int]]:
    """Numbers of the (at most k) most similar rows of the gallery per query, best first; of equals the first stands."""
    found: list[list[int]] = []
    for query_BD in torch.split(query_ND, CHUNK):
        found += (query_BD @ gallery_ND.T).sort(dim=1, descending=True, stable=True).indices[:, :k].tolist()
    return found


def scores(rank_N: Sequence[int]) -> dict[str, float]:
    """Recall at 1, 5 and 10 in percent, and the median rank: {"r1", "r5", "r10", "median_rank"}."""
    recalls = {f"r{k}": 100.0 * sum(rank <= k for rank in rank_N) / len(rank_N) for k in RECALLS}
    return recalls | {"median_rank": float(statistics.median(rank_N))}


def chance(n: int) -> dict[str, float]:
    """What a random order of n candidates scores."""
    return {f"r{k}": 100.0 * min(k, n) / n for k in RECALLS} | {"median_rank": (n + 1) / 2}
