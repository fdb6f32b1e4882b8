"""Temporal persistency on two gloo ranks, on real shards: memories equal, resumed bit for bit, uneven data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch

from cpd.config import experiment
from cpd.engine import distributed
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.distributed import World
from cpd.errors import EX_REQUEUE
from cpd.pretrain import beside_titles, build, persistency
from tests.engine.fork_ranks import error, run_ranks
from tests.rho_cases import METHODS, cases
from tests.small_corpus import break_video, open_corpus, write_corpus
from tests.synced_norm import over_ranks

SHORT = {"stages": [{"epochs": 1, "lr": 0.05}]}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def prepare(corpus: Path, case: dict, world: World) -> persistency.Persistency:
    config = open_corpus(corpus)
    config = msgspec.structs.replace(config, experiments={"case": case})
    exp = experiment(config, "case")
    make = persistency.prepare if exp.objective.name == "persistency" else beside_titles.prepare
    return make(config, exp, seed=0, world=world)


def train(folder: Path, corpus: Path, case: dict, stop_after: int = 0) -> None:
    """Train; what each rank ends with is in `rank-R.pt`."""
    asked = iter(range(1, 1000))
    with distributed.joined(timeout_seconds=60) as world:
        run = prepare(corpus, case, world)
        checkpoints = Checkpoints(folder / "checkpoints", 2, identity={"size": world.size})
        progress = run.train(folder, checkpoints, stop=lambda: "SIGTERM" if next(asked) == stop_after else "")
        state = {name: value.clone() for name, value in run.trained.state_dict().items()}
        memory = run.objective.state_dict()
        told = {"state": state, "memory": digest(memory), "failed": sorted(progress.failed)}
        torch.save({**told, "loss": [row["loss"] for row in progress.history]}, folder / f"rank-{world.rank}.pt")


def train_synced(folder: Path, corpus: Path, case: dict) -> None:
    build.sync_batch_norm = persistency.sync_batch_norm = over_ranks
    train(folder, corpus, {**case, "train": {**case.get("train", {}), "sync_bn": True}})


def digest(memory: object) -> str:
    """Of queue, counters and banks."""
    if isinstance(memory, dict):
        memory = [(key, digest(value)) for key, value in sorted(memory.items())]
    data = memory.numpy().tobytes() if isinstance(memory, torch.Tensor) else repr(memory).encode()
    return hashlib.sha256(data).hexdigest()


def result(folder: Path, rank: int = 0) -> dict:
    return torch.load(folder / f"rank-{rank}.pt", weights_only=True)


def same(a: dict, b: dict) -> None:
    """Weights, momentum encoder, prototypes and memories; batch norm's statistics are each rank's own."""
    assert a["loss"] == b["loss"]
    assert a["memory"] == b["memory"]
    for name, value in a["state"].items():
        assert "running" in name or torch.equal(value, b["state"][name]), name


@pytest.mark.parametrize("name", ["rho-moco", *(pytest.param(n, marks=pytest.mark.slow) for n in list(cases())[1:])])
def test_ranks_end_with_the_same(corpus: Path, tmp_path: Path, name: str) -> None:
    assert run_ranks(train, tmp_path, corpus, cases()[name]) == [0, 0], error(tmp_path, 0) + error(tmp_path, 1)
    same(result(tmp_path, 0), result(tmp_path, 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rho-moco", "rho-swav", "beside-moco"])
def test_two_ranks_resume_bit_for_bit(corpus: Path, tmp_path: Path, name: str) -> None:
    case = cases()[name]
    assert run_ranks(train, tmp_path / "whole", corpus, case) == [0, 0], error(tmp_path / "whole", 0)
    assert run_ranks(train, tmp_path / "parts", corpus, case, 2) == [EX_REQUEUE] * 2, error(tmp_path / "parts", 0)
    assert run_ranks(train, tmp_path / "parts", corpus, case) == [0, 0], error(tmp_path / "parts", 0)
    for rank in (0, 1):
        same(result(tmp_path / "whole", rank), result(tmp_path / "parts", rank))


def uneven(case: dict) -> dict:
    """Steps of 7, 7 and 6 videos, micro-batches of 3."""
    return {**case, **SHORT, "train": {**case.get("train", {}), "batch": 7, "per_rank": 3}}


def break_first(corpus: Path, case: dict) -> list[str]:
    """A corpus with two broken videos, so that rank 0 has nothing to train on in the first step; their keys."""
    write_corpus(corpus)
    run = prepare(corpus, case, World())
    keys = [run.clips.table.keys[i] for i in run.clips._order(0)[0][:2]]  # rank 0's third is then alone
    for key in keys:
        break_video(open_corpus(corpus), "pairs", "train", key)
    return keys


@pytest.mark.slow
@pytest.mark.parametrize("how", [train, train_synced])
@pytest.mark.parametrize("name", [*(f"rho-{method}" for method in METHODS), "beside-moco"])
def test_a_rank_without_videos_goes_along(tmp_path: Path, name: str, how: Callable[..., None]) -> None:
    """A step in which rank 0 has nothing to train on."""
    case = uneven(cases()[name])
    keys = break_first(tmp_path / "corpus", case)
    folder = tmp_path / "run"
    assert run_ranks(how, folder, tmp_path / "corpus", case) == [0, 0], error(folder, 0) + error(folder, 1)
    same(result(folder, 0), result(folder, 1))
    assert set(keys) <= set(result(folder)["failed"])
    assert len(result(folder)["failed"]) == 3  # and the one that was left alone


@pytest.mark.slow
def test_a_rank_without_videos_keeps_the_order_of_calls(tmp_path: Path) -> None:
    """Beside titles ranks meet in batch norms and, with shared banks, in the loss: everywhere in the same order."""
    case = uneven(cases()["beside-moco"])
    case["objective"] = {**case["objective"], "shard_banks": True}
    break_first(tmp_path / "corpus", case)
    folder = tmp_path / "run"
    assert run_ranks(train_synced, folder, tmp_path / "corpus", case) == [0, 0], error(folder, 0) + error(folder, 1)
    first, second = result(folder, 0), result(folder, 1)
    assert first["loss"] == second["loss"]
    assert all(torch.equal(value, second["state"][name]) for name, value in first["state"].items())
