"""Fine-tuning on two gloo ranks: what one rank trains and predicts, on real shards."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from cpd import config as cpd_config
from cpd.engine import distributed
from cpd.engine.checkpoint import Checkpoints
from cpd.finetune import _predict, _prepare
from cpd.finetune.data import open_split
from cpd.pretrain import pretrain
from tests.engine.fork_ranks import error, run_ranks
from tests.small_corpus import break_video, open_corpus, write_corpus

LIMIT = 300  # seconds: a busy machine takes its time, and only a hang takes so long


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of random weights; one of its 32 labelled videos, a test video, cannot be decoded."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    config = open_corpus(folder)
    pretrain(config, "random", seed=0, folder=folder / "results" / "pretrain" / "random")
    data = open_split(config, "acts", split="1", seed=0)
    break_video(config, "acts", "all", data.table.keys[data.test[3]])
    return folder


def tune(folder: Path, corpus: Path) -> None:
    """Predict, train an epoch, validate; each rank writes what it knows. Eight clips a step, four a micro-batch."""
    config = open_corpus(corpus)
    settings = msgspec.structs.replace(config.evaluate.finetune, epochs=1, milestones=(), patience=1, holdout=0.5)
    config = msgspec.structs.replace(config, evaluate=cpd_config.Evaluate(finetune=settings))
    with distributed.joined(timeout_seconds=300) as world:
        data = open_split(config, "acts", split="1", seed=0, holdout=0.5)
        tuning = _prepare(config, "random", data, seed=0, world=world)
        distributed.broadcast_module(tuning.model, world)
        predictions, failed = _predict(data, data.test, tuning, views=settings.test)
        tuning.model.train()
        progress = tuning.train(folder, Checkpoints(folder / "steps", 2, identity={}), stop=lambda: "")
        weights = {name: value.detach().clone() for name, value in tuning.model.named_parameters()}
        told = {"predictions": predictions, "failed": failed, "weights": weights}
        told["losses"] = [row["loss"] for row in progress.history]
        told["validated"] = [row["validation"] for row in progress.history]
        torch.save(told, folder / f"rank-{world.rank}.pt")


def told(folder: Path, rank: int = 0) -> dict:
    return torch.load(folder / f"rank-{rank}.pt", weights_only=True)


@pytest.mark.slow
def test_two_ranks_train_and_predict_as_one(corpus: Path, tmp_path: Path) -> None:
    """Batch norm's statistics are those of each rank while it trains, so later steps agree up to these."""
    assert run_ranks(tune, tmp_path / "one", corpus, size=1, limit=LIMIT) == [0], error(tmp_path / "one", 0)
    assert run_ranks(tune, tmp_path / "two", corpus, limit=LIMIT) == [0, 0], error(tmp_path / "two", 0)
    alone, first, second = told(tmp_path / "one"), told(tmp_path / "two", 0), told(tmp_path / "two", 1)
    assert len(alone["predictions"]) == 15
    assert len(alone["failed"]) == 1
    for rank in (first, second):
        assert list(rank["predictions"]) == list(alone["predictions"]), "every key once, in the order of the videos"
        assert rank["failed"] == alone["failed"]
        for key, mean_K in rank["predictions"].items():
            torch.testing.assert_close(mean_K, alone["predictions"][key], rtol=1e-5, atol=1e-6)
    assert first["losses"] == second["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert first["validated"] == second["validated"]
    assert [row["n"] for row in first["validated"]] == [row["n"] for row in alone["validated"]] == [8, 8, 8]
    for name, value in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], value, rtol=1e-3, atol=1e-4)
