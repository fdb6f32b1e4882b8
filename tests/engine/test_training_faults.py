"""What must not happen to a run: defects (b) and (f) of the authors' code, and faults 65 to 75."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cpd.engine import distributed, optim
from cpd.engine.checkpoint import Checkpoints
from cpd.errors import EX_REQUEUE, EX_TEMPFAIL, CpdError
from tests.engine.fork_ranks import error, run_ranks
from tests.engine.toy_task import STEPS, Toy, train

FEW = (optim.Stage(epochs=3, lrs={"rest": 0.1}),)


def rows(folder: Path, event: str) -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def learnt(folder: Path) -> list[tuple]:
    return [(row["step"], row["loss"], row["grad_norm"], row["half"]) for row in rows(folder, "step")]


def result(folder: Path, rank: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"result-{rank}.pt", weights_only=True)


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def train_from_own_heads(folder: Path) -> None:
    """Each rank replaces the last layer by one of its own before training, as the authors' fine-tuning did."""
    with distributed.joined(timeout_seconds=20) as world:
        toy = Toy(folder, world=world, dropout=0.0)
        torch.manual_seed(100 + world.rank)
        toy.module[3] = torch.nn.Linear(8, 4)
        toy.optimizer = optim.build("sgd", {"rest": toy.module.parameters()}, weight_decay=1e-3)
        torch.save(toy.module[3].weight.detach().clone(), folder / f"start-{world.rank}.pt")
        toy.run()
        torch.save(toy.result(), folder / f"result-{world.rank}.pt")


def test_defect_b_a_replaced_head_is_one_head_on_all_ranks(tmp_path: Path) -> None:
    assert run_ranks(train_from_own_heads, tmp_path) == [0, 0], error(tmp_path, 0) + error(tmp_path, 1)
    starts = [torch.load(tmp_path / f"start-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert not torch.equal(*starts)
    assert equal(result(tmp_path, 0), result(tmp_path, 1))


def test_defect_f_stages_and_lr_move_without_any_validation(tmp_path: Path) -> None:
    """The authors' lr decay and unfreezing sat inside `if not no_val`."""
    stages = (optim.Stage(epochs=2, lrs={"rest": 0.1}, patience=1), optim.Stage(epochs=1, lrs={"rest": 0.01}))
    toy = Toy(tmp_path, stages=stages, scores=None)
    toy.run()
    assert toy.stages_entered == [0, 1]
    assert [row["lr"] for row in rows(tmp_path, "step")] == [0.1] * 2 * STEPS + [0.01] * STEPS


@pytest.mark.slow
def test_four_kills_at_random_steps_change_nothing(tmp_path: Path) -> None:
    """Fault 65. Weights, bank and loss log equal those of the run that nobody killed."""
    assert run_ranks(train, tmp_path / "whole", "run", size=1) == [0]
    rng, folder = random.Random(7), tmp_path / "killed"
    for _ in range(4):
        at = rng.randint(1, 9)  # micro-batches of this process: it gets 0 to 3 steps further
        assert run_ranks(train, folder, f"kill:{at}", size=1) == [-signal.SIGKILL], error(folder, 0)
    assert run_ranks(train, folder, "run", size=1) == [0], error(folder, 0)
    assert equal(result(folder), result(tmp_path / "whole"))
    assert learnt(folder) == learnt(tmp_path / "whole")


def save_for_ever(folder: Path) -> None:
    checkpoints = Checkpoints(folder, 2)
    first = max(checkpoints.steps(), default=0) + 1
    for step in range(first, 10**6):
        checkpoints.save(step, {"x": torch.full((20_000,), float(step)), "step": step})


def test_kills_while_old_checkpoints_are_dropped_leave_a_whole_one(tmp_path: Path) -> None:
    """Fault 70. Killed anywhere in saving and rotating, the newest that counts is whole."""
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    rng, seen = random.Random(3), 0
    for _ in range(8):
        writer = context.Process(target=save_for_ever, args=(tmp_path,))
        writer.start()
        deadline = time.monotonic() + 30
        while max(Checkpoints(tmp_path, 2).steps(), default=0) <= seen and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 0.1))
        writer.kill()
        writer.join()
        state = Checkpoints(tmp_path, 2).load()
        assert state is not None
        assert state["step"] > seen
        assert torch.equal(state["x"], torch.full((20_000,), float(state["step"])))
        seen = state["step"]
    assert seen >= 8


def save_under_a_limit(folder: Path) -> None:
    """No file may grow past 100 kB: what a full disk does, in the midst of torch.save."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    Checkpoints(folder, 2).save(2, {"x": torch.zeros(200_000), "step": 2})


def test_a_disk_that_fills_up_in_torch_save_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    """Fault 71."""
    checkpoints = Checkpoints(tmp_path / "c", 2)
    checkpoints.save(1, {"step": 1})
    assert run_ranks(save_under_a_limit, tmp_path / "c", size=1) == [EX_TEMPFAIL]
    told = error(tmp_path / "c", 0)
    assert "step-2.pt: checkpoint not written" in told
    assert checkpoints.load() == {"step": 1}
    assert not list((tmp_path / "c").glob(".tmp*"))


class Poisoned(Toy):
    """A toy with batch norm, whose statistics the poisoned forward pass spoils before anybody can see it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, dropout=0.0, checkpoint_seconds=0.0)
        self.module[2] = torch.nn.BatchNorm1d(8)
        self.optimizer = optim.build("sgd", {"rest": self.module.parameters()}, weight_decay=1e-3)


