"""Temporal persistency end to end on real shards: four methods, alone and beside titles."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from small_corpus import break_video, open_corpus, write_corpus

from cpd.cli import main
from cpd.config import Config, experiment
from cpd.engine.distributed import World
from cpd.engine.signals import Requeue
from cpd.errors import CpdError
from cpd.finetune import finetune
from cpd.models.checkpoint import load_embedder, load_video
from cpd.pretrain import beside_titles, persistency, pretrain

METHODS = ("moco", "simclr", "byol", "swav")
SMALL = {"clips": 2, "dim": 8, "hidden": 16, "queue": 12, "prototypes": 6}
OPTIMIZER = {"moco": {}, "simclr": {"optimizer": "lars", "weight_decay": 1.0e-6}}
NAMES = [*(f"rho-{method}" for method in METHODS), "rho-one", "rho-three", "beside-moco", "beside-byol"]


def objective(method: str, **over: object) -> dict:
    own = {key: value for key, value in SMALL.items() if method == "moco" or key != "queue"}
    return {"name": "persistency", "rho": {"method": method, **own, **over}}


def cases() -> dict[str, dict]:
    alone = {
        f"rho-{method}": {"objective": objective(method), "train": OPTIMIZER.get(method, {})} for method in METHODS
    }
    beside = {"stages": [{"epochs": 1, "lr": 0.05}, {"epochs": 1, "lr": 0.01, "lr_text": 0.01}]}
    return {
        **alone,
        "rho-one": {"objective": objective("moco", clips=1)},
        "rho-three": {"objective": objective("swav", clips=3)},
        "beside-moco": {"objective": {**objective("moco"), "name": "cross_pair"}, **beside},
        "beside-byol": {"objective": {**objective("byol", weight=0.5), "name": "ranking"}},
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture
def config(corpus: Path) -> Config:
    opened = open_corpus(corpus)
    return msgspec.structs.replace(opened, experiments={**opened.experiments, **cases()})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def after(steps: int):
    asked = iter(range(1, 1000))
    return lambda: "SIGTERM" if next(asked) >= steps else ""


@pytest.mark.parametrize("name", NAMES)
def test_stopped_and_resumed_is_bit_equal(config: Config, tmp_path: Path, name: str) -> None:
    """Queue, momentum encoder, prototypes and counters go with the checkpoint; the queue is filled once."""
    step = 1 + NAMES.index(name) % 5
    metrics = pretrain(config, name, seed=0, folder=tmp_path / "whole")
    assert (metrics["epochs"], metrics["steps"], metrics["clips"]) == (2, 6, 40)
    with pytest.raises(Requeue):
        pretrain(config, name, seed=0, folder=tmp_path / "parts", stop=after(step))
    torch.rand(5)
    pretrain(config, name, seed=0, folder=tmp_path / "parts")
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    losses = [json.loads((tmp_path / part / "metrics.json").read_text())["history"] for part in ("whole", "parts")]
    assert losses[0] == losses[1]
