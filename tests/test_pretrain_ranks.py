"""Pretraining on two gloo ranks: the truths of distributed training, each checked on real shards."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
import torch

from cpd import config as cpd_config
from cpd.engine import distributed
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.distributed import World
from cpd.errors import EX_REQUEUE
from cpd.pretrain import build, supervised
from cpd.pretrain.run import Pretraining, prepare
from tests.engine.fork_ranks import error, run_ranks
from tests.small_corpus import break_video, open_corpus, write_corpus
from tests.synced_norm import over_ranks

# Ten pairs a step, five a micro-batch: one rank and two see the same micro-batches, which batch norm is over.
EVEN = {"train": {"batch": 10, "per_rank": 5}}
SHARED = {"objective": {"shard_banks": True, "mask_equal_titles": True}}
WHOLE = {"objective": {"shard_banks": False, "mask_equal_titles": True}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def train(folder: Path, corpus: Path, over: dict, stop_after: int = 0) -> None:
    """Train with a few settings changed; what each rank ends with is in `rank-R.pt`."""
    config = open_corpus(corpus)
    config = msgspec.structs.replace(config, experiments={**config.experiments, "case": over})
    asked = iter(range(1, 1000))
    with distributed.joined(timeout_seconds=60) as world:
        exp = cpd_config.experiment(config, "case")
        make = supervised.prepare if exp.objective.name == "supervised" else prepare
        run = make(config, exp, seed=0, world=world)
        checkpoints = Checkpoints(folder / "checkpoints", 2, identity={"size": world.size})
        progress = run.train(folder, checkpoints, stop=lambda: "SIGTERM" if next(asked) == stop_after else "")
        torch.save({**told(run), "loss": [row["loss"] for row in progress.history]}, folder / f"rank-{world.rank}.pt")


def told(run: Pretraining) -> dict:
    banks = getattr(run.objective, "banks", None)
    rows = [] if banks is None else [banks.video.rows_ND, banks.text.rows_ND]
    model = {name: value.clone() for name, value in run.model.state_dict().items()}
    digest = hashlib.sha256(b"".join(row.numpy().tobytes() for row in rows)).hexdigest()
    return {"model": model, "video": rows[0] if rows else None, "digest": digest}


def result(folder: Path, rank: int = 0) -> dict:
    return torch.load(folder / f"rank-{rank}.pt", weights_only=True)


def same_weights(a: dict, b: dict, *, but_statistics: bool = False) -> bool:
    names = [name for name in a["model"] if not (but_statistics and "running" in name)]
    return all(torch.equal(a["model"][name], b["model"][name]) for name in names)


@pytest.mark.parametrize(
    "over",
    [
        {},
        pytest.param({"objective": {"estimator": "nce", "noise": 8}}, marks=pytest.mark.slow),
        pytest.param({"objective": {"estimator": "nce", "noise": 8, "log_z": "ema"}}, marks=pytest.mark.slow),
        pytest.param({"train": {"ema": 0.5}}, marks=pytest.mark.slow),
    ],
)
def test_one_rank_and_two_give_the_same_losses(corpus: Path, tmp_path: Path, over: dict) -> None:
    """At an equal global batch. Batch norm's statistics are those of each rank while it trains, so they are apart."""
    over = {**EVEN, **over, "train": {**EVEN["train"], **over.get("train", {})}}
    assert run_ranks(train, tmp_path / "two", corpus, over) == [0, 0], error(tmp_path / "two", 0)
    first, second = result(tmp_path / "two", 0), result(tmp_path / "two", 1)
    assert first["digest"] == second["digest"]
    assert first["loss"] == second["loss"]
    assert same_weights(first, second, but_statistics=True)
    assert run_ranks(train, tmp_path / "one", corpus, over, size=1) == [0], error(tmp_path / "one", 0)
    alone = result(tmp_path / "one")
    assert first["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    torch.testing.assert_close(first["video"], alone["video"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("over", [{}, {"estimator": "nce", "noise": 8, "log_z": "ema"}])
def test_shared_banks_train_as_whole_ones_do(corpus: Path, tmp_path: Path, over: dict) -> None:
    settings = {name: {"objective": {**base["objective"], **over}} for name, base in (("s", SHARED), ("w", WHOLE))}
    for name, setting in settings.items():
        assert run_ranks(train, tmp_path / name, corpus, setting) == [0, 0], error(tmp_path / name, 0)
    whole, parts = result(tmp_path / "w"), [result(tmp_path / "s", rank) for rank in (0, 1)]
    assert parts[0]["loss"] == pytest.approx(whole["loss"], rel=1e-4)
    assert [len(part["video"]) for part in parts] == [10, 10]
    torch.testing.assert_close(torch.cat([part["video"] for part in parts]), whole["video"], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_shared_banks_resume_bit_for_bit(corpus: Path, tmp_path: Path) -> None:
    assert run_ranks(train, tmp_path / "whole", corpus, SHARED) == [0, 0], error(tmp_path / "whole", 0)
    assert run_ranks(train, tmp_path / "parts", corpus, SHARED, 2) == [EX_REQUEUE] * 2, error(tmp_path / "parts", 0)
    assert len(list((tmp_path / "parts" / "checkpoints").glob("step-2.rank-*.part"))) == 2
    assert run_ranks(train, tmp_path / "parts", corpus, SHARED) == [0, 0], error(tmp_path / "parts", 0)
    for rank in (0, 1):
        resumed, straight = result(tmp_path / "parts", rank), result(tmp_path / "whole", rank)
        assert resumed["digest"] == straight["digest"]
        assert same_weights(resumed, straight)
        assert resumed["loss"] == straight["loss"]


def train_synced(folder: Path, corpus: Path, over: dict) -> None:
    build.sync_batch_norm = over_ranks
    train(folder, corpus, over)


SYNCED = {"sync_bn": True}


@pytest.mark.slow
def test_synced_batch_norm_makes_two_ranks_one(corpus: Path, tmp_path: Path) -> None:
    """With the same batch statistics, running statistics are equal, too."""
    stages = [{"epochs": 1, "lr": 0.05}]
    split, whole = ({"train": {"batch": 20, "per_rank": size}, "stages": stages} for size in (10, 20))
    split["train"] |= SYNCED
    assert run_ranks(train_synced, tmp_path / "two", corpus, split) == [0, 0], error(tmp_path / "two", 0)
    assert run_ranks(train, tmp_path / "one", corpus, whole, size=1) == [0], error(tmp_path / "one", 0)
    first, second, alone = result(tmp_path / "two", 0), result(tmp_path / "two", 1), result(tmp_path / "one")
    assert same_weights(first, second)
    assert first["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    torch.testing.assert_close(first["model"], alone["model"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [{}, {"name": "info_nce"}, {"name": "supervised"}])
def test_synced_batch_norm_waits_for_nobody_in_vain(tmp_path: Path, objective: dict) -> None:
    """A rank without a usable clip, or with fewer micro-batches, calls the tower along with the others."""
    write_corpus(tmp_path / "corpus")
    over = {"train": {"batch": 7, "per_rank": 2, **SYNCED}, "objective": objective}
    live = {} if objective.get("name") == "supervised" else {"lr_text": 0.01}
    over["stages"] = [{"epochs": 1, "lr": 0.05}, {"epochs": 1, "lr": 0.05, **live}]
    lone_first_rank(tmp_path / "corpus", batch=7)
    corpus = tmp_path / "corpus"
    assert run_ranks(train_synced, tmp_path / "run", corpus, over) == [0, 0], error(tmp_path / "run", 0)
    first, second = result(tmp_path / "run", 0), result(tmp_path / "run", 1)
    assert first["loss"] == second["loss"]
    assert same_weights(first, second)


def lone_first_rank(corpus: Path, *, batch: int) -> None:
    """Break videos so that rank 0 has nothing to train on in the first step of the first epoch."""
    config = open_corpus(corpus)
    exp = cpd_config.experiment(config, "cpd")
    exp = msgspec.structs.replace(exp, train=msgspec.structs.replace(exp.train, batch=batch))
    run = prepare(config, exp, seed=0, world=World())
    for key in [run.clips.table.keys[i] for i in run.clips._order(0)[0][:2]]:  # rank 0's third is then alone
        break_video(config, "pairs", "train", key)


@pytest.mark.parametrize("shared", [pytest.param(False, marks=pytest.mark.slow), True])
def test_uneven_data_does_not_hang(tmp_path: Path, shared: bool) -> None:
    """Fault 75. Steps of 7, 7 and 6 pairs, micro-batches of 3, and a step in which rank 0 has nothing to train on."""
    write_corpus(tmp_path / "corpus")
    lone_first_rank(tmp_path / "corpus", batch=7)
    over = {
        "train": {"batch": 7, "per_rank": 3},
        "objective": {"shard_banks": shared},
        "stages": [{"epochs": 1, "lr": 0.05}],
    }
    assert run_ranks(train, tmp_path / "run", tmp_path / "corpus", over) == [0, 0], error(tmp_path / "run", 0)
    first, second = result(tmp_path / "run", 0), result(tmp_path / "run", 1)
    assert first["loss"] == second["loss"]
    assert same_weights(first, second, but_statistics=True)
