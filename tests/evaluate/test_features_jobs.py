"""`cpd features` as a job: stopped by a warning signal, and two at once for one split."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from cpd.cli import main
from cpd.config import Config, load_config
from cpd.engine import distributed, runlock, together
from cpd.engine.signals import watching
from cpd.errors import EX_REQUEUE, EX_TEMPFAIL
from cpd.evaluate import embed, features
from cpd.pretrain import pretrain
from tests.engine.fork_ranks import error, run_ranks
from tests.small_corpus import write_corpus

RUN, VIDEOS, PART = "random", 32, 8
SMALL = "evaluate: {features: {clips: 2, frames: 4, stride: 2, size: 24}}\ndefaults: {train: {workers: 0}}\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    (folder / "small.yaml").write_text(SMALL)
    pretrain(open_small(folder), RUN, seed=0, folder=folder / "results" / "pretrain" / RUN)
    return folder


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "PART", PART)
    for name in ("SLURM_JOB_ID", "RANK", "TORCHELASTIC_RUN_ID", "CPD_NODES", runlock.HELD):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(corpus: Path) -> Path:
    """Of the features, which are not there, nor any part of them."""
    path = features.features_path(open_small(corpus), RUN, source="acts", split="all")
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_suffix(".parts"), ignore_errors=True)
    return path


def open_small(corpus: Path) -> Config:
    return load_config(corpus / "config.yaml", corpus / "small.yaml")


def command(corpus: Path) -> list[str]:
    configs = [str(corpus / "config.yaml"), str(corpus / "small.yaml")]
    return ["features", "--run", RUN, "--source", "acts", "--split", "all", "--configfile", *configs]


def parts(path: Path) -> list[str]:
    return sorted(part.name for part in path.with_suffix(".parts").rglob("*.npz"))


def after_write(monkeypatch: pytest.MonkeyPatch, act) -> list[int]:  # type: ignore[no-untyped-def]
    """Call `act` after each part; returns the list that gets the first instances of the parts written."""
    written: list[int] = []
    write = embed.Parts.write

    def wrapped(self: embed.Parts, first: int, part: embed.Embedded) -> None:
        write(self, first, part)
        written.append(first)
        act()

    monkeypatch.setattr(embed.Parts, "write", wrapped)
    return written


def put_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scripts in the place of Slurm's commands; returns the file that gets what they are asked."""
    for name, answer in (("squeue", "echo RUNNING"), ("scontrol", "true")):
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {folder}/asked\n{answer}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    return folder / "asked"


def test_a_warning_requeues_the_job_and_no_part_is_made_twice(
    corpus: Path, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command(corpus)) == 0
    whole = path.read_bytes()
    path.unlink()
    asked = put_slurm(tmp_path, monkeypatch)
    with monkeypatch.context() as during:
        written = after_write(during, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert main(command(corpus)) == EX_REQUEUE
    assert written == [0]
    assert "scontrol requeue 5" in asked.read_text().splitlines()
    assert (parts(path), path.exists()) == (["000000000.npz"], False)
    assert not (path.with_suffix(".parts") / runlock.NAME).exists(), "who starts again need not wait"
    written = after_write(monkeypatch, lambda: None)
    assert main(command(corpus)) == 0
    assert (written, path.read_bytes()) == ([8, 16, 24], whole)
    assert list(path.parent.iterdir()) == [path]


def test_a_second_job_waits_and_takes_what_the_first_made(
    corpus: Path, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's parts are removed under its eyes while it looks at the lock every moment."""
    monkeypatch.setattr(runlock, "LOOK", 0.01)
    assert main(command(corpus)) == 0
    path.rename(tmp_path / "made")
    code = """
import os, sys
from pathlib import Path
from cpd.engine.runlock import held
from cpd.evaluate.embed import Parts
folder, made, path = map(Path, sys.argv[1:])
with held(folder):
    (folder / "abc").mkdir()
    (folder / "abc" / "000000000.npz").touch()
    print("held", flush=True)
    sys.stdin.read()
    os.replace(made, path)
    Parts(folder, identity={}).remove()
"""
    arguments = [str(path.with_suffix(".parts")), str(tmp_path / "made"), str(path)]
    written = after_write(monkeypatch, lambda: None)
    first = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with first:
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        threading.Timer(1.0, first.stdin.close).start()
        assert main(command(corpus)) == 0
    assert first.returncode == 0
    assert written == []
    assert list(path.parent.iterdir()) == [path]


def test_parts_are_removed_under_who_waits_for_their_lock(tmp_path: Path) -> None:
    folder = tmp_path / "x.parts"
    for name in ("abc/000000000.npz", "def/000000000.npz", runlock.NAME):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    embed.Parts(folder, identity={}).remove()
    assert list(folder.iterdir()) == [folder / runlock.NAME]
    (folder / runlock.NAME).unlink()
    embed.Parts(folder, identity={}).remove()
    assert not folder.exists()
    embed.Parts(folder, identity={}).remove()


def test_who_lost_the_lock_of_the_parts_writes_no_features(
    corpus: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = runlock.Holder(host="other", space="pid:[1]", pid=7, started=1, job="41", token="t")
    lock = path.with_suffix(".parts") / runlock.NAME
    after_write(monkeypatch, lambda: lock.write_bytes(msgspec.json.encode(other)))
    assert main(command(corpus)) == EX_TEMPFAIL
    assert (len(parts(path)), path.exists()) == (VIDEOS // PART, False)
    assert runlock.read(lock) == other
    lock.unlink()


def stop_one(folder: Path, corpus: Path) -> None:
    """Of two ranks only the second is asked to stop, after its first part."""
    embed.PART = 4
    write = embed.Parts.write

    def asking(self: embed.Parts, first: int, part: embed.Embedded) -> None:
        write(self, first, part)
        if world.rank:
            os.kill(os.getpid(), signal.SIGTERM)

    embed.Parts.write = asking  # type: ignore[method-assign]
    features.code_digest = lambda *modules: "the code may be edited while this runs"  # type: ignore[attr-defined]
    with watching() as request, distributed.joined(timeout_seconds=60) as world:
        config = open_small(corpus)
        stop = runlock.checked(lambda: request.reason)
        parts = features.parts_folder(config, RUN, source="acts", split="all")
        with together.held(parts, stop=stop, world=world):
            features.extract(config, RUN, source="acts", split="all", world=world, stop=stop)


@pytest.mark.slow
def test_all_ranks_leave_when_one_is_asked(corpus: Path, path: Path, tmp_path: Path) -> None:
    assert run_ranks(stop_one, tmp_path, corpus) == [EX_REQUEUE] * 2, error(tmp_path, 0) + error(tmp_path, 1)
    assert (len(parts(path)), path.exists()) == (2, False), "one part each"


def wait_in_vain(folder: Path, parts: Path) -> None:
    """The first of two ranks is asked to stop while it waits for the lock."""
    with watching() as request, distributed.joined(timeout_seconds=60) as world:
        if world.first:
            threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with together.held(parts, stop=lambda: request.reason, world=world):
            (folder / f"entered-{world.rank}").touch()


@pytest.mark.slow
def test_all_ranks_leave_when_the_first_gives_up_waiting(tmp_path: Path) -> None:
    with runlock.held(tmp_path / "parts"):
        os.environ.pop(runlock.HELD)  # else the ranks take this process for their parent
        try:
            assert run_ranks(wait_in_vain, tmp_path, tmp_path / "parts") == [EX_REQUEUE] * 2, error(tmp_path, 0)
        finally:
            os.environ[runlock.HELD] = "given back"
    assert not list(tmp_path.glob("entered-*"))
