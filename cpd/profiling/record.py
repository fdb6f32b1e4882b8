"""What a profile of a training step holds, and what it says in words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

PHASES = ("data", "transfer", "forward", "loss", "backward", "optimiser", "bank")
STARVED = 0.1  # share of a step spent waiting for data, above which the loader is too slow


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, in seconds.

    Attributes:
        experiment: its name.
        device: where it trained.
        steps: by phase, one value a step; `transfer` is the copy to the device (nothing on a CPU), `forward` the
            normalisation, towers and heads.
        clips: samples of a step.
        workers: loader processes.
        cores: that this process may use.
        loader: clips a second that the loader gives when nothing else is done.
        peak_bytes: held on the GPU at most; 0 without one.
    """

    experiment: str
    device: str
    steps: dict[str, tuple[float, ...]]
    clips: float
    workers: int
    cores: int
    loader: float
    peak_bytes: int = 0

    def seconds(self, phase: str) -> float:
        """Median of a phase over the steps."""
        values = sorted(self.steps[phase])
        return values[len(values) // 2]

    @property
    def compute(self) -> float:
        """Seconds of a step without waiting for data."""
        return sum(self.seconds(phase) for phase in PHASES if phase != "data")

    @property
    def waiting(self) -> float:
        """Share of a step's time that is spent waiting for data."""
        total = sum(sum(values) for values in self.steps.values())
        return sum(self.steps["data"]) / total if total else 0.0


def describe(found: Profile) -> str:
    """The phases as a table in words, and whether data come in time."""
    total = sum(found.seconds(phase) for phase in PHASES)
    rows = [
        f"{phase:<10} {1000 * found.seconds(phase):9.2f} ms  {found.seconds(phase) / max(total, 1e-12):6.1%}"
        for phase in PHASES
    ]
    steps = len(found.steps["data"])
    head = f"{found.experiment}: {found.clips:g} clips a step, median of {steps} steps on {found.device}"
    memory = [f"GPU memory at most {found.peak_bytes / 1e9:.2f} GB"] if found.peak_bytes else []
    return "\n".join([head, *rows, *memory, verdict(found)])


def verdict(found: Profile) -> str:
    """Whether the loader keeps up, and what it would take."""
    wanted = found.clips / max(found.compute, 1e-9)
    rates = f"the network takes {wanted:.1f} clips/s, the loader alone gives {found.loader:.1f} ({_workers(found)})"
    if found.waiting <= STARVED:
        return f"data come in time: {found.waiting:.0%} of the time is spent waiting; {rates}"
    each = found.loader / max(found.workers, 1)
    needed = -(-wanted // each) if each else 0
    cores = f"train.workers: {needed:.0f} would do" if each else "no clip came"
    if needed > found.cores:
        cores += f", more than the {found.cores} cores here; clips.short_side: 176 halves the decoding of crops of 112"
    return f"data are late: {found.waiting:.0%} of the time is spent waiting; {rates}; {cores}"


def _workers(found: Profile) -> str:
    return f"{found.workers} workers" if found.workers else "no workers: it loads between the steps"


def phases(found: Profile) -> Sequence[tuple[str, tuple[float, ...]]]:
    """Phases in order, with the seconds of every step."""
    return [(phase, found.steps[phase]) for phase in PHASES]