def test_nothing_of_a_poisoned_step_survives(tmp_path: Path) -> None:
    """Fault 73. The last checkpoint holds neither weights, statistics nor bank rows that are not finite."""
    toy = Poisoned(tmp_path)

    def poison(calls: int, micro: list[int]) -> None:
        if calls == 8:
            toy.x[micro[0]] = torch.nan

    toy.before = poison
    with pytest.raises(CpdError, match="loss is not finite"):
        toy.run()
    assert not torch.isfinite(toy.module[2].running_mean).all()  # in memory it did spread
    state = Checkpoints(tmp_path / "checkpoints", 2, identity={"toy": 1}).load()
    assert state is not None
    kept = {**state["parts"]["module"], "bank": state["parts"]["bank"]["rows"]}
    assert all(torch.isfinite(value).all() for value in kept.values())
    again = Poisoned(tmp_path)
    assert again.run().step == 3 * STEPS


def fail_on_rank_1(folder: Path) -> None:
    """An exception of one rank alone, in the midst of an epoch."""

    def before(calls: int, micro: list[int]) -> None:
        if calls == 4 and os.environ["RANK"] == "1":
            raise ValueError("only here")

    with distributed.joined(timeout_seconds=15) as world:
        Toy(folder, world=world, before=before).run()


def test_an_exception_of_one_rank_ends_all(tmp_path: Path) -> None:
    """Fault 75."""
    started = time.monotonic()
    codes = run_ranks(fail_on_rank_1, tmp_path)
    assert all(code != 0 for code in codes)
    assert "only here" in error(tmp_path, 1)
    assert time.monotonic() - started < 60


def shorter_on_rank_1(folder: Path) -> None:
    """Rank 1 has one batch less: what a broken loader would do."""
    with distributed.joined(timeout_seconds=5) as world:
        toy = Toy(folder, world=world)
        whole = toy.epoch
        if world.rank == 1:
            toy.epoch = lambda epoch, first: iter(list(whole(epoch, first))[:-1])  # type: ignore[method-assign]
        toy.run()


@pytest.mark.slow
def test_uneven_batches_end_within_the_timeout(tmp_path: Path) -> None:
    """Fault 75. No rank waits for ever: the shorter one raises, and the other's collective fails."""
    started = time.monotonic()
    codes = run_ranks(shorter_on_rank_1, tmp_path)
    assert all(code != 0 for code in codes)
    assert f"{STEPS - 1} steps, not {STEPS}" in error(tmp_path, 1)
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_a_signal_while_torch_is_imported_saves_and_requeues(tmp_path: Path) -> None:
    """Fault 74. The handlers are there before torch is: a signal then is kept until the first step boundary."""
    script = (
        "import os, signal, sys\n"
        "from cpd.engine.signals import watching\n"
        "assert 'torch' not in sys.modules\n"
        "with watching() as request:\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    import torch\n"
        "    assert request.reason == 'SIGUSR1'\n"
        "    from pathlib import Path\n"
        "    from tests.engine.toy_task import Toy\n"
        "    from cpd.errors import CpdError\n"
        "    try:\n"
        f"        Toy(Path({str(tmp_path)!r})).run(stop=lambda: request.reason)\n"
        "    except CpdError as error:\n"
        "        sys.exit(error.exit_code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == EX_REQUEUE, done.stderr
    assert Checkpoints(tmp_path / "checkpoints", 2, identity={"toy": 1}).steps() == [1]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("train.batch", {"settings": {"train": {"batch": 16}}}),
        ("world_size", {"world_size": 2}),
        ("pairs_sha256", {"pairs_sha256": "b"}),
        ("settings.objective.tau", {"settings": {"objective": {"tau": 0.1}}}),
        ("code", {"code": "2"}),
    ],
)
def test_resuming_as_another_run_is_refused_by_name(tmp_path: Path, what: str, change: dict) -> None:
    """Fault 66. Batch, world size, shards, settings or code: the message names what differs."""
    identity = {
        "settings": {"train": {"batch": 8}, "objective": {"tau": 0.07}},
        "world_size": 1,
        "pairs_sha256": "a",
        "code": "1",
    }
    Checkpoints(tmp_path, 2, identity=identity).save(1, {"step": 1})
    other = {**identity, **{k: {**identity[k], **v} if isinstance(v, dict) else v for k, v in change.items()}}
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(CpdError, match=what):
        Checkpoints(tmp_path, 2, identity=other).load()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_every_checkpoint_bad_ends_the_run_and_overwrites_nothing(tmp_path: Path) -> None:
    """Fault 69."""
    toy = Toy(tmp_path, stages=FEW, checkpoint_seconds=0.0)
    toy.run()
    folder = tmp_path / "checkpoints"
    for path in folder.glob("step-*.pt"):
        path.write_bytes(b"")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = Toy(tmp_path, stages=FEW)
    with pytest.warns(UserWarning, match="not usable"), pytest.raises(CpdError, match="none of 2") as caught:
        again.run()
    assert caught.value.exit_code != 0
    assert again.calls == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
