"""One writer a run folder: a lock file that says who holds it, and can be told from one that a dead job left.

No flock, which not every cluster's file system keeps between nodes: the file is made with O_EXCL, its holder touches
it, and ages are differences between times that the file server gave, so that no node's clock matters. A holder that
lost its lock (a node cut off for minutes comes back) finds out before it saves, writes a result or removes checkpoints,
and stops.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cpd import slurm
from cpd.engine.signals import Requeue
from cpd.errors import EX_TEMPFAIL, CpdError

NAME = "run.lock"
BEAT = 15.0  # seconds between two signs of life
SILENCE = 120.0  # without one for so long, the holder counts as dead where nothing else tells
LOOK = 2.0  # seconds between two looks of who waits
REMIND = 300.0
HELD = "CPD_RUN_LOCK"  # token of the lock that this process's parent, or itself, holds


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock: `started` tells a process from a later one of the same id, `space` is its PID namespace."""

    host: str
    space: str
    pid: int
    started: int
    job: str
    token: str

    def __str__(self) -> str:
        return f"{f'job {self.job}, ' if self.job else ''}process {self.pid} on {self.host}"


class Lost(CpdError):
    """Another process took the lock: nothing may be written any more. `told` is what `lost` returned."""

    def __init__(self, told: str) -> None:
        super().__init__(
            f"{told}; this process stops without writing",
            hint="nothing is lost: the other one went on from what was saved last",
            exit_code=EX_TEMPFAIL,
        )


def myself() -> Holder:
    """This process, with a token of its own."""
    return Holder(
        host=socket.gethostname(),
        space=os.readlink("/proc/self/ns/pid"),
        pid=os.getpid(),
        started=start_of(os.getpid()) or 0,
        job=slurm.job_id(),
        token=secrets.token_hex(8),
    )


def start_of(pid: int) -> int | None:
    """When a process of this host began, in clock ticks since boot; None when there is none, or only a zombie."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(rest[18])


def stale(holder: Holder, silent: float, *, me: Holder, state: Callable[[str], str | None]) -> str:
    """Why a lock no longer counts, "" while it does.

    Args:
        holder: who holds it.
        silent: seconds since its last sign of life.
        me: who asks.
        state: of a Slurm job, as `slurm.job_state`.
    """
    if (holder.host, holder.space) == (me.host, me.space):
        return "" if start_of(holder.pid) == holder.started else "that process has ended"
    if holder.job and holder.job == me.job:
        return "an earlier start of this same job"
    told = state(holder.job) if holder.job else None
    if told is not None:
        return "" if told not in ("GONE", *slurm.OVER, *slurm.WAITING) else f"that job is {told.lower()}"
    return f"no sign of life for {silent:.0f} s" if silent > SILENCE else ""


@contextmanager
def held(folder: Path, *, stop: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Hold the lock of `folder` within the block; waits while another process holds it.

    Waiting, not failing: when the other one finishes, there is nothing left to do, and a job that fails would make
    Snakemake delete what the other one wrote.

    Args:
        folder: the run folder; made when absent.
        stop: asked while waiting for a reason to give up.

    Raises:
        Requeue: `stop` gave a reason.
    """
    if os.environ.get(HELD) or os.environ.get("RANK", "0") != "0":
        yield  # a process of a run whose parent, or rank 0, holds the lock
        return
    path, me = folder / NAME, myself()
    _take(path, me, stop)
    os.environ[HELD] = f"{me.token}:{path.absolute()}"
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, me, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        del os.environ[HELD]
        if token_of(path) == me.token:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # folders that hold anything stay
            folder.rmdir()
            folder.parent.rmdir()


def check() -> None:
    """Make sure that the lock is still ours; several ranks do so before they write by `together.check_lock`.

    Raises:
        Lost: another process took it.
    """
    told = lost()
    if told:
        raise Lost(told)


def lost() -> str:
    """Which lock of ours was taken over, and by whom; "" while it is ours, or where none is held."""
    token, _, path = os.environ.get(HELD, "").partition(":")
    if not token or token_of(Path(path)) == token:
        return ""
    return f"{path}: taken over by {read(Path(path)) or 'somebody who has finished'}"


def checked(stop: Callable[[], str]) -> Callable[[], str]:
    """`stop`, after a look at the lock every `BEAT` seconds and before any stop, since stopping saves."""
    looked = time.monotonic()

    def reason() -> str:
        nonlocal looked
        told = stop()
        if told or time.monotonic() - looked > BEAT:
            looked = time.monotonic()
            check()
        return told

    return reason


def read(path: Path) -> Holder | None:
    """Who holds a lock; None when nobody does, or the file is being written."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Holder)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def token_of(path: Path) -> str:
    """The token in a lock file, "" without one."""
    holder = read(path)
    return holder.token if holder else ""


def silence(path: Path) -> float:
    """Seconds since the last sign of life, by the clock of the file server."""
    probe = path.with_name(f".tmp.{os.getpid()}.{secrets.token_hex(4)}.clock")
    probe.touch()
    try:
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink()


def _take(path: Path, me: Holder, stop: Callable[[], str]) -> None:
    told = -REMIND
    while not _make(path, me):
        holder, reason = _judge(path, me)
        if reason and _remove(path, holder):
            print(f"{path}: left by {holder or 'a dead process'} ({reason}); taken over", file=sys.stderr)
            continue
        if holder and time.monotonic() - told >= REMIND:
            told = time.monotonic()
            print(f"{path}: held by {holder}; waiting until it has ended (or end one of us)", file=sys.stderr)
        if stop():
            raise Requeue(stop())
        time.sleep(LOOK)


def _make(path: Path, me: Holder) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except (FileExistsError, FileNotFoundError):  # held, or its folder was just removed by who released it
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(me))
        file.flush()
        os.fsync(file.fileno())
    return True


def _judge(path: Path, me: Holder) -> tuple[Holder | None, str]:
    """Who holds the lock, and why that no longer counts."""
    holder = read(path)
    try:
        silent = silence(path)
    except FileNotFoundError:
        return None, ""  # released meanwhile
    if holder is None:  # torn, or still being written
        return None, f"half-written for {silent:.0f} s" if silent > BEAT else ""
    return holder, stale(holder, silent, me=me, state=slurm.job_state)


def _remove(path: Path, holder: Holder | None) -> bool:
    """Take away a lock that was judged stale, unless it is another one by now; one process at a time does so."""
    guard = path.with_name(f"{NAME}.taking")
    try:
        os.close(os.open(guard, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileNotFoundError:
        return False
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):
            if silence(guard) > SILENCE:  # killed within these few lines
                guard.unlink()
        return False
    try:
        if read(path) != holder:
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        guard.unlink(missing_ok=True)


def _beat(path: Path, me: Holder, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        if token_of(path) == me.token:
            with contextlib.suppress(FileNotFoundError):
                os.utime(path)
