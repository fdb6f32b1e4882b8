"""Where the time of a training step goes, measured on the run itself: `cpd profile`.

The device is waited for at the end of every phase, so that each pays for its own work; a training that is not watched
overlaps some of it and is at most so slow. Shapes: B micro-batch, D embedding.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from torch import Tensor

from cpd.config import Config, experiment
from cpd.engine import optim
from cpd.engine.deterministic import deterministic
from cpd.engine.distributed import World
from cpd.engine.task import StepResult
from cpd.errors import CpdError
from cpd.pretrain import preparation
from cpd.pretrain.run import Pretraining
from cpd.profiling.record import PHASES, Profile
from cpd.shards.loader import ClipBatch

T = TypeVar("T")


def profile(
    config: Config,
    name: str,
    *,
    steps: int,
    warmup: int = 2,
    stage: int = 0,
    workers: int | None = None,
    trace: Path | None = None,
    world: World | None = None,
) -> Profile:
    """Train some steps of an experiment, and keep nothing but the time they took.

    Args:
        config: the whole config.
        name: key of `experiments`.
        steps: that are measured, `warmup` more before them.
        warmup: the first steps ask for memory, and compile.
        stage: of the curriculum; with the language model frozen or trained.
        workers: loader processes; None takes the experiment's.
        trace: file for torch's trace of the last step, for chrome://tracing or Perfetto.
        world: the device; None takes the GPU if there is one.

    Raises:
        CpdError: nothing is trained, there is no such stage, or shards or encoder are missing.
    """
    exp = experiment(config, name)
    if exp.objective.name == "none":
        raise CpdError(f"{name} trains nothing", hint="profile an experiment with an objective")
    if not 0 <= stage < len(exp.stages):
        raise CpdError(f"{name} has no stage {stage}", hint=f"it has stages 0 to {len(exp.stages) - 1}")
    if workers is not None:
        exp = msgspec.structs.replace(exp, train=msgspec.structs.replace(exp.train, workers=workers))
    world = world or _alone()
    run = preparation(exp)(config, exp, seed=0, world=world)
    clock = _Clock(world.device)
    watched = replace(run, objective=_Watched(run.objective, clock))
    watched.enter_stage(stage)
    loader = _loader_rate(watched, clips=(steps + warmup) * exp.train.batch)
    with deterministic(exp.train.deterministic):
        found, clips = _measure(watched, clock, steps=steps, warmup=warmup, stage=stage, trace=trace)
    return Profile(
        experiment=name,
        device=_device_name(world.device),
        steps=found,
        clips=clips,
        workers=run.clips.workers,
        cores=len(os.sched_getaffinity(0)),
        loader=loader,
        peak_bytes=torch.cuda.max_memory_allocated(world.device) if world.device.type == "cuda" else 0,
    )


def _alone() -> World:
    return World(device=torch.device("cuda", 0)) if torch.cuda.is_available() else World()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return "CPU, 1 thread" if threads == 1 else f"CPU, {threads} threads"


class _Clock:
    """Seconds of a call, until the device has done it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.spent = 0.0  # inside watched calls, since it was set to 0

    def now(self) -> float:
        """Seconds, when the device is idle."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def time(self, work: Callable[[], T]) -> tuple[T, float]:
        """What a call gives, and its seconds."""
        start = self.now()
        found = work()
        return found, self.now() - start


class _Watched:
    """An objective whose calls are timed."""

    def __init__(self, objective: Any, clock: _Clock) -> None:
        self._objective, self._clock = objective, clock

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        found, seconds = self._clock.time(lambda: self._objective(*args, **kwargs))
        self._clock.spent += seconds
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)


def _loader_rate(run: Pretraining, *, clips: int) -> float:
    """Clips a second when nothing is trained, worker processes' start not counted."""
    batches = (batch for micros in run.clips(0, 0) for batch in micros)
    first = next(batches, None)
    if first is None:
        return 0.0
    start, count = time.perf_counter(), 0
    for batch in batches:
        count += len(batch.keys)
        if count >= clips:
            break
    seconds = time.perf_counter() - start
    return count / seconds if count else 0.0


