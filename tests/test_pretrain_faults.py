"""Faults of a real pretraining run: resumed as another, data that changed, NaN, options that must survive a stop."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from cpd import config as cpd_config
from cpd.cli import main
from cpd.config import Config
from cpd.engine.signals import Requeue
from cpd.errors import EX_REQUEUE, CpdError
from cpd.pretrain import pretrain
from cpd.pretrain import run as run_module
from cpd.shards import loader
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def changed(config: Config, over: dict) -> Config:
    """The experiment `cpd` with some settings changed."""
    return msgspec.structs.replace(config, experiments={**config.experiments, "cpd": over})


def after(steps: int):
    asked = iter(range(1, 1000))
    return lambda: "SIGTERM" if next(asked) >= steps else ""


def stopped(config: Config, folder: Path, *, steps: int = 2) -> None:
    with pytest.raises(Requeue):
        pretrain(config, "cpd", seed=0, folder=folder, stop=after(steps))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    one, two = weights(a), weights(b)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("over", "what"),
    [
        ({"train": {"batch": 10}}, "settings.train.batch: 8 -> 10"),
        ({"objective": {"tau": 0.1}}, r"settings.objective.tau: 0.07 -> 0.1"),
        ({"heads": {"dim": 8}}, "settings.heads.dim: 16 -> 8"),
    ],
)
def test_a_run_is_not_resumed_as_another(corpus: Path, tmp_path: Path, over: dict, what: str) -> None:
    """Fault 66. The message lists what differs, and the checkpoints stay."""
    config = open_corpus(corpus)
    stopped(config, tmp_path)
    before = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    with pytest.raises(CpdError, match=what):
        pretrain(changed(config, over), "cpd", seed=0, folder=tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == before


def test_other_code_or_more_ranks_are_not_resumed(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 66."""
    config = open_corpus(corpus)
    stopped(config, tmp_path)
    monkeypatch.setattr("cpd.pretrain.code_digest", lambda *modules: "other")
    with pytest.raises(CpdError, match=r"code: \w+ -> other"):
        pretrain(config, "cpd", seed=0, folder=tmp_path)


def test_a_takedown_is_not_met_by_old_banks(tmp_path: Path) -> None:
    """Fault 67. Without one pair, instances mean other pairs: the banks of the checkpoint are refused."""
    write_corpus(tmp_path / "corpus")
    config = open_corpus(tmp_path / "corpus")
    stopped(config, tmp_path / "run")
    folder = Path(config.results) / "sources" / "pairs" / "shards"
    index = json.loads((folder / "index.json").read_text())
    taken = index["train"]["shards"].pop(1)  # as if its videos had been taken down
    index["train"]["n"] -= taken["n"]
    for shard in index["train"]["shards"][1:]:
        shard["offset"] -= taken["n"]
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(CpdError, match=rf"instances: 20 -> {20 - taken['n']}\n  pairs_sha256"):
        pretrain(config, "cpd", seed=0, folder=tmp_path / "run")


