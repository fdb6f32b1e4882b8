"""Exact search against a slow twin."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn.functional import normalize

from cpd.search.nearest import nearest, nearest_names


def cosines(query: torch.Tensor, rows: torch.Tensor) -> list[float]:
    return [sum(a * b for a, b in zip(row, query.tolist(), strict=True)) for row in rows.tolist()]


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_are_those_of_a_sorted_list(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    n, k = random.Random(seed).randint(1, 40), random.Random(seed).randint(1, 50)
    rows = normalize(torch.randn(n, 5, generator=generator), dim=1)
    query = normalize(torch.randn(5, generator=generator), dim=0)
    slow = cosines(query, rows)
    found = nearest(query, rows, k=k)
    assert [near.row for near in found] == sorted(range(n), key=lambda row: -slow[row])[:k]
    assert [near.score for near in found] == pytest.approx([slow[near.row] for near in found], abs=1e-6)
    assert found[0].share == pytest.approx(1.0 if n > 1 else 0.0)
    low, high = min(slow), max(slow)
    assert n == 1 or [near.share for near in found] == pytest.approx(
        [(near.score - low) / (high - low) for near in found], abs=1e-4
    )


def test_equal_scores_come_in_the_order_of_rows_and_have_no_share() -> None:
    found = nearest(torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0]] * 3), k=3)
    assert [(near.row, near.share) for near in found] == [(0, 0.0), (1, 0.0), (2, 0.0)]


def test_names_are_told_once_and_empty_ones_not_at_all() -> None:
    rows = normalize(torch.tensor([[1.0, t] for t in range(30)]), dim=1)
    names = ["same"] * 20 + [""] * 4 + ["b", "c", "b", "d", "", "e"]
    found = nearest_names(torch.tensor([1.0, 0.0]), rows, names, k=3)
    assert [named.name for named in found] == ["same", "b", "c"]
    assert found[0].score == pytest.approx(1.0)
    everything = nearest_names(torch.tensor([1.0, 0.0]), rows, names, k=100)
    assert [named.name for named in everything] == ["same", "b", "c", "d", "e"]
