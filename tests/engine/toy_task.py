"""A small task for the loop's tests: a linear model with dropout, noise and a bank, run in-process or by torchrun."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from cpd.engine import distributed, optim
from cpd.engine.checkpoint import Checkpoints
from cpd.engine.distributed import World
from cpd.engine.loop import fit
from cpd.engine.metrics import MetricsLog
from cpd.engine.progress import Progress
from cpd.engine.signals import watching
from cpd.engine.task import Plan, Score, StepResult, Task, Tools

N, BATCH, MICRO = 26, 8, 3
STEPS = 4  # 8 + 8 + 8 + 2


class Bank:
    """Rows of what each sample looked like last."""

    def __init__(self) -> None:
        self.rows = torch.zeros(N, 4)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.rows = state["rows"].clone()


class Toy:
    """The task. `before` is called with (step of this process, micro-batch) ahead of each forward pass."""

    def __init__(
        self,
        folder: Path,
        *,
        world: World | None = None,
        before: Callable[[int, list[int]], None] = lambda n, m: None,
        stages: tuple[optim.Stage, ...] = (optim.Stage(epochs=3, lrs={"rest": 0.1}),),
        dropout: float = 0.3,
        fail: frozenset[int] = frozenset(),
        scores: Callable[[int], float] | None = None,
        precision: optim.PrecisionName = "fp32",
        micro: int = MICRO,
        keep: int = 2,
        checkpoint_seconds: float = 1e9,
        identity: dict[str, Any] | None = None,
        samples: int = N,
    ) -> None:
        torch.manual_seed(0)
        self.folder, self.world, self.before, self.fail = folder, world or World(), before, fail
        self.module = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(dropout), torch.nn.ReLU(), torch.nn.Linear(8, 4)
        )
        self.x = torch.randn(N, 4, generator=torch.Generator().manual_seed(5))
        self.bank, self.micro, self.calls, self.scores = Bank(), micro, 0, scores
        self.stages_entered: list[int] = []
        self.order_seen: list[int] = []
        self.plan = Plan(stages=stages, steps=STEPS, batch=BATCH, checkpoint_seconds=checkpoint_seconds, log_every=1)
        self.precision = optim.Precision(precision, torch.device("cpu"))
        groups = {"rest": self.module.parameters()}
        self.optimizer = optim.build("sgd", groups, weight_decay=1e-3)
        self.checkpoints = Checkpoints(folder / "checkpoints", keep, identity=identity or {"toy": 1})
        self.samples = samples

    def run(self, *, stop: Callable[[], str] = lambda: "") -> Progress:
        task = Task(
            module=self.module,
            state={"bank": self.bank},
            epoch=self.epoch,
            step=self.step,
            on_step=self.on_step,
            on_stage=self.stages_entered.append,
            validate=self.validate if self.scores else None,
            samples=self.samples,
        )
        log = MetricsLog(self.folder / "metrics.jsonl", writes=self.world.first)
        tools = Tools(
            optimizer=self.optimizer,
            precision=self.precision,
            world=self.world,
            checkpoints=self.checkpoints,
            log=log,
            stop=stop,
        )
        return fit(task, self.plan, tools)

    def epoch(self, epoch: int, first: int) -> Iterator[Iterator[list[int]]]:
        order = torch.randperm(N, generator=torch.Generator().manual_seed(epoch)).tolist()
        torch.rand(3)  # a data loader that draws from the global generator must not change the run
        for low in range(first * BATCH, N, BATCH):
            own = distributed.share(order[low : low + BATCH], self.world)
            yield iter([own[i : i + self.micro] for i in range(0, len(own), self.micro)])

    def step(self, micro: list[int]) -> StepResult:
        self.calls += 1
        self.before(self.calls, micro)
        failed = [(f"k{i}", "torn") for i in micro if i in self.fail]
        good = [i for i in micro if i not in self.fail]
        if not good:
            return StepResult(parts={}, count=0, keys=[], failed=failed)
        self.order_seen += good
        x = self.x[good]
        with self.precision.autocast():
            y = self.module(x)
        y = y.float() + 0.01 * torch.randn(y.shape) * (self.module[1].p > 0)
        loss = ((y - x) ** 2).mean(1).mean()
        rows = (torch.tensor(good), y.detach())
        parts = {"loss": loss, "half": loss / 2}
        return StepResult(parts=parts, count=len(good), keys=[f"k{i}" for i in good], rows=rows, failed=failed)

    def on_step(self, results: Sequence[StepResult]) -> None:
        kept = [result.rows for result in results if result.count]
        index = torch.cat([row[0] for row in kept]) if kept else torch.zeros(0, dtype=torch.int64)
        y = torch.cat([row[1] for row in kept]) if kept else torch.zeros(0, 4)
        self.bank.rows[distributed.gather_rows(index, self.world)] = distributed.gather_rows(y, self.world)

    def validate(self) -> Score:
        assert self.scores is not None
        torch.rand(7)
        value = self.scores(len(self.stages_entered))
        return Score(value=value, values={"r1": value})

    def result(self) -> dict[str, torch.Tensor]:
        return {**self.module.state_dict(), "bank": self.bank.rows}


def train(folder: Path, mode: str) -> None:
    """Train and save `result-RANK.pt`. Modes: run; kill:N and term:N signal themselves before micro-batch N; nan
    poisons sample 7; exact has no dropout; empty fails samples 0 to 7."""
    kind, _, at = mode.partition(":")
    torch.set_num_threads(1)

    def before(calls: int, micro: list[int]) -> None:
        if kind in ("kill", "term") and calls == int(at):
            os.kill(os.getpid(), signal.SIGKILL if kind == "kill" else signal.SIGTERM)
        if kind == "nan" and 7 in micro:
            toy.x[7] = torch.nan

    with watching() as request, distributed.joined(timeout_seconds=20) as world:
        toy = Toy(
            folder,
            world=world,
            before=before,
            dropout=0.0 if kind in ("exact", "empty") else 0.3,
            fail=frozenset(range(0, 8)) if kind == "empty" else frozenset(),
            checkpoint_seconds=0.0,
            samples=10_000 if kind == "empty" else N,
        )
        toy.run(stop=lambda: request.reason)
        torch.save(toy.result(), folder / f"result-{world.rank}.pt")
