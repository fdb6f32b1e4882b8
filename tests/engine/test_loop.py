from __future__ import annotations

import copy
import dataclasses
import json
import signal
from pathlib import Path

import pytest
import torch

from cpd.engine import optim
from cpd.engine.signals import Requeue, watching
from cpd.errors import EX_REQUEUE, CpdError
from tests.engine.fork_ranks import error, run_ranks
from tests.engine.toy_task import BATCH, STEPS, N, Toy, train


def rows(folder: Path, event: str) -> list[dict]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def timeless(folder: Path) -> list[tuple]:
    """What the log says about learning: everything but the clock."""
    return [(row["step"], row["loss"], row["grad_norm"], row["half"]) for row in rows(folder, "step")]


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def reference(tmp_path: Path) -> Toy:
    toy = Toy(tmp_path / "reference")
    toy.run()
    return toy


def test_accumulated_step_is_the_step_of_the_whole_batch(tmp_path: Path) -> None:
    whole = Toy(tmp_path / "a", dropout=0.0, micro=BATCH)
    parts = Toy(tmp_path / "b", dropout=0.0, micro=3)
    whole.run()
    parts.run()
    for a, b in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_first_step_equals_plain_sgd(tmp_path: Path) -> None:
    toy = Toy(tmp_path, dropout=0.0, stages=(optim.Stage(epochs=1, lrs={"rest": 0.1}),))
    twin = copy.deepcopy(toy.module)
    sgd = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    for low in range(0, N, BATCH):
        x = toy.x[order[low : low + BATCH]]
        sgd.zero_grad()
        ((twin(x) - x) ** 2).mean().backward()
        sgd.step()
    toy.run()
    for a, b in zip(twin.parameters(), toy.module.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_failed_samples_leave_the_mean_of_the_others(tmp_path: Path) -> None:
    fail = frozenset({3})
    broken = Toy(tmp_path / "a", dropout=0.0, fail=fail, micro=2)
    whole = Toy(tmp_path / "b", dropout=0.0, fail=fail, micro=BATCH)
    progress = broken.run()
    whole.run()
    for a, b in zip(broken.module.parameters(), whole.module.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert progress.failed == {"k3": "torn"}
    assert progress.clips == 3 * (N - 1)


def test_too_many_failures_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(CpdError, match=r"5 of 26 samples cannot be used.*k1: torn"):
        Toy(tmp_path, fail=frozenset(range(1, 6))).run()


@pytest.mark.parametrize("at", [1, 6, 12, 25, 29])
def test_resume_after_an_interrupt_is_bit_equal(tmp_path: Path, reference: Toy, at: int) -> None:
    def interrupt(calls: int, micro: list[int]) -> None:
        if calls == at:
            raise KeyboardInterrupt

    folder = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        Toy(folder, before=interrupt, checkpoint_seconds=0.0).run()
    torch.rand(11)
    again = Toy(folder)
    again.run()
    assert equal(again.result(), reference.result())
    assert timeless(folder) == timeless(reference.folder)
    assert [row["epoch"] for row in rows(folder, "epoch")] == [0, 1, 2]


def test_resume_after_kill_9_is_bit_equal(tmp_path: Path, reference: Toy) -> None:
    folder = tmp_path / "run"
    assert run_ranks(train, folder, "kill:17", size=1) == [-signal.SIGKILL]
    assert run_ranks(train, folder, "term:5", size=1) == [EX_REQUEUE], error(folder, 0)
    assert run_ranks(train, folder, "run", size=1) == [0], error(folder, 0)
    assert equal(torch.load(folder / "result-0.pt", weights_only=True), reference.result())
    assert timeless(folder) == timeless(reference.folder)


def test_signal_saves_at_the_step_boundary(tmp_path: Path, reference: Toy) -> None:
    def ask(calls: int, micro: list[int]) -> None:
        if calls == 7:
            signal.raise_signal(signal.SIGUSR1)

    toy = Toy(tmp_path / "stopped", before=ask)
    with watching() as request, pytest.raises(Requeue, match="SIGUSR1 after step 3") as caught:
        toy.run(stop=lambda: request.reason)
    assert caught.value.exit_code == EX_REQUEUE
    assert toy.checkpoints.steps() == [3]
    again = Toy(tmp_path / "stopped")
    again.run()
    assert equal(again.result(), reference.result())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nan_stops_before_weights_and_bank(tmp_path: Path, precision: optim.PrecisionName) -> None:
    toy = Toy(tmp_path, precision=precision)
    toy.x[7] = torch.nan
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0)).tolist()
    step = order.index(7) // BATCH
    before: list[dict[str, torch.Tensor]] = []

    def remember(calls: int, micro: list[int]) -> None:
        if 7 in micro:
            before.append({key: value.clone() for key, value in toy.result().items()})

    toy.before = remember
    with pytest.raises(CpdError, match=rf"step {step}: loss is not finite.*not_finite.json") as caught:
        toy.run()
    assert caught.value.exit_code == 1
    assert equal(toy.result(), before[0])
    told = json.loads((tmp_path / "not_finite.json").read_text())
    assert told["step"] == step
    assert any("k7" in part["keys"] for rank in told["ranks"] for part in rank)


