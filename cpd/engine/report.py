"""What a run shows while it goes: the progress bar, and metrics.jsonl with its trackers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from cpd.engine import distributed
from cpd.engine.progress import Progress
from cpd.engine.task import Agreed, Plan, StepResult, Tools


class Report:
    """The bar of rank 0 (clips done of all, clips a second, time left) and the log.

    Args:
        plan: how often steps are logged.
        tools: world and log.
        total: clips of all stages, at most.
        done: clips of the runs before this one.
    """

    def __init__(self, plan: Plan, tools: Tools, *, total: int, done: int) -> None:
        self.plan, self.tools = plan, tools
        hidden = None if tools.world.first else True
        self.bar = tqdm(total=total, initial=done, unit="clip", disable=hidden, dynamic_ncols=True)
        self.parts: dict[str, float] = {}
        self.shown: dict[str, str] = {}
        self.validation: dict[str, str] = {}

    def step(self, progress: Progress, row: dict[str, Any], results: Sequence[StepResult], agreed: Agreed) -> None:
        """One optimiser step: the bar always, the log every `log_every` steps. All ranks call."""
        loss = agreed.loss_sum / agreed.count if agreed.count else math.nan
        if progress.step % self.plan.log_every == 0:
            self.parts = self._parts(results)
            rate = agreed.count / max(row["seconds"], 1e-9)
            where = {"step": progress.step, "epoch": progress.epoch, "stage": progress.stage}
            where["world_size"] = self.tools.world.size
            measured = {**where, **row, **self.parts, "loss": loss, "clips_per_second": rate}
            self.tools.log.append({"event": "step", **measured})
        self.bar.update(agreed.count)
        self.shown = self._shown(progress, row, loss)
        self.bar.set_postfix({**self.shown, **self.validation}, refresh=False)

    def epoch(self, row: dict[str, Any], *, seconds: float, clips: int) -> None:
        """One epoch is done, and validated if the row says so."""
        found = row.get("validation", {})
        self.validation |= {f"val_{name}": f"{found[name]:.1f}" for name in ("r1", "top1", "clip_r1") if name in found}
        self.bar.set_postfix({**self.shown, **self.validation})
        self.tools.log.append({"event": "epoch", **row, "seconds": seconds, "clips": clips})

    def close(self) -> None:
        """Leave the bar as it is, and let trackers finish."""
        self.bar.close()
        self.tools.log.close()

    def _shown(self, progress: Progress, row: dict[str, Any], loss: float) -> dict[str, str]:
        """Stage and epoch, loss and its parts, learning rates, seconds of the step and, of them, waiting for data."""
        shown = {"epoch": f"{progress.stage}/{progress.epoch}", "loss": f"{loss:.4f}"}
        shown |= {name: f"{value:.3f}" for name, value in self.parts.items() if name != "loss"}
        shown |= {f"lr_{name}": f"{value:.2g}" for name, value in row["lrs"].items()}
        shown["step"] = f"{row['seconds']:.2f}s"
        shown["data"] = f"{row['data_seconds']:.2f}s"
        return shown

    def _parts(self, results: Sequence[StepResult]) -> dict[str, float]:
        """Parts of the loss, averaged over the global batch."""
        local = [(result.count, {k: float(v) for k, v in result.parts.items()}) for result in results if result.count]
        gathered = [pair for rank in distributed.gather_objects(local, self.tools.world) for pair in rank]
        total = sum(count for count, _ in gathered)
        names = sorted({name for _, parts in gathered for name in parts})
        return {name: sum(count * parts[name] for count, parts in gathered) / total for name in names}
