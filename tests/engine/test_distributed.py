"""True runs of two gloo ranks."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from cpd.engine import distributed
from cpd.engine.distributed import World
from cpd.errors import EX_REQUEUE
from tests.engine.fork_ranks import error, run_ranks
from tests.engine.ranks import check_collectives
from tests.engine.toy_task import Toy, train


def result(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"result-{rank}.pt", weights_only=True)


def test_alone_everything_is_itself() -> None:
    world = World()
    x = torch.arange(6.0).view(3, 2)
    assert torch.equal(distributed.gather_rows(x, world), x)
    assert distributed.gather_objects("a", world) == ["a"]
    assert distributed.sum_values([1.5, 2], world) == [1.5, 2]
    assert distributed.share(range(5), World(rank=1, size=2)) == [2, 3, 4]


def test_two_ranks_gather_and_sum(tmp_path: Path) -> None:
    assert run_ranks(check_collectives, tmp_path) == [0, 0], error(tmp_path, 0) + error(tmp_path, 1)


def test_two_ranks_learn_what_one_learns(tmp_path: Path) -> None:
    assert run_ranks(train, tmp_path, "exact") == [0, 0], error(tmp_path, 0)
    alone = Toy(tmp_path / "alone", dropout=0.0)
    alone.run()
    first, second = result(tmp_path, 0), result(tmp_path, 1)
    for key, value in alone.result().items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value)


def test_rank_without_a_usable_sample_takes_part(tmp_path: Path) -> None:
    fail = frozenset(range(0, 8))
    assert run_ranks(train, tmp_path, "empty") == [0, 0], error(tmp_path, 0)
    alone = Toy(tmp_path / "alone", dropout=0.0, fail=fail, samples=10_000)
    alone.run()
    for key, value in alone.result().items():
        torch.testing.assert_close(result(tmp_path, 1)[key], value)


def test_nan_on_one_rank_stops_both(tmp_path: Path) -> None:
    assert run_ranks(train, tmp_path, "nan") == [1, 1]
    assert all("loss is not finite" in error(tmp_path, rank) for rank in (0, 1))
    told = json.loads((tmp_path / "not_finite.json").read_text())
    assert [["k7" in part["keys"] for part in rank].count(True) for rank in told["ranks"]].count(1) == 1
    assert not (tmp_path / "result-0.pt").exists()


@pytest.mark.slow
def test_signal_saves_once_for_all_and_the_run_goes_on(tmp_path: Path) -> None:
    assert run_ranks(train, tmp_path / "run", "term:5") == [EX_REQUEUE] * 2
    assert run_ranks(train, tmp_path / "run", "run") == [0, 0], error(tmp_path / "run", 0)
    assert run_ranks(train, tmp_path / "whole", "run") == [0, 0]
    for key, value in result(tmp_path / "whole", 0).items():
        assert torch.equal(result(tmp_path / "run", 0)[key], value), key


def test_dead_rank_ends_the_others(tmp_path: Path) -> None:
    codes = run_ranks(train_but_lose_rank_1, tmp_path)
    assert codes[1] == -signal.SIGKILL
    assert codes[0] == 1


def train_but_lose_rank_1(folder: Path) -> None:
    import os

    train(folder, "kill:5" if os.environ["RANK"] == "1" else "run")
