"""Retrieval against ranks counted in plain Python; and what must not win."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpd.errors import CpdError
from cpd.evaluate import ranks, retrieval
from cpd.evaluate.predictions import Measured


def slow_ranks(query_ND: torch.Tensor, gallery_ND: torch.Tensor) -> list[int]:
    found = []
    for i, query_D in enumerate(query_ND):
        sims = [float(torch.dot(query_D, row_D) / query_D.norm() / row_D.norm()) for row_D in gallery_ND]
        found.append(sum(sim >= sims[i] - ranks.TIE for sim in sims))
    return found


def named_the_best(query_ND: torch.Tensor, gallery_ND: torch.Tensor, top5: list[list[int]]) -> bool:
    """Whether the named rows are the (at most five) most similar, best first; equals may stand in any order."""
    for query_D, best in zip(query_ND, top5, strict=True):
        sims = [float(torch.dot(query_D, row_D) / query_D.norm() / row_D.norm()) for row_D in gallery_ND]
        if len(set(best)) < len(best) or [sims[i] for i in best] != pytest.approx(sorted(sims, reverse=True)[:5]):
            return False
    return True


def measure(video_ND: torch.Tensor, text_ND: torch.Tensor) -> Measured:
    return retrieval.evaluate(video_ND, text_ND, keys=[f"k{i}" for i in range(len(video_ND))])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 10_000), st.booleans())
def test_agrees_with_ranks_counted_one_by_one(n: int, dim: int, seed: int, ties: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    video_ND, text_ND = torch.randn(2, n, dim, generator=generator, dtype=torch.float64)
    if ties:
        video_ND, text_ND = video_ND.sign(), text_ND.sign()
    measured = measure(video_ND, text_ND)
    for way, query_ND, gallery_ND in (("t2v", text_ND, video_ND), ("v2t", video_ND, text_ND)):
        wanted, told = slow_ranks(query_ND, gallery_ND), getattr(measured.predictions, way)
        for k in (1, 5, 10):
            assert measured.values[way][f"r{k}"] == pytest.approx(100 * sum(rank <= k for rank in wanted) / n)
        assert measured.values[way]["median_rank"] == statistics.median(wanted)
        assert told.rank == wanted
        assert named_the_best(query_ND, gallery_ND, told.top5)


def test_right_pairs_are_found_and_wrong_ones_are_not() -> None:
    eye = torch.eye(40)
    assert measure(eye, eye).values["t2v"] == {"r1": 100, "r5": 100, "r10": 100, "median_rank": 1}
    shifted = measure(eye, eye.roll(1, 0))
    assert shifted.values["t2v"]["r10"] == 0
    assert [best[0] for best in shifted.predictions.t2v.top5] == [39, *range(39)]


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_a_constant_embedding_ranks_last(noise: float) -> None:
    video_ND = torch.ones(50, 8, dtype=torch.float64) + noise * torch.randn(50, 8, dtype=torch.float64)
    values = measure(video_ND, torch.randn(50, 8)).values
    assert values["t2v"] == {"r1": 0, "r5": 0, "r10": 0, "median_rank": 50}


def test_chance_is_what_random_embeddings_score() -> None:
    scores = [measure(*torch.randn(2, 40, 16)).values["t2v"] for _ in range(40)]
    chance = ranks.chance(40)
    assert chance["r10"] == 25
    assert statistics.fmean(s["r10"] for s in scores) == pytest.approx(25, abs=5)
    assert statistics.fmean(s["median_rank"] for s in scores) == pytest.approx(chance["median_rank"], abs=4)


@pytest.mark.parametrize(
    ("video", "text", "wanted"),
    [
        (torch.empty(0, 4), torch.empty(0, 4), "retrieval of"),
        (torch.ones(3, 4), torch.ones(2, 4), "retrieval of"),
        (torch.full((2, 2), float("nan")), torch.ones(2, 2), "not finite"),
    ],
)
def test_bad_input_is_refused(video: torch.Tensor, text: torch.Tensor, wanted: str) -> None:
    with pytest.raises(CpdError, match=wanted):
        measure(video, text)
