"""Pretraining end to end on real shards, an untrained DistilBERT and a network of a few thousand weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from cpd import config as cpd_config
from cpd.cli import main
from cpd.engine.distributed import World
from cpd.engine.log import rows_of
from cpd.engine.signals import Requeue
from cpd.errors import EX_REQUEUE, CpdError
from cpd.models.checkpoint import load_embedder
from cpd.pretrain import pretrain
from cpd.pretrain.run import prepare
from cpd.pretrain.titles import shuffled, titles_of
from tests.small_corpus import SETTINGS, break_video, open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture
def config(corpus: Path) -> cpd_config.Config:
    return open_corpus(corpus)


@pytest.fixture(scope="module")
def trained(corpus: Path) -> Path:
    """The run `cpd`, seed 0."""
    folder = corpus / "results" / "pretrain" / "cpd"
    pretrain(open_corpus(corpus), "cpd", seed=0, folder=folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def after(steps: int):
    """A stop request at the end of the given step."""
    asked = iter(range(1, 1000))
    return lambda: "SIGTERM" if next(asked) >= steps else ""


def test_run_folder_holds_what_was_promised(trained: Path) -> None:
    assert sorted(p.name for p in trained.iterdir()) == [
        "config.json", "metrics.json", "metrics.jsonl", "model.safetensors"
    ]  # fmt: skip
    metrics = json.loads((trained / "metrics.json").read_text())
    assert (metrics["epochs"], metrics["steps"], metrics["clips"], metrics["instances"]) == (2, 6, 40, 20)
    assert metrics["world_size"] == 1
    assert metrics["failed"] == {}
    assert metrics["clips_per_second"] > 0
    assert metrics["history"][1]["loss"] < metrics["history"][0]["loss"]
    assert [row["n"] for row in metrics["validation"]] == [8, 8]
    assert {"r1", "r5", "r10", "median_rank"} <= metrics["validation"][0].keys()
    emb_BD, _ = load_embedder(trained).embed_clips(torch.zeros(2, 4, 24, 24, 3, dtype=torch.uint8))
    assert emb_BD.shape == (2, 16)


def test_again_is_a_no_op_and_another_seed_is_not(config: cpd_config.Config, trained: Path, tmp_path: Path) -> None:
    before = (trained / "model.safetensors").stat().st_mtime_ns
    pretrain(config, "cpd", seed=0, folder=trained)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    pretrain(config, "cpd", seed=0, folder=tmp_path / "again")
    assert same(trained, tmp_path / "again")
    pretrain(config, "cpd", seed=1, folder=tmp_path / "other")
    assert not same(trained, tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "step"), [("cpd", 2), ("cpd", 3), ("nce", 4), ("curriculum", 5), ("channels-last", 4)]
)
def test_stopped_and_resumed_is_bit_equal(config: cpd_config.Config, tmp_path: Path, name: str, step: int) -> None:
    pretrain(config, name, seed=0, folder=tmp_path / "whole")
    with pytest.raises(Requeue, match=f"after step {step}"):
        pretrain(config, name, seed=0, folder=tmp_path / "parts", stop=after(step))
    assert not (tmp_path / "parts" / "metrics.json").exists()
    torch.rand(5)
    pretrain(config, name, seed=0, folder=tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")
    rows = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if row["event"] == "epoch"] == [0, 1]
    assert [(row["step"], row["world_size"]) for row in rows if row["event"] == "step"] == [(3, 1), (6, 1)]


def test_objectives_and_controls_all_train(config: cpd_config.Config, tmp_path: Path) -> None:
    for name in ("ranking", "self", "shuffled"):
        metrics = pretrain(config, name, seed=0, folder=tmp_path / name)
        assert metrics["steps"] == 6
    assert not same(tmp_path / "self", tmp_path / "shuffled")


def test_language_model_trains_in_its_stage_alone(config: cpd_config.Config, tmp_path: Path, trained: Path) -> None:
    pretrain(config, "curriculum", seed=0, folder=tmp_path)
    fresh = prepare(config, cpd_config.experiment(config, "curriculum"), seed=0, world=World())
    start = {f"text.{name}": value for name, value in fresh.model.text.state_dict().items()}
    end = weights(tmp_path)
    assert any(not torch.equal(start[name], end[name]) for name in start)
    assert not any(name.startswith("text.") for name in weights(trained))  # frozen: it is the encoder's


def test_frozen_after_it_was_trained_the_language_model_is_its_average(
    config: cpd_config.Config, tmp_path: Path
) -> None:
    """The features of the last stage are those of the weights that are kept."""
    stages = [{"epochs": 1, "lr": 0.05, "lr_text": 0.05}, {"epochs": 1, "lr": 0.01}]
    case = {"train": {"ema": 0.9}, "stages": stages}
    config = msgspec.structs.replace(config, experiments={**config.experiments, "thawed": case})
    run = prepare(config, cpd_config.experiment(config, "thawed"), seed=0, world=World())
    assert run.ema is not None
    run.enter_stage(0)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.add_(0.1)
    run.ema.update()
    video = {name: p.clone() for name, p in run.model.named_parameters() if not name.startswith("text.")}
    run.enter_stage(1)
    index = torch.tensor([0, 3])
    seen = run.titles(index)
    assert all(torch.equal(p, video[name]) for name, p in run.model.named_parameters() if name in video)
    run.ema.copy_in()
    kept = run.model.text.encode([run.titles.titles[i] for i in index.tolist()])
    torch.testing.assert_close(seen, kept, rtol=0, atol=0)
    pretrain(config, "thawed", seed=0, folder=tmp_path / "run")


def test_frozen_features_equal_live_ones(config: cpd_config.Config) -> None:
    run = prepare(config, cpd_config.experiment(config, "cpd"), seed=0, world=World())
    run.model.train()
    index = torch.tensor([3, 0, 3])
    live = run.titles(index)
    run.enter_stage(0)
    assert run.titles.features_NE is not None
    torch.testing.assert_close(run.titles(index), live.detach())


def test_random_initialisation_needs_no_shards(config: cpd_config.Config, tmp_path: Path) -> None:
    bare = msgspec.structs.replace(config, results=str(tmp_path / "nothing"))
    metrics = pretrain(bare, "random", seed=0, folder=tmp_path / "run")
    assert (metrics["steps"], metrics["loss"]) == (0, None)
    fresh = prepare(config, cpd_config.experiment(config, "cpd"), seed=0, world=World())
    wanted = fresh.model.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in weights(tmp_path / "run").items())


def test_broken_video_is_counted_by_key(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus, tmp_path / "corpus")
    config = msgspec.structs.replace(open_corpus(corpus), results=str(tmp_path / "corpus" / "results"))
    table = prepare(config, cpd_config.experiment(config, "cpd"), seed=0, world=World()).clips.table
    break_video(config, "pairs", "train", table.keys[5])
    metrics = pretrain(config, "cpd", seed=0, folder=tmp_path / "run")
    assert table.keys[5] in metrics["failed"]
    assert metrics["clips"] < 40
    for key in table.keys[6:10]:
        break_video(config, "pairs", "train", key)
    with pytest.raises(CpdError, match="of 20 samples cannot be used"):
        pretrain(config, "cpd", seed=0, folder=tmp_path / "more")


def test_missing_index_and_other_data_are_told(config: cpd_config.Config, tmp_path: Path) -> None:
    with pytest.raises(CpdError, match=r"index.json: no such file"):
        pretrain(msgspec.structs.replace(config, results=str(tmp_path)), "cpd", seed=0, folder=tmp_path / "run")
    with pytest.raises(Requeue):
        pretrain(config, "cpd", seed=0, folder=tmp_path / "run", stop=after(1))
    with pytest.raises(CpdError, match=r"experiment: cpd -> shuffled"):
        pretrain(config, "shuffled", seed=0, folder=tmp_path / "run")


def test_titles_fall_back_to_title_clean_and_never_to_nothing() -> None:
    rows = [{"title_tree": "", "title_clean": "a cat"}, {"title_tree": "dog runs", "title_clean": "the dog runs"}]
    assert titles_of(SimpleNamespace(meta=rows, keys=["k0", "k1"]), "title_tree") == ["a cat", "dog runs"]
    rows[0]["title_clean"] = ""
    with pytest.raises(CpdError, match="1 samples have no title_tree, first k0"):
        titles_of(SimpleNamespace(meta=rows, keys=["k0", "k1"]), "title_tree")


def test_a_stage_may_have_a_warm_up_of_its_own(config: cpd_config.Config) -> None:
    one = cpd_config.experiment(config, "curriculum")
    stages = (
        msgspec.structs.replace(one.stages[0], warmup_epochs=None),
        msgspec.structs.replace(one.stages[1], warmup_epochs=0),
    )
    changed = msgspec.structs.replace(one, stages=stages, train=msgspec.structs.replace(one.train, warmup_epochs=2))
    plan = prepare(config, changed, seed=0, world=World()).plan()
    assert [stage.warmup_epochs for stage in plan.stages] == [2, 0]


def test_a_compiled_network_is_the_same_network(
    config: cpd_config.Config, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the backend that only traces: inductor needs a C++ compiler, which a test may not ask for."""
    compiled: list[torch.nn.Module] = []
    real = torch.nn.Module.compile

    def traced(module: torch.nn.Module) -> None:
        compiled.append(module)
        real(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    own = {**config.experiments, "compiled": {"train": {**SETTINGS["train"], "compile": True}}}
    pretrain(msgspec.structs.replace(config, experiments=own), "compiled", seed=0, folder=tmp_path / "run")
    assert [type(module).__name__ for module in compiled] == ["SlowResNet"]
    assert weights(tmp_path / "run").keys() == weights(trained).keys()
    for name, value in weights(tmp_path / "run").items():
        torch.testing.assert_close(value, weights(trained)[name], rtol=1e-3, atol=1e-4, msg=name)


def test_shuffling_moves_every_title_and_keeps_them_all() -> None:
    titles = [f"title {i}" for i in range(50)]
    moved = shuffled(titles, seed=0)
    assert Counter(moved) == Counter(titles)
    assert all(a != b for a, b in zip(moved, titles, strict=True))
    assert moved == shuffled(titles, seed=0) != shuffled(titles, seed=1)


def test_command_trains_and_dry_run_does_not(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--output", str(tmp_path / "run"), "--configfile", str(corpus / "config.yaml")]
    assert main(["pretrain", "cpd", "--dry-run", "--gpus", "1", *arguments]) == 0
    told = capsys.readouterr().out
    assert "20 pairs, 8 held out" in told
    assert "3 steps an epoch of 8 clips" in told
    assert not (tmp_path / "run").exists()
    assert main(["pretrain", "cpd", *arguments]) == 0
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert main(["pretrain", "cdp", *arguments]) == 2
    assert "did you mean 'cpd'?" in capsys.readouterr().err


def test_fewer_shards_than_workers_stop_before_anything_is_written(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over = tmp_path / "over.yaml"
    over.write_text("defaults: {train: {workers: 50}}")
    arguments = ["--output", str(tmp_path / "run"), "--configfile", str(corpus / "config.yaml"), str(over)]
    assert main(["pretrain", "cpd", *arguments]) == 2
    assert "cannot feed 1 ranks x 50 workers" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_ranks_by_torchrun_and_a_signal(corpus: Path, tmp_path: Path) -> None:
    """`--gpus 2` without GPUs is two gloo ranks; SIGTERM to the command saves, and 85 comes back."""
    import time

    command = [
        sys.executable,
        "-m",
        "cpd",
        "pretrain",
        "channels-last",
        "--gpus",
        "2",
        "--configfile",
        str(corpus / "config.yaml"),
    ]
    root = Path(__file__).parent.parent
    whole = subprocess.run([*command, "--output", str(tmp_path / "whole")], cwd=root, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    assert json.loads((tmp_path / "whole" / "metrics.json").read_text())["world_size"] == 2
    steps = [row for row in rows_of(tmp_path / "whole" / "metrics.jsonl") if row["event"] == "step"]
    assert {row["world_size"] for row in steps} == {2}
    part = subprocess.Popen([*command, "--output", str(tmp_path / "part")], cwd=root, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "part" / "metrics.jsonl").exists() and part.poll() is None:
        time.sleep(0.05)
    os.kill(part.pid, signal.SIGTERM)
    _, told = part.communicate(timeout=120)
    if part.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert part.returncode == EX_REQUEUE, told
    assert subprocess.run([*command, "--output", str(tmp_path / "part")], cwd=root, check=True)
    assert same(tmp_path / "whole", tmp_path / "part")
