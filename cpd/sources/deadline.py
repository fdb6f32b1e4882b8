"""A limit on how long something takes, whatever it waits for: a server that drips, a program that hangs."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN = 2.0  # seconds until it is raised again, where a library swallowed it


class DeadlineError(TimeoutError):
    """The time is over."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Interrupt what runs inside after so many seconds.

    Works by SIGALRM, so in the main thread alone (elsewhere there is no limit); a timer that was set before is
    restored.

    Raises:
        DeadlineError: inside the context, wherever it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise DeadlineError(f"no end after {seconds:g} s")

    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if delay:
            left = max(delay - (time.monotonic() - begun), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)
