"""A fine-tuning that is asked to stop in its test: all ranks leave, and the next one only tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cpd.cli import main
from cpd.engine import distributed
from cpd.engine.signals import watching
from cpd.errors import EX_REQUEUE
from cpd.evaluate.result import read_result, result_path
from cpd.finetune import _predict, _prepare, checkpoint_folder
from cpd.finetune import run as finetune_run
from cpd.finetune import views as finetune_views
from cpd.finetune.data import open_split
from cpd.pretrain import pretrain
from tests.engine.fork_ranks import error, run_ranks
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    pretrain(open_corpus(folder), "random", seed=0, folder=folder / "results" / "pretrain" / "random")
    return folder


def counted(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> list[int]:
    """Calls of a function, one entry each."""
    calls: list[int] = []
    function = getattr(module, name)

    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        calls.append(1)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, call)
    return calls


def asking(function, *, at: int):  # type: ignore[no-untyped-def]
    """The function, which sends its own process SIGTERM at call number `at`."""
    calls = iter(range(1, 1000))

    def call(*args, **kwargs):  # type: ignore[no-untyped-def]
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return function(*args, **kwargs)

    return call


def test_stopped_in_its_test_it_is_requeued_and_then_only_tests(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    config = open_corpus(corpus)
    arguments = ["--run", "random", "--dataset", "acts", "--split", "1", "--configfile", str(corpus / "config.yaml")]
    path = result_path(config, "random", protocol="finetune", dataset="acts", split="1")
    assert main(["finetune", *arguments]) == 0
    whole = read_result(path).values
    path.unlink()
    steps = counted(monkeypatch, finetune_run.Finetuning, "step")
    tested = counted(monkeypatch, finetune_views, "_mean_softmax")
    with monkeypatch.context() as during:
        during.setattr(finetune_views, "_mean_softmax", asking(finetune_views._mean_softmax, at=3))
        assert main(["finetune", *arguments]) == EX_REQUEUE
    assert (len(tested), bool(steps)) == (3, True), "no video after the signal"
    assert "stopped by SIGTERM; the state is saved" in capsys.readouterr().err
    assert not path.exists()
    assert list((checkpoint_folder(config, "random", "acts", "1") / "steps").iterdir())
    steps.clear()
    assert main(["finetune", *arguments]) == 0
    assert (steps, read_result(path).values) == ([], whole)


def stop_one(folder: Path, corpus: Path) -> None:
    """Only the second of two ranks is asked to stop, before its second video; the first has one video more."""
    config = open_corpus(corpus)
    with watching() as request, distributed.joined(timeout_seconds=60) as world:
        data = open_split(config, "acts", split="1", seed=0)
        tuning = _prepare(config, "random", data, seed=0, world=world)
        seen: list[str] = []
        mean = finetune_views._mean_softmax
        finetune_views._mean_softmax = asking(mean, at=1) if world.rank else mean
        finetune_views.tqdm = lambda batches, **options: _noted(batches, seen)  # type: ignore[assignment,attr-defined]
        try:
            _predict(data, data.test[:7], tuning, views=tuning.settings.test, stop=lambda: request.reason)
        finally:
            (folder / f"seen-{world.rank}").write_text(str(len(seen)))


def _noted(batches, seen: list[str]):  # type: ignore[no-untyped-def]
    for batch in batches:
        seen.append(batch.key)
        yield batch


def test_all_ranks_leave_when_one_is_asked(corpus: Path, tmp_path: Path) -> None:
    assert run_ranks(stop_one, tmp_path, corpus) == [EX_REQUEUE] * 2, error(tmp_path, 0) + error(tmp_path, 1)
    assert [(tmp_path / f"seen-{rank}").read_text() for rank in (0, 1)] == ["1", "1"]
    assert "another rank's signal" in error(tmp_path, 0)
    assert "SIGTERM" in error(tmp_path, 1)
