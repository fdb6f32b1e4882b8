"""Text-video retrieval on held-out pairs: of N videos, which one does a title name, and the other way round.

Shapes: N pairs, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.evaluate.predictions import TOP, Measured, Ranked, Retrieved
from cpd.evaluate.ranks import best, chance, ranks, scores, unit_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def evaluate(video_ND: Tensor, text_ND: Tensor, *, keys: Sequence[str]) -> Measured:
    """Recall at 1, 5 and 10 in percent and median rank (1 is best), in both directions, and chance.

    Args:
        video_ND: embeddings of N videos; text_ND those of their titles, row by row.
        text_ND: see `video_ND`.
        keys: of the N pairs.

    Returns:
        Values {"t2v": {"r1", "r5", "r10", "median_rank"}, "v2t": ..., "chance": ...}; ranks with ties against the
        right pair (`ranks.ranks`), and the best five of each query.

    Raises:
        CpdError: no pairs, shapes that differ, or values that are not finite.
    """
    video_ND, text_ND = unit_pairs(video_ND, text_ND)
    t2v, v2t = _ranked(text_ND, video_ND), _ranked(video_ND, text_ND)
    values = {"t2v": scores(t2v.rank), "v2t": scores(v2t.rank), "chance": chance(len(video_ND))}
    return Measured(values, Retrieved(keys=list(keys), t2v=t2v, v2t=v2t))


def _ranked(query_ND: Tensor, gallery_ND: Tensor) -> Ranked:
    return Ranked(rank=ranks(query_ND, gallery_ND), top5=best(query_ND, gallery_ND, k=TOP))
