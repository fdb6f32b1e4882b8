"""The one training loop, of pretraining and of fine-tuning. It receives callables and knows no model.

An optimiser step consumes one *global batch*: each rank its share, cut into micro-batches. Losses are means over
their samples and are weighted by sample counts, so that neither accumulation, nor the number of ranks, nor samples
that failed to decode change what is minimised: the mean over the samples of the global batch.

Ranks agree by one small all-reduce per step on loss, count, non-finite values, failures, and requests to save or stop.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from cpd.engine import distributed, optim, together
from cpd.engine.checkpoint import rng_state, set_rng_state
from cpd.engine.progress import Progress
from cpd.engine.report import Report
from cpd.engine.signals import Requeue
from cpd.engine.task import Agreed, M, Plan, Score, Stateful, StepResult, Task, Tools
from cpd.errors import CpdError
from cpd.fileio import write_json

T = TypeVar("T")
MAX_FAILED_SHARE = 0.01
MIN_FAILED = 5
MAX_SKIPPED_IN_A_ROW = 25
EX_NOT_FINITE = 1


def fit(task: Task[M], plan: Plan, tools: Tools) -> Progress:
    """Train through all stages, resuming from the newest checkpoint.

    Raises:
        Requeue: `tools.stop` gave a reason; everything was saved at the step boundary.
        CpdError: a loss or gradient was not finite (`not_finite.json` beside the checkpoints' folder names step and
            keys; neither optimiser nor banks were touched), too many samples failed, or checkpoints do not fit.
    """
    run = _Run(task, plan, tools)
    run.resume()
    total = task.samples * sum(stage.epochs for stage in plan.stages)
    report = Report(plan, tools, total=total, done=run.progress.clips)
    with closing(report):
        while run.progress.stage < len(plan.stages):
            run.epoch(report)
    return run.progress


class _Run(Generic[M]):
    """A run in progress: one optimiser step at a time."""

    def __init__(self, task: Task[M], plan: Plan, tools: Tools) -> None:
        self.task, self.plan, self.tools = task, plan, tools
        self.progress = Progress()
        self.entered = -1
        self.clock = self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Go back to the newest checkpoint; without one, start."""
        tools = self.tools
        state = tools.checkpoints.load(device=tools.world.device)
        found = distributed.gather_objects(state["progress"]["step"] if state else None, tools.world)
        if len(set(found)) > 1:
            raise CpdError(f"{tools.checkpoints.folder}: ranks read different checkpoints: {found}")
        if state is None:
            distributed.broadcast_module(self.task.module, tools.world)
            tools.log.cut(0)
            return
        for name, part in self._stateful().items():
            part.load_state_dict(state["parts"][name])
        self._load_own(state["progress"]["step"])
        self.progress = Progress(**state["progress"])
        tools.log.cut(state["log_length"])
        self._enter_stage()
        set_rng_state(state["rng"][tools.world.rank])

    def _load_own(self, step: int) -> None:
        """What this rank alone keeps."""
        if not self.task.rank_state:
            return
        own = self.tools.checkpoints.load_part(step, self.tools.world.rank, device=self.tools.world.device)
        for name, part in self.task.rank_state.items():
            part.load_state_dict(own[name])

    def epoch(self, report: Report) -> None:
        """The rest of this epoch, its validation and its checkpoint."""
        self._enter_stage()
        steps = self.task.epoch(self.progress.epoch, self.progress.batch)
        while (micros := fetch(steps)) is not None:
            self._step(micros, report)
        if self.progress.batch != self.plan.steps:
            raise CpdError(f"epoch {self.progress.epoch}: {self.progress.batch} steps, not {self.plan.steps}")
        self._finish_epoch(report)

    def _enter_stage(self) -> None:
        if self.progress.stage != self.entered and self.progress.stage < len(self.plan.stages):
            self.task.on_stage(self.progress.stage)
            self.entered = self.progress.stage

    def _step(self, micros: Iterator[M], report: Report) -> None:
        started = time.monotonic()
        lrs = self._set_lrs()
        self.tools.optimizer.zero_grad(set_to_none=True)
        results, data_seconds = self._accumulate(micros)
        agreed = self._agree(results)
        self._note_failures(results, agreed)
        norm = self._apply(agreed) if agreed.finite and agreed.count else math.nan
        if agreed.count and not self._usable(agreed, norm):
            self._stop_not_finite(results, agreed, norm)
        if math.isfinite(norm):
            self.task.on_step(results)
        self._advance(agreed)
        seconds = time.monotonic() - started
        lr = next(iter(lrs.values()))
        row = {"lr": lr, "lrs": lrs, "grad_norm": norm, "data_seconds": data_seconds, "seconds": seconds}
        report.step(self.progress, row, results, agreed)
        self._save_or_stop(agreed)

    def _accumulate(self, micros: Iterator[M]) -> tuple[list[StepResult], float]:
        results: list[StepResult] = []
        waited = 0.0
        while True:
            asked = time.monotonic()
            micro = fetch(micros)
            waited += time.monotonic() - asked
            if micro is None:
                return results, waited
            result = self.task.step(micro)
            if result.parts:  # also of a rank without samples, whose backward pass the others' may wait for
                loss = result.parts["loss"] * (result.count / self.plan.batch)
                self.tools.precision.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            detached = {name: part.detach() for name, part in result.parts.items()}
            results.append(dataclasses.replace(result, parts=detached))

    def _agree(self, results: Sequence[StepResult]) -> Agreed:
        count = sum(result.count for result in results)
        loss = sum(float(result.parts["loss"]) * result.count for result in results if result.count)
        failed = sum(key not in self.progress.failed for result in results for key, _ in result.failed)
        due = self.tools.world.first and time.monotonic() - self.saved_at > self.plan.checkpoint_seconds
        finite = math.isfinite(loss)
        flags = [not finite, bool(self.tools.stop()), due]
        sums = distributed.sum_values([loss if finite else 0.0, count, failed, *flags], self.tools.world)
        return Agreed(sums[0], round(sums[1]), round(sums[2]), not sums[3], bool(sums[4]), bool(sums[5]))

    def _note_failures(self, results: Sequence[StepResult], agreed: Agreed) -> None:
        if not agreed.failed:
            return
        local = {key: reason for result in results for key, reason in result.failed}
        for found in distributed.gather_objects(local, self.tools.world):
            self.progress.failed.update(found)
        n = len(self.progress.failed)
        if n >= MIN_FAILED and n > MAX_FAILED_SHARE * self.task.samples:
            some = "; ".join(f"{key}: {reason}" for key, reason in sorted(self.progress.failed.items())[:5])
            raise CpdError(
                f"{n} of {self.task.samples} samples cannot be used, more than {MAX_FAILED_SHARE:.0%}: {some}",
                hint="look into their shards with `cpd shards verify`, and make them again",
            )

    def _apply(self, agreed: Agreed) -> float:
        """Sum gradients over ranks, clip, step; returns the norm before clipping, not finite if nothing was done."""
        tools, plan = self.tools, self.plan
        params = optim.parameters(tools.optimizer)
        distributed.sum_gradients(params, tools.world)
        tools.precision.scaler.unscale_(tools.optimizer)
        grads = [p.grad for p in params if p.grad is not None]
        if agreed.count != plan.batch:
            torch._foreach_mul_(grads, plan.batch / agreed.count)
        norm = float(torch.nn.utils.get_total_norm(grads))
        if plan.clip_grad is not None and math.isfinite(norm):
            torch.nn.utils.clip_grads_with_norm_(params, plan.clip_grad, torch.tensor(norm))
        if math.isfinite(norm):
            tools.precision.scaler.step(tools.optimizer)
        tools.precision.scaler.update()
        return norm

    def _usable(self, agreed: Agreed, norm: float) -> bool:
        """fp16 may overflow now and then: the scaler then lowers its scale. Anything else not finite is the end."""
        progress = self.progress
        if agreed.finite and math.isfinite(norm):
            progress.skipped_in_a_row = 0
            return True
        progress.skipped += 1
        progress.skipped_in_a_row += 1
        scaled = self.tools.precision.scaler.is_enabled()
        return agreed.finite and scaled and progress.skipped_in_a_row < MAX_SKIPPED_IN_A_ROW

    def _stop_not_finite(self, results: Sequence[StepResult], agreed: Agreed, norm: float) -> None:
        tools = self.tools
        local = [{"keys": r.keys, "parts": {k: str(float(v)) for k, v in r.parts.items()}} for r in results]
        ranks = distributed.gather_objects(local, tools.world)
        path = Path(tools.checkpoints.folder).with_name("not_finite.json")
        if tools.world.first:
            where = {"step": self.progress.step, "epoch": self.progress.epoch, "stage": self.progress.stage}
            write_json(path, {**where, "loss_finite": agreed.finite, "grad_norm": str(norm), "ranks": ranks})
        raise CpdError(
            f"step {self.progress.step}: {'gradient' if agreed.finite else 'loss'} is not finite; {path} has the keys",
            hint="lower lr or set train.clip_grad; checkpoints before this step are untouched",
            exit_code=EX_NOT_FINITE,
        )

    def _advance(self, agreed: Agreed) -> None:
        progress = self.progress
        progress.step += 1
        progress.batch += 1
        progress.clips += agreed.count
        progress.loss_sum += agreed.loss_sum
        progress.loss_count += agreed.count
        now = time.monotonic()
        progress.seconds += now - self.clock
        self.clock = now

    def _save_or_stop(self, agreed: Agreed) -> None:
        if agreed.stop:
            self._save()
            distributed.barrier(self.tools.world)  # torchrun gives the others 30 s once one rank has ended
            raise Requeue(self.tools.stop() or "another rank's signal", step=self.progress.step)
        if agreed.save and self.progress.batch < self.plan.steps:  # the end of the epoch saves anyway
            self._save()

    def _finish_epoch(self, report: Report) -> None:
        progress, stage = self.progress, self.plan.stages[self.progress.stage]
        epoch, loss = progress.epoch, progress.loss_sum / max(1, progress.loss_count)
        row: dict[str, Any] = {"epoch": epoch, "stage": progress.stage, "step": progress.step, "loss": loss}
        progress.next_epoch()
        done = progress.stage_epoch == stage.epochs
        if self.task.validate is not None and (done or progress.epoch % self.plan.validate_every == 0):
            score = self._validate(self.task.validate)
            row["validation"] = score.values
            done = progress.score(score.value, patience=stage.patience) or done
        if done:
            progress.next_stage()
        self._advance_clock()
        progress.history.append(row)
        together.check_lock(self.tools.world)  # validation may have taken long
        report.epoch(row, seconds=progress.seconds, clips=progress.clips)
        self._save()

    def _advance_clock(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.clock
        self.clock = now

    def _validate(self, validate: Callable[[], Score]) -> Score:
        distributed.broadcast_module(self.task.module, self.tools.world, buffers_only=True)
        with undisturbed():
            return validate()

    def _set_lrs(self) -> dict[str, float]:
        stage = self.plan.stages[self.progress.stage]
        step = self.progress.stage_epoch * self.plan.steps + self.progress.batch
        factor = self.plan.schedule.factor(step, stage, steps_per_epoch=self.plan.steps)
        for group in self.tools.optimizer.param_groups:
            group["lr"] = stage.lrs[group["name"]] * factor
        return {group["name"]: float(group["lr"]) for group in self.tools.optimizer.param_groups}

    def _stateful(self) -> dict[str, Stateful]:
        own: dict[str, Stateful] = {"optimizer": self.tools.optimizer, "scaler": self.tools.precision.scaler}
        return {"module": self.task.module, **own, **self.task.state}

    def _save(self) -> None:
        """All ranks contribute their random state, and write what they alone hold; rank 0 writes the rest."""
        tools, step = self.tools, self.progress.step
        together.check_lock(tools.world)
        distributed.broadcast_module(self.task.module, tools.world, buffers_only=True)
        rng = distributed.gather_objects(rng_state(), tools.world)
        own = {name: part.state_dict() for name, part in self.task.rank_state.items()}
        written = tools.checkpoints.save_part(step, tools.world.rank, own) if own else {}
        files = distributed.gather_objects(written, tools.world) if own else []
        if tools.world.first:
            names = {name: sha256 for part in files for name, sha256 in part.items()}
            parts = {name: part.state_dict() for name, part in self._stateful().items()}
            state = {"progress": self.progress.state(), "parts": parts, "rng": rng, "log_length": tools.log.length()}
            tools.checkpoints.save(step, state, parts=names)
        self.saved_at = time.monotonic()


def fetch(items: Iterator[T]) -> T | None:
    """The next item, or None at the end; a loader may draw random numbers, but not the run's."""
    with undisturbed():
        return next(items, None)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the global generators as they were: fetching data or validating must not change what is learned."""
    state = rng_state()
    try:
        yield
    finally:
        set_rng_state(state)
