"""True runs of two gloo ranks, started by torchrun as users do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cpd.engine import distributed
from cpd.engine.distributed import World

sys.path.insert(0, str(Path(__file__).parent))
from toy_task import Toy

TOY = Path(__file__).with_name("toy_task.py")
RANKS = Path(__file__).with_name("ranks.py")


def torchrun(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)


def result(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"result-{rank}.pt", weights_only=True)


def test_alone_everything_is_itself() -> None:
    world = World()
    x = torch.arange(6.0).view(3, 2)
    assert torch.equal(distributed.gather_rows(x, world), x)
    assert distributed.gather_objects("a", world) == ["a"]
    assert distributed.sum_values([1.5, 2], world) == [1.5, 2]
    assert distributed.share(range(5), World(rank=1, size=2)) == [2, 3, 4]


def test_two_ranks_gather_and_sum() -> None:
    done = torchrun(RANKS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all equal") == 2


def test_two_ranks_learn_what_one_learns(tmp_path: Path) -> None:
    done = torchrun(TOY, str(tmp_path), "exact")
    assert done.returncode == 0, done.stderr
    alone = Toy(tmp_path / "alone", dropout=0.0)
    alone.run()
    first, second = result(tmp_path, 0), result(tmp_path, 1)
    for key, value in alone.result().items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value)


def test_rank_without_a_usable_sample_takes_part(tmp_path: Path) -> None:
    done = torchrun(TOY, str(tmp_path), "empty")
    assert done.returncode == 0, done.stderr
    alone = Toy(tmp_path / "alone", dropout=0.0, fail=frozenset(range(0, 8)), samples=10_000)
    alone.run()
    for key, value in alone.result().items():
        torch.testing.assert_close(result(tmp_path, 1)[key], value)


def test_nan_on_one_rank_stops_both(tmp_path: Path) -> None:
    done = torchrun(TOY, str(tmp_path), "nan")
    assert done.returncode != 0
    assert done.stderr.count("loss is not finite") == 2
    told = json.loads((tmp_path / "not_finite.json").read_text())
    assert len(told["ranks"]) == 2
    assert not (tmp_path / "result-0.pt").exists()


@pytest.mark.slow
def test_signal_to_the_ranks_saves_once_and_resumes(tmp_path: Path) -> None:
    stopped = torchrun(TOY, str(tmp_path / "run"), "term:5")
    assert stopped.returncode != 0
    assert stopped.stderr.count("the state is saved") >= 1
    assert torchrun(TOY, str(tmp_path / "run"), "run").returncode == 0
    (tmp_path / "whole").mkdir()
    assert torchrun(TOY, str(tmp_path / "whole"), "run").returncode == 0
    for key, value in result(tmp_path / "whole", 0).items():
        assert torch.equal(result(tmp_path / "run", 0)[key], value), key


@pytest.mark.slow
def test_dead_rank_ends_the_job(tmp_path: Path) -> None:
    done = torchrun(TOY, str(tmp_path), "kill:5")
    assert done.returncode != 0
