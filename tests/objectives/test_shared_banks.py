"""Banks shared by ranks give what whole banks give. Ranks are threads here: collectives meet at a barrier."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from cpd.config import Objective
from cpd.errors import CpdError
from cpd.objectives import bank as bank_module
from cpd.objectives import pair
from cpd.objectives.bank import Bank, bank_bytes
from cpd.objectives.ranks import Ranks

N, D = 37, 8
GROUPS = torch.arange(N) // 3


class Meeting:
    """All-gather and all-reduce of `size` threads."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier = size, threading.Barrier(size, timeout=20)
        self.places: list = [None] * size

    def all(self, rank: int, x: torch.Tensor) -> list[torch.Tensor]:
        self.places[rank] = x
        self.barrier.wait()
        found = list(self.places)
        self.barrier.wait()
        return found

    def ranks(self, rank: int) -> Ranks:
        return Ranks(
            rank=rank,
            size=self.size,
            gather=lambda x: torch.cat(self.all(rank, x)),
            add=lambda x: torch.stack(self.all(rank, x)).sum(0),
        )


def on_ranks(size: int, function: Callable[[Ranks], object]) -> list:
    meeting, results, errors = Meeting(size), [None] * size, []

    def work(rank: int) -> None:
        try:
            results[rank] = function(meeting.ranks(rank))
        except Exception as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    return results


def batch(step: int, size: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    v, t = torch.nn.functional.normalize(torch.randn(2, size, D, generator=generator, dtype=torch.float64), dim=2)
    return v, t, torch.randperm(N, generator=generator)[:size]


def learn(objective: pair.PairObjective, cuts: list[slice]) -> list[tuple]:
    """Three steps; losses and gradients of each part of the batch, and the banks after the updates."""
    seen = []
    for step in range(3):
        v, t, index = batch(step)
        for cut in cuts:
            v_part, t_part = v[cut].clone().requires_grad_(), t[cut].clone().requires_grad_()
            parts = objective(v_part, t_part, index[cut])
            if len(v_part):
                parts["loss"].backward()
                seen.append((parts["loss"].detach(), v_part.grad, t_part.grad))
        objective.update(v, t, index)
    return seen


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(
    "over",
    [
        {"name": "cross_pair"},
        {"name": "self_instance"},
        {"name": "cross_pair", "estimator": "nce", "noise": 12, "log_z": "ema"},
    ],
)
def test_shared_banks_change_nothing(over: dict, mask: bool) -> None:
    objective = Objective(**over, mask_equal_titles=mask)
    shared = Objective(**over, mask_equal_titles=mask, shard_banks=True)
    edges = [0, 4, 4, 7]  # three ranks of 4, 0 and 3 anchors

    def of_rank(ranks: Ranks) -> tuple:
        built: Any = pair.build(shared, n=N, dim=D, seed=0, device="cpu", group_N=GROUPS, ranks=ranks)
        seen = learn(built, [slice(edges[ranks.rank], edges[ranks.rank + 1])])
        return seen, built.banks.video.rows_ND, built.state_dict()

    found = on_ranks(3, of_rank)
    for rank in (0, 2):
        alone: Any = pair.build(objective, n=N, dim=D, seed=0, device="cpu", group_N=GROUPS)
        wanted = learn(alone, [slice(edges[rank], edges[rank + 1])])
        for ours, theirs in zip(found[rank][0], wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)
    rows = torch.cat([video for _, video, _ in found])
    torch.testing.assert_close(rows, alone.banks.video.rows_ND, rtol=0, atol=0)
    assert all(state["banks"] == {} for _, _, state in found)


def test_parts_begin_as_the_whole_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_module, "BLOCK_ROWS", 16)
    for n in (5, 16, 31, 47, 100):
        whole = Bank(n, 3, seed=4)
        parts = on_ranks(3, lambda ranks, n=n: Bank(n, 3, seed=4, ranks=ranks).rows_ND)
        assert torch.equal(torch.cat(parts), whole.rows_ND)
    assert torch.equal(
        whole.rows_ND,
        torch.nn.functional.normalize(torch.randn(100, 3, generator=torch.Generator().manual_seed(4)), dim=1),
    )


def test_an_index_of_another_rank_is_left_alone_and_state_goes_round() -> None:
    def of_rank(ranks: Ranks) -> Bank:
        bank = Bank(10, 2, seed=0, ranks=ranks)
        bank.update(torch.tensor([1, 8, 1]), torch.eye(2)[[0, 1, 1]], momentum=0.0)
        again = Bank(10, 2, seed=1, ranks=ranks)
        again.load_state_dict(bank.state_dict())
        assert torch.equal(again.rows_ND, bank.rows_ND)
        return bank

    first, second = on_ranks(2, of_rank)
    assert first.rows_ND[1].tolist() == [0.0, 1.0]  # the last of two updates of one row
    assert second.rows_ND[3].tolist() == [0.0, 1.0]


def test_ten_million_pairs_fit_when_shared() -> None:
    assert bank_bytes(210_000, 256) == 430_080_000
    assert bank_bytes(10_000_000, 256) == 20_480_000_000
    assert bank_bytes(10_000_000, 256, ranks=8) == 2_560_000_000


def test_whole_and_shared_checkpoints_do_not_mix() -> None:
    alone = pair.build(Objective(), n=N, dim=D, seed=0, device="cpu")
    state = on_ranks(
        2,
        lambda ranks: pair.build(
            Objective(shard_banks=True), n=N, dim=D, seed=0, device="cpu", ranks=ranks
        ).state_dict(),
    )[0]
    with pytest.raises(CpdError, match="shared by ranks"):
        alone.load_state_dict(state)


def test_more_ranks_than_rows_are_refused() -> None:
    with pytest.raises(CpdError, match="a bank of 1 rows"):
        Bank(1, 2, seed=0, ranks=Ranks(rank=0, size=2, gather=lambda x: x, add=lambda x: x))


def twin(f: torch.Tensor, bank: torch.Tensor, i: int, *, tau: float) -> float:
    """-log softmax over the rows that are not of the positive's title, written out."""
    scores = [math.exp(float(f @ bank[j]) / tau) for j in range(N) if j == i or GROUPS[j] != GROUPS[i]]
    return -math.log(math.exp(float(f @ bank[i]) / tau) / sum(scores))


@pytest.mark.parametrize("chunk", [1, 2, 2048])
def test_equal_titles_are_no_negatives(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("cpd.objectives.softmax.CHUNK", {"cpu": chunk})
    built: Any = pair.build(Objective(mask_equal_titles=True), n=N, dim=D, seed=0, device="cpu", group_N=GROUPS)
    v, t, index = batch(0)
    v.requires_grad_()
    parts = built(v, t, index)
    wanted = [twin(v[k].detach(), built.banks.text.rows_ND.double(), int(i), tau=0.07) for k, i in enumerate(index)]
    assert parts["v2t"].item() == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)
    assert torch.autograd.gradcheck(lambda x: built(x, t, index)["loss"], (v,), eps=1e-6, atol=1e-5)


def test_noise_of_an_equal_title_is_left_out() -> None:
    objective = Objective(estimator="nce", noise=200, mask_equal_titles=True)
    built: Any = pair.build(objective, n=N, dim=D, seed=0, device="cpu", group_N=torch.zeros(N, dtype=torch.int64))
    v, t, index = batch(0)
    built.log_z = (0.5, 0.5)
    h = torch.sigmoid((v * built.banks.text.rows_ND[index]).sum(1) / 0.07 - 0.5 - math.log(200))
    assert built(v, t, index)["v2t"].item() == pytest.approx(-h.log().mean().item(), rel=1e-5)