def test_all_checkpoints_bad_is_a_failing_command(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 69. Non-zero, told in words, and nothing is overwritten."""
    stopped(open_corpus(corpus), tmp_path)
    for path in (tmp_path / "checkpoints").glob("step-*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    arguments = ["pretrain", "cpd", "--output", str(tmp_path), "--configfile", str(corpus / "config.yaml")]
    with pytest.warns(UserWarning, match="not usable"):
        assert main(arguments) != 0
    assert "can be read" in capsys.readouterr().err
    assert not (tmp_path / "metrics.json").exists()
    assert all(path.stat().st_size == 100 for path in (tmp_path / "checkpoints").glob("step-*.pt"))


def test_a_clip_that_poisons_the_loss_stops_the_command(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 73. The keys of its batch are in not_finite.json, and the good checkpoint goes on once it is mended."""
    config = open_corpus(corpus)
    pretrain(config, "cpd", seed=0, folder=tmp_path / "whole")
    stopped(config, tmp_path / "run", steps=3)
    real = run_module.to_model
    monkeypatch.setattr(run_module, "to_model", lambda clip: real(clip) * torch.nan)
    with pytest.raises(CpdError, match="step 3: loss is not finite"):
        pretrain(config, "cpd", seed=0, folder=tmp_path / "run")
    told = json.loads((tmp_path / "run" / "not_finite.json").read_text())
    assert told["step"] == 3
    assert sum(len(part["keys"]) for part in told["ranks"][0]) == 8
    monkeypatch.undo()
    pretrain(config, "cpd", seed=0, folder=tmp_path / "run")
    assert same(tmp_path / "run", tmp_path / "whole")


def test_a_loader_process_that_is_killed_costs_no_step(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 63. An error at once, non-zero; the checkpoint goes on with the same result."""
    config = open_corpus(corpus)
    pretrain(config, "cpd", seed=0, folder=tmp_path / "whole")
    stopped(config, tmp_path / "run", steps=4)
    real, main_process, calls = loader.decode_frames, os.getpid(), iter(range(1000))

    def deadly(video: bytes, wanted: list[int]) -> object:
        if os.getpid() != main_process and next(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(video, wanted)

    monkeypatch.setattr(loader, "decode_frames", deadly)
    over = tmp_path / "workers.yaml"
    over.write_text("defaults: {train: {workers: 1}}")
    arguments = ["--output", str(tmp_path / "run"), "--configfile", str(corpus / "config.yaml"), str(over)]
    assert main(["pretrain", "cpd", *arguments]) not in (0, EX_REQUEUE)
    assert "a loader process died or hung" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["pretrain", "cpd", *arguments]) == 0
    assert same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize(
    "over",
    [
        {"train": {"ema": 0.9}},
        {"train": {"deterministic": True, "schedule": "step", "milestones": [1]}},
        {"objective": {"name": "info_nce", "mask_equal_titles": True}},
        {"objective": {"estimator": "nce", "noise": 8, "log_z": "ema", "mask_equal_titles": True}},
    ],
)
def test_options_survive_a_stop_bit_for_bit(corpus: Path, tmp_path: Path, over: dict) -> None:
    config = changed(open_corpus(corpus), over)
    pretrain(config, "cpd", seed=0, folder=tmp_path / "whole")
    stopped(config, tmp_path / "parts", steps=4)
    pretrain(config, "cpd", seed=0, folder=tmp_path / "parts")
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_ema_is_what_is_saved_and_validated(corpus: Path, tmp_path: Path) -> None:
    config = open_corpus(corpus)
    plain = pretrain(config, "cpd", seed=0, folder=tmp_path / "plain")
    slow = pretrain(changed(config, {"train": {"ema": 0.999}}), "cpd", seed=0, folder=tmp_path / "slow")
    assert [row["loss"] for row in slow["history"]] == [row["loss"] for row in plain["history"]]
    fresh = run_module.prepare(config, cpd_config.experiment(config, "cpd"), seed=0, world=run_module.World())
    start, name = fresh.model.state_dict(), "video_head.weight"
    moved = {run: (weights(tmp_path / run)[name] - start[name]).norm() for run in ("plain", "slow")}
    assert 0 < moved["slow"] < 0.02 * moved["plain"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_and_log_tell_what_a_person_asks(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    pretrain(open_corpus(corpus), "cpd", seed=0, folder=tmp_path)
    bar = screen.getvalue()
    assert re.search(r"40/40 \[\d+:\d+<\d+:\d+, +[\d.]+clip/s", bar)  # clips, time gone, time left, speed
    for words in ("loss=", "v2t=", "t2v=", "lr_rest=", "step=", "data=", "val_r1="):
        assert words in bar
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    step = next(row for row in rows if row["event"] == "step")
    assert {
        "loss",
        "v2t",
        "t2v",
        "lr",
        "lrs",
        "clips_per_second",
        "data_seconds",
        "seconds",
        "grad_norm",
    } <= step.keys()
    assert step["lrs"] == {"rest": 0.05, "text": 0.0}


@pytest.mark.slow
def test_four_kills_of_the_command_change_nothing(corpus: Path, tmp_path: Path) -> None:
    """Fault 65, on real shards. And SIGTERM or SIGUSR1 at a random moment ends in 85 (fault 74)."""
    pretrain(open_corpus(corpus), "curriculum", seed=0, folder=tmp_path / "whole")
    over = tmp_path / "often.yaml"
    over.write_text("defaults: {train: {checkpoint_minutes: 0.0}}")
    files = ["--configfile", str(corpus / "config.yaml"), str(over)]
    command = [sys.executable, "-m", "cpd", "pretrain", "curriculum", "--output", str(tmp_path / "run"), *files]
    root, rng = Path(__file__).parent.parent, random.Random(5)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGUSR1, signal.SIGKILL, signal.SIGKILL):
        child = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL)
        seen = len(list((tmp_path / "run").glob("checkpoints/step-*.json")))
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
            if len(list((tmp_path / "run").glob("checkpoints/step-*.json"))) > min(seen, 1):
                break
        time.sleep(rng.uniform(0, 0.1))
        if child.poll() is None:
            os.kill(child.pid, number)
        code = child.wait(60)
        assert code in (-number, EX_REQUEUE, 0)
    assert subprocess.run(command, cwd=root, check=True, stderr=subprocess.DEVNULL)
    assert same(tmp_path / "run", tmp_path / "whole")
    shutil.rmtree(tmp_path / "run")
