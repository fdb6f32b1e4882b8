"""How far every pretraining is, from the files in its run folder; on whichever node it runs. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cpd.config import Config, experiment
from cpd.engine import runlock
from cpd.engine.log import last_rows

HEAD = ("run", "state", "epoch", "step", "loss", "clips/s", "saved step", "held by")


@dataclass(frozen=True)
class RunState:
    """One run.

    Attributes:
        state: done; training (its lock shows signs of life); silent (a lock without them: its process may be dead);
            stopped (checkpoints, and nobody at work); waiting (not begun).
        epoch: epochs that are done, of at most `epochs`.
        step: newest step in the log; `saved_step` of the newest checkpoint: what lies between would be done again.
        holder: job, process and node at work, "" for nobody.
        silent_seconds: since the holder's last sign of life.
    """

    run: str
    state: str
    epochs: int
    epoch: int = 0
    step: int = 0
    loss: float | None = None
    clips_per_second: float | None = None
    saved_step: int | None = None
    holder: str = ""
    silent_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def run_states(config: Config) -> list[RunState]:
    """Every run that the config selects, for every seed."""
    names = [(name, seed) for name in config.run for seed in config.seeds]
    return [_state(config, name, name if seed == 0 else f"{name}@{seed}") for name, seed in names]


def _state(config: Config, name: str, run: str) -> RunState:
    folder = Path(config.results) / "pretrain" / run
    epochs = sum(stage.epochs for stage in experiment(config, name).stages)
    if (folder / "metrics.json").exists():
        metrics = json.loads((folder / "metrics.json").read_bytes())
        loss, rate = metrics.get("loss"), metrics.get("clips_per_second")
        done, step = metrics.get("epochs", 0), metrics.get("steps", 0)
        return RunState(run, "done", epochs, epoch=done, step=step, loss=loss, clips_per_second=rate or None)
    rows = last_rows(folder / "metrics.jsonl")
    steps = [row for row in rows if row["event"] == "step"]
    newest = steps[-1] if steps else {}
    saved = max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=None)
    holder, silent = _holder(folder)
    return RunState(
        run,
        _word(holder, silent, begun=saved is not None or bool(rows)),
        epochs,
        epoch=max((row["epoch"] + (row["event"] == "epoch") for row in rows), default=0),
        step=newest.get("step", 0),
        loss=newest.get("loss"),
        clips_per_second=newest.get("clips_per_second"),
        saved_step=saved,
        holder=str(holder or ""),
        silent_seconds=silent,
    )


def _word(holder: runlock.Holder | None, silent: float | None, *, begun: bool) -> str:
    if holder is not None:
        return "silent" if (silent or 0.0) > runlock.SILENCE else "training"
    return "stopped" if begun else "waiting"


def _holder(folder: Path) -> tuple[runlock.Holder | None, float | None]:
    path = folder / runlock.NAME
    holder = runlock.read(path)
    try:
        return holder, runlock.silence(path) if holder else None
    except FileNotFoundError:  # released meanwhile
        return None, None
    except PermissionError:  # another person's run: its age by the file server's clock is not for us to know
        return holder, None


def as_table(states: Sequence[RunState]) -> str:
    """The runs as a plain table."""
    rows = [HEAD, *map(_cells, states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    left = (0, 1, len(HEAD) - 1)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cells(state: RunState) -> tuple[str, ...]:
    silent = "" if state.silent_seconds is None else f", {max(0.0, state.silent_seconds):.0f} s ago"
    return (
        state.run,
        state.state,
        f"{state.epoch}/{state.epochs}",
        str(state.step),
        "-" if state.loss is None else f"{state.loss:.4f}",
        "-" if state.clips_per_second is None else f"{state.clips_per_second:.0f}",
        "-" if state.saved_step is None else str(state.saved_step),
        f"{state.holder}{silent}" if state.holder else "-",
    )