def _measure(
    run: Pretraining, clock: _Clock, *, steps: int, warmup: int, stage: int, trace: Path | None
) -> tuple[dict[str, tuple[float, ...]], float]:
    """Seconds of every step by phase, and the mean number of clips of a step."""
    step = _Step(run, clock, lrs=run.plan().stages[stage].lrs)
    rows: list[dict[str, float]] = []
    counts: list[int] = []
    for number, micros in enumerate(_steps(run, steps + warmup)):
        with _traced(trace if number == steps + warmup - 1 else None, clock.device):
            row, count = step(micros)
        rows.append(row)
        counts.append(count)
    kept = rows[warmup:]
    return {phase: tuple(row[phase] for row in kept) for phase in PHASES}, sum(counts[warmup:]) / len(kept)


def _steps(run: Pretraining, n: int) -> Iterator[Iterator[ClipBatch]]:
    """`n` steps, of as many epochs as they need."""
    done, epoch = 0, 0
    while done < n:
        for micros in run.clips(epoch, 0):
            yield micros
            done += 1
            if done == n:
                return
        epoch += 1


class _Step:
    """One optimiser step as `engine.loop` makes it, phase by phase."""

    def __init__(self, run: Pretraining, clock: _Clock, *, lrs: Any) -> None:
        train = run.exp.train
        self.run, self.clock = run, clock
        self.optimizer = optim.build(
            train.optimizer, run.groups(), weight_decay=train.weight_decay, momentum=train.momentum
        )
        for group in self.optimizer.param_groups:
            group["lr"] = 1e-6 * lrs[group["name"]]  # of some size, and too small to diverge

    def __call__(self, micros: Iterator[ClipBatch]) -> tuple[dict[str, float], int]:
        """Seconds by phase, and samples."""
        spent = dict.fromkeys(PHASES, 0.0)
        self.optimizer.zero_grad(set_to_none=True)
        results: list[StepResult] = []
        while True:
            batch, seconds = self.clock.time(lambda: next(micros, None))
            spent["data"] += seconds
            if batch is None:
                break
            results.append(self._micro(batch, spent))
        _, spent["optimiser"] = self.clock.time(self._optimise)
        _, spent["bank"] = self.clock.time(lambda: self.run.update(results))
        return spent, sum(result.count for result in results)

    def _micro(self, batch: ClipBatch, spent: dict[str, float]) -> StepResult:
        clips, transfer = self.clock.time(lambda: batch.clip_BTHWC.to(self.run.world.device, non_blocking=True))
        self.clock.spent = 0.0
        result, step = self.clock.time(lambda: self.run.step(batch._replace(clip_BTHWC=clips)))
        spent["transfer"] += transfer
        spent["loss"] += self.clock.spent
        spent["forward"] += step - self.clock.spent
        if result.parts:
            loss = result.parts["loss"] * (result.count / self.run.exp.train.batch)
            _, backward = self.clock.time(lambda: self._backward(loss))
            spent["backward"] += backward
        return replace(result, parts={name: part.detach() for name, part in result.parts.items()})

    def _backward(self, loss: Tensor) -> None:
        self.run.precision.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def _optimise(self) -> None:
        scaler, params = self.run.precision.scaler, optim.parameters(self.optimizer)
        scaler.unscale_(self.optimizer)
        torch.nn.utils.get_total_norm([p.grad for p in params if p.grad is not None])
        scaler.step(self.optimizer)
        scaler.update()


@contextlib.contextmanager
def _traced(path: Path | None, device: torch.device) -> Iterator[None]:
    """Write torch's trace of what happens within."""
    if path is None:
        yield
        return
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as found:
        yield
    path.parent.mkdir(parents=True, exist_ok=True)
    found.export_chrome_trace(str(path))
