"""How much memory some work takes at most, above what was held before it (Linux)."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int:
    """Bytes of this process in memory now."""
    return _field("VmRSS")


def peak(work: Callable[[], object]) -> int:
    """Bytes that this process held at most during the work, above what it held before."""
    gc.collect()
    _RESET.write_text("5")  # the high-water mark begins anew (proc(5))
    before = resident()
    work()
    return max(_field("VmHWM") - before, 0)


def _field(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
