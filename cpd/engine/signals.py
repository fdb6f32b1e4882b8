"""Ask a run to stop at its next safe point (SIGTERM, SIGUSR1). Imports no torch: it is installed before that loads."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cpd.errors import EX_REQUEUE, CpdError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Which signal asked us to stop; `reason` is "" until one arrives."""

    def __init__(self) -> None:
        self.reason = ""

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: only takes note, since anything else could tear what is being written."""
        self.reason = signal.Signals(number).name


class Requeue(CpdError):
    """A signal asked us to stop; everything is saved, and the same command goes on from there."""

    def __init__(self, reason: str, *, step: int | None = None) -> None:
        super().__init__(
            f"stopped by {reason}{'' if step is None else f' after step {step}'}; the state is saved",
            hint="run the same command again to go on",
            exit_code=EX_REQUEUE,
        )


@contextmanager
def watching() -> Iterator[StopRequest]:
    """Take note of stop signals within the block; the handlers before it come back afterwards."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may set handlers: whoever owns it watches
        return
    before = {number: signal.signal(number, request.receive) for number in STOP_SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
