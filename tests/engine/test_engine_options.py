"""EMA, deterministic mode, trackers, checkpoints in parts, lockstep."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpd.engine import distributed
from cpd.engine.batches import rank_steps
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.deterministic import deterministic
from cpd.engine.distributed import World
from cpd.engine.ema import Ema
from cpd.engine.loop import fit
from cpd.engine.metrics import MetricsLog
from cpd.engine.task import Task, Tools
from cpd.engine.trackers import numbers_of, open_trackers
from cpd.errors import CpdError
from tests.engine.fork_ranks import error, run_ranks
from tests.engine.toy_task import Bank, Toy


def test_ema_is_the_average_written_out() -> None:
    module = torch.nn.Linear(2, 1)
    ema, weights = Ema(module, decay=0.9), [module.weight.detach().clone()]
    for step in range(5):
        with torch.no_grad():
            module.weight.fill_(float(step))
        weights.append(module.weight.detach().clone())
        ema.update()
    wanted = weights[0]
    for weight in weights[1:]:
        wanted = 0.9 * wanted + 0.1 * weight
    with ema.swapped():
        torch.testing.assert_close(module.weight.detach(), wanted)
    assert torch.equal(module.weight.detach(), weights[-1])
    again = Ema(torch.nn.Linear(2, 1), decay=0.9)
    again.load_state_dict({name: value.clone() for name, value in ema.state_dict().items()})
    again.copy_in()
    torch.testing.assert_close(again.module.weight.detach(), wanted)


def test_ema_swaps_back_after_an_error_and_leaves_frozen_weights() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1).requires_grad_(False))
    ema = Ema(module, decay=0.5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    ema.update()
    assert torch.equal(ema.average["1.weight"], module[1].weight - 1)
    before = module[0].weight.detach().clone()
    with pytest.raises(KeyError), ema.swapped():
        raise KeyError
    assert torch.equal(module[0].weight.detach(), before)


def test_deterministic_mode_is_set_and_put_back() -> None:
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(CpdError, match=r"train\.deterministic"), deterministic(True):
        raise RuntimeError("max_pool3d does not have a deterministic implementation")
    with pytest.raises(RuntimeError, match="something else"), deterministic(True):
        raise RuntimeError("something else")
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled()


class Writer:
    """What torch.utils.tensorboard.SummaryWriter is to us."""

    made: ClassVar[list[Writer]] = []

    def __init__(self, *, log_dir: str, purge_step: int) -> None:
        self.log_dir, self.purge_step, self.rows, self.closed = log_dir, purge_step, [], False
        Writer.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.rows.append((name, value, step))

    def close(self) -> None:
        self.closed = True


def test_tensorboard_gets_every_number_and_purges_repeated_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    log = MetricsLog(tmp_path / "metrics.jsonl", trackers=open_trackers(["tensorboard"], tmp_path))
    log.append({"event": "step", "step": 7, "loss": 0.5, "lrs": {"rest": 0.1}})
    log.append({"event": "epoch", "step": 8, "validation": {"r1": 12.5}})
    log.close()
    writer = Writer.made[-1]
    assert writer.rows == [("step/loss", 0.5, 7), ("step/lrs/rest", 0.1, 7), ("epoch/validation/r1", 12.5, 8)]
    assert (writer.purge_step, writer.closed) == (7, True)
    assert writer.log_dir == str(tmp_path / "tensorboard")
    assert len(log.path.read_text().splitlines()) == 2


def test_wandb_goes_on_in_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple] = []

    class Run:
        def log(self, numbers: dict, step: int) -> None:
            calls.append((step, numbers))

        def finish(self) -> None:
            calls.append(("finish",))

    fake = ModuleType("wandb")
    fake.init = lambda **options: (calls.append(options), Run())[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        log = MetricsLog(tmp_path / "metrics.jsonl", trackers=open_trackers(["wandb"], tmp_path))
        log.append({"event": "step", "step": 3, "loss": 1.0, "note": "text"})
        log.close()
    assert calls[0] == calls[3]
    assert (calls[0]["resume"], calls[0]["project"]) == ("allow", "cpd")
    assert calls[1:3] == [(3, {"step/loss": 1.0}), ("finish",)]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for module in ("torch.utils.tensorboard", "tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CpdError, match=rf"train.log: {name} is not installed") as caught:
        open_trackers([name], tmp_path)
    assert f"pip install {name}" in caught.value.hint


def test_numbers_are_named_by_path_and_words_left_out() -> None:
    row = {"a": 1, "b": {"c": 2.5, "d": "x"}, "e": True, "f": None}
    assert numbers_of(row, prefix="step") == {"step/a": 1.0, "step/b/c": 2.5}


def test_parts_count_only_with_their_checkpoint_and_a_torn_one_spoils_it(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    for step in (1, 2, 3):
        parts: dict[str, str] = {}
        for rank in (0, 1):
            parts |= checkpoints.save_part(step, rank, {"rows": torch.tensor([step, rank])})
        checkpoints.save(step, {"step": step}, parts=parts)
    assert sorted(path.name for path in tmp_path.glob("*.part")) == [
        f"step-{step}.rank-{rank}.part" for step in (2, 3) for rank in (0, 1)
    ]
    assert checkpoints.load() == {"step": 3}
    assert checkpoints.load_part(3, 1)["rows"].tolist() == [3, 1]
    path = tmp_path / "step-3.rank-1.part"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"sha256 of step-3\.rank-1\.part"):
        assert checkpoints.load() == {"step": 2}
    checkpoints.clear()
    assert not tmp_path.exists() or not any(tmp_path.iterdir())


@given(n=st.integers(2, 60), ranks=st.integers(1, 5), size=st.integers(2, 9))
def test_lockstep_gives_every_rank_as_many_micro_batches(n: int, ranks: int, size: int) -> None:
    batches = [list(range(low, min(low + 20, n))) for low in range(0, n, 20)]
    parts = [rank_steps(batches, World(rank=r, size=ranks), size=size, lockstep=True) for r in range(ranks)]
    for step, wanted in enumerate(batches):
        assert len({len(part[step]) for part in parts}) == 1
        assert [i for part in parts for micro in part[step] for i in micro] == wanted


def train_with_a_part(folder: Path, mode: str) -> None:
    """Each rank keeps a counter of its own; `stop` ends after 5 steps, as a signal would."""
    with distributed.joined(timeout_seconds=20) as world:
        toy, own = Toy(folder, world=world, checkpoint_seconds=0.0), Bank()
        own.rows.fill_(float(world.rank))

        def on_step(results: list) -> None:
            toy.on_step(results)
            own.rows += world.rank + 1

        task = Task(
            module=toy.module,
            state={"bank": toy.bank},
            epoch=toy.epoch,
            step=toy.step,
            on_step=on_step,
            on_stage=toy.stages_entered.append,
            validate=None,
            samples=toy.samples,
            rank_state={"own": own},
        )
        tools = Tools(
            optimizer=toy.optimizer,
            precision=toy.precision,
            world=world,
            checkpoints=toy.checkpoints,
            log=MetricsLog(folder / "metrics.jsonl", writes=world.first),
            stop=lambda: "SIGTERM" if mode == "stop" and toy.calls >= 9 else "",
        )
        try:
            fit(task, toy.plan, tools)
        finally:
            (folder / f"own-{world.rank}.json").write_text(json.dumps(own.rows[0, 0].item()))


@pytest.mark.slow
def test_each_rank_gets_its_own_part_back(tmp_path: Path) -> None:
    assert set(run_ranks(train_with_a_part, tmp_path, "stop")) == {85}, error(tmp_path, 0)
    assert run_ranks(train_with_a_part, tmp_path, "run") == [0, 0], error(tmp_path, 0)
    counted = [json.loads((tmp_path / f"own-{rank}.json").read_text()) for rank in (0, 1)]
    assert counted == [0 + 12, 1 + 2 * 12]  # 12 steps, however often the run was stopped
