"""Probe files that nobody here made in a process of its own: a decoder that crashes takes no batch along.

Reading a header runs demuxers and decoders over hostile bytes. The child has bounded memory, writes no core, and is
killed when it hangs; its answers are JSON, never pickles. It is kept from file to file, since importing costs more
than probing.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from threading import Timer
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.video.probe import Probe, VideoError, probe

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from cpd.config import Clips

ATTEMPTS = 2  # the machine may have killed the first one
MEMORY = 4 << 30  # bytes of address space


class Probers:
    """Some probing processes for as many threads; each starts when it is first needed, and again when it has died."""

    def __init__(self, number: int, clips: Clips) -> None:
        self._free: SimpleQueue[_Child] = SimpleQueue()
        self._all = [_Child(clips) for _ in range(number)]
        for child in self._all:
            self._free.put(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in self._all:
            child.stop()

    def probe(self, path: str | Path) -> Probe:
        """`cpd.video.probe.probe` in a child.

        Raises:
            VideoError: as `probe`; corrupt also where the child died or hung twice over this file.
        CpdError: the file cannot be read (the machine's fault).
        """
        child = self._free.get()
        try:
            for _ in range(ATTEMPTS):
                answer = child.ask(path)
                if answer is not None:
                    return _unpack(answer)
        finally:
            self._free.put(child)
        raise VideoError("corrupt", "reading its header crashed or hung, twice")


class _Child:
    def __init__(self, clips: Clips) -> None:
        self._clips = clips
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: str | Path) -> dict[str, Any] | None:
        """The answer about one file, or None when the process died of it or hung (it is gone then)."""
        process = self._process = self._process or _start(self._clips)
        assert process.stdin is not None
        assert process.stdout is not None
        timer = Timer(self._clips.timeout, process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it died: the empty answer tells
                process.stdin.write(json.dumps(str(path)).encode() + b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            self.stop()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._process = None


def _start(clips: Clips) -> subprocess.Popen[bytes]:
    settings = msgspec.json.encode(clips).decode()
    command = [sys.executable, "-m", "cpd.video.prober", settings]
    # A group of its own: Ctrl-C is the parent's to handle.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _unpack(answer: dict[str, Any]) -> Probe:
    if "fault" in answer:
        raise CpdError(answer["fault"], hint="mend the disk or the permissions", exit_code=EX_TEMPFAIL)
    if "status" in answer:
        raise VideoError(answer["status"], answer["reason"])
    return Probe(**answer | {"fps": Fraction(answer["fps"])})


def _answer(path: str, clips: Clips) -> dict[str, Any]:
    try:
        found = probe(path, clips)
    except VideoError as error:
        return {"status": error.status, "reason": error.reason}
    except (CpdError, OSError) as error:
        return {"fault": error.message if isinstance(error, CpdError) else f"{path}: {error.strerror}"}
    return asdict(found) | {"fps": str(found.fps)}


def _serve(clips: Clips) -> None:
    """Answer one JSON path a line with one JSON object a line, until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        print(json.dumps(_answer(json.loads(line), clips)), flush=True)


if __name__ == "__main__":
    from cpd.config import Clips

    _serve(msgspec.json.decode(sys.argv[1], type=Clips))
