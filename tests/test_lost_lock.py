"""A run that was cut off and comes back: whoever lost the lock leaves all files to the one that took it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cpd import finetune, pretrain
from cpd.cli import main
from cpd.engine import distributed, runlock
from cpd.engine.runlock import Holder
from cpd.errors import EX_TEMPFAIL
from cpd.pretrain.build import build_model
from cpd.pretrain.run import Pretraining
from tests.engine.fork_ranks import error, run_ranks
from tests.engine.toy_task import STEPS, Toy
from tests.small_corpus import open_corpus, write_corpus

OTHER = Holder(host="other", space="pid:[1]", pid=7, started=1, job="41", token="t")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "RANK", runlock.HELD):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    config = open_corpus(folder)
    pretrain.pretrain(config, "random", seed=0, folder=folder / "results" / "pretrain" / "random")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Thief:
    """Wraps a function: at its call number `at` another job takes the lock, and all files are noted."""

    def __init__(self, lock: Path, function, *, at: int = 1) -> None:  # type: ignore[no-untyped-def]
        self.lock, self.function, self.left = lock, function, at
        self.before: dict[str, bytes] = {}

    def __call__(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        found = self.function(*args, **kwargs)
        self.left -= 1
        if not self.left:
            self.lock.write_bytes(msgspec.json.encode(OTHER))
            self.before = files(self.lock.parent)
        return found


@pytest.mark.parametrize(("where", "at"), [("validate", 2), ("train", 1)])
def test_a_training_that_lost_its_lock_leaves_everything_as_it_is(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, at: int
) -> None:
    """In the last validation, and after it: no weights, no metrics, no checkpoint more, none less."""
    thief = Thief(tmp_path / runlock.NAME, getattr(Pretraining, where), at=at)
    monkeypatch.setattr(Pretraining, where, lambda *args, **kwargs: thief(*args, **kwargs))
    assert main(["pretrain", "cpd", "--output", str(tmp_path), "--configfile", str(corpus / "config.yaml")]) == 75
    assert any(name.startswith("checkpoints/") for name in thief.before)
    assert files(tmp_path) == thief.before
    assert not (tmp_path / "metrics.json").exists()


def test_initial_weights_are_not_written_either(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thief = Thief(tmp_path / runlock.NAME, build_model)
    monkeypatch.setattr("cpd.pretrain.build_model", thief)
    assert main(["pretrain", "random", "--output", str(tmp_path), "--configfile", str(corpus / "config.yaml")]) == 75
    assert list(files(tmp_path)) == [runlock.NAME]


def test_a_fine_tuning_that_lost_its_lock_writes_no_result(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finetune.checkpoint_folder(open_corpus(corpus), "random", "acts", "1")
    thief = Thief(folder / runlock.NAME, finetune._test)
    monkeypatch.setattr(finetune, "_test", thief)
    arguments = ["--run", "random", "--dataset", "acts", "--split", "1", "--configfile", str(corpus / "config.yaml")]
    assert main(["finetune", *arguments]) == 75
    assert "taken over by job 41" in capsys.readouterr().err
    assert any(name.startswith("steps/") for name in thief.before)
    assert files(folder) == thief.before
    assert not list(folder.parent.parent.glob("*.json"))


def lose(folder: Path) -> None:
    """The first of two ranks holds the lock and loses it in the last validation."""
    with distributed.joined(timeout_seconds=20) as world, runlock.held(folder):
        toy = Toy(folder, world=world)
        validated = []

        def score(stage: int) -> float:
            validated.append(stage)
            if world.first and len(validated) == 3:
                (folder / runlock.NAME).write_bytes(msgspec.json.encode(OTHER))
            return float(len(validated))

        toy.scores = score
        toy.run()


def test_all_ranks_leave_with_the_one_that_lost_the_lock(tmp_path: Path) -> None:
    assert run_ranks(lose, tmp_path) == [EX_TEMPFAIL, EX_TEMPFAIL], error(tmp_path, 0) + error(tmp_path, 1)
    assert "taken over by job 41" in error(tmp_path, 1)
    assert Toy(tmp_path).checkpoints.steps() == [STEPS, 2 * STEPS]
