"""`cpd status --runs`: what the files of a run folder say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpd.cli import main
from cpd.engine import log, runlock, states
from cpd.engine.runlock import held
from cpd.engine.signals import Requeue
from cpd.pretrain import pretrain
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def state_of(corpus: Path) -> states.RunState:
    (state,) = states.run_states(open_corpus(corpus))
    return state


def test_from_waiting_to_done(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = open_corpus(corpus)
    folder = Path(config.results) / "pretrain" / "cpd"
    assert (state_of(corpus).state, state_of(corpus).epochs) == ("waiting", 2)

    asked = iter(range(100))
    with pytest.raises(Requeue):
        pretrain(config, "cpd", seed=0, folder=folder, stop=lambda: "SIGTERM" if next(asked) == 3 else "")
    stopped = state_of(corpus)
    assert (stopped.state, stopped.saved_step, stopped.epoch, stopped.holder) == ("stopped", 4, 1, "")

    with held(folder):
        at_work = state_of(corpus)
        assert at_work.state == "training"
        assert f"process {os.getpid()}" in at_work.holder
        path = folder / runlock.NAME
        os.utime(path, (1, 1))
        assert state_of(corpus).state == "silent"

    metrics = pretrain(config, "cpd", seed=0, folder=folder)
    done = state_of(corpus)
    assert (done.state, done.epoch, done.step, done.loss) == ("done", 2, metrics["steps"], metrics["loss"])

    assert main(["status", "--runs", "--json", "--configfile", str(corpus / "config.yaml")]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told == done.as_dict()
    assert main(["status", "--runs", "--configfile", str(corpus / "config.yaml")]) == 0
    assert "2/2" in capsys.readouterr().out


def test_a_log_that_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    assert log.last_rows(path) == []
    path.write_text('{"event": "step", "step": 1}\n{"event": "step", "step": 2}\n{"event": "st')
    assert [row["step"] for row in log.last_rows(path)] == [1, 2]
    monkeypatch.setattr(log, "LAST", 45)  # begins within the first row
    assert [row["step"] for row in log.last_rows(path)] == [2]


def test_looking_needs_no_torch() -> None:
    code = "import sys, cpd.engine.states; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