def test_gradient_that_is_not_finite_stops_too(tmp_path: Path) -> None:
    toy = Toy(tmp_path)
    toy.module[0].weight.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(CpdError, match="step 0: gradient is not finite"):
        toy.run()


def test_fp16_scaler_skips_some_steps_but_not_for_ever(tmp_path: Path) -> None:
    toy = Toy(tmp_path / "some", precision="fp16")
    bad = iter([True, True])
    toy.module[0].weight.register_hook(lambda grad: grad * torch.inf if next(bad, False) else grad)
    progress = toy.run()
    assert 1 <= progress.skipped <= 2
    always = Toy(tmp_path / "always", precision="fp16", stages=(optim.Stage(epochs=20, lrs={"rest": 0.1}),))
    always.module[0].weight.register_hook(lambda grad: grad * torch.inf)
    with pytest.raises(CpdError, match="step 24: gradient is not finite"):
        always.run()


def test_patience_ends_a_stage_and_the_next_starts_afresh(tmp_path: Path) -> None:
    stages = (
        optim.Stage(epochs=20, lrs={"rest": 0.1}, patience=2),
        optim.Stage(epochs=2, lrs={"rest": 0.01}),
    )
    toy = Toy(tmp_path, stages=stages, scores=lambda entered: 1.0)
    progress = toy.run()
    history = [(row["stage"], row["validation"]["r1"]) for row in progress.history]
    assert history == [(0, 1.0)] * 3 + [(1, 1.0)] * 2
    assert toy.stages_entered == [0, 1]
    assert {row["lr"] for row in rows(tmp_path, "step") if row["stage"] == 1} == {0.01}


def test_clip_grad_bounds_the_step(tmp_path: Path) -> None:
    toy = Toy(tmp_path, dropout=0.0, stages=(optim.Stage(epochs=1, lrs={"rest": 1.0}),))
    toy.optimizer = optim.build("sgd", {"rest": toy.module.parameters()}, weight_decay=0.0, momentum=0.0)
    toy.plan = dataclasses.replace(toy.plan, clip_grad=1e-3)
    start = torch.nn.utils.parameters_to_vector(toy.module.parameters()).clone()
    toy.run()
    moved = torch.nn.utils.parameters_to_vector(toy.module.parameters()) - start
    assert 0 < moved.norm() <= STEPS * 1e-3 * 1.0001


def test_finished_run_does_nothing_again(tmp_path: Path, reference: Toy) -> None:
    again = Toy(reference.folder)
    again.run()
    assert again.calls == 0
    assert equal(again.result(), reference.result())
