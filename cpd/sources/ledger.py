"""The ledger of a chunk: every attempt at every id, appended and flushed, by one writer at a time."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import fsync, named_errors

if TYPE_CHECKING:
    from types import TracebackType

PENDING = "pending"  # a row that re-opens an id: earlier attempts do not count


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a ledger. It holds no address, no cookie and nothing else that is secret.

    Attributes:
        seq: number of the row; order is by it, never by a clock.
        attempt: how many times the id was asked for since it was last re-opened; 0 where nothing was fetched.
        t: Unix seconds.
    """

    seq: int
    id: str
    status: str
    reason: str = ""
    attempt: int = 0
    t: float = 0.0
    bytes: int = 0
    sha256: str = ""


def read_ledger(path: Path) -> list[Row]:
    """Rows in order; a line that a crash tore is not a row."""
    return _parse(path.read_bytes(), path=path) if path.exists() else []


def _parse(data: bytes, *, path: Path) -> list[Row]:
    rows = []
    for line in data.split(b"\n"):
        try:
            row = msgspec.json.decode(line, type=Row) if line.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            row = None  # torn by a crash: the attempt was not recorded, and is made again
        if row is not None:
            rows.append(row)
    return rows


class Ledger:
    """An open ledger, locked: rows so far, and `append`.

    Raises:
        CpdError: another process holds it (exit code 75: try again later).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle: IO[bytes] = open(self.path, "a+b")  # noqa: SIM115 - closed by __exit__
        self._lock()
        self._handle.seek(0)
        data = self._handle.read()
        self._torn = bool(data) and not data.endswith(b"\n")
        self._seq = 0
        self.by_id: dict[str, list[Row]] = {}
        for row in _parse(data, path=self.path):
            self._remember(row)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with named_errors(self.path):
            self._handle.close()

    def append(
        self, identity: str, status: str, *, reason: str = "", attempt: int = 0, bytes: int = 0, sha256: str = ""
    ) -> Row:
        """Write one row through to the disk."""
        row = Row(
            seq=self._seq + 1,
            id=identity,
            status=status,
            reason=reason,
            attempt=attempt,
            t=round(time.time(), 3),
            bytes=bytes,
            sha256=sha256,
        )
        with named_errors(self.path):
            self._handle.write((b"\n" if self._torn else b"") + msgspec.json.encode(row) + b"\n")
            self._handle.flush()
            os.fsync(self._handle.fileno())
        if self._seq == 0:
            fsync(self.path.parent)
        self._torn = False
        self._remember(row)
        return row

    def last(self, identity: str) -> Row | None:
        """The newest row of an id."""
        rows = self.by_id.get(identity)
        return rows[-1] if rows else None

    def attempts(self, identity: str) -> int:
        """Attempts at an id since it was last re-opened or fetched."""
        return attempts(self.by_id.get(identity, []))

    def _remember(self, row: Row) -> None:
        self._seq = max(self._seq, row.seq)
        self.by_id.setdefault(row.id, []).append(row)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._handle.close()
            raise CpdError(
                f"{self.path}: another crawl of this chunk is running",
                hint="wait for it, or stop it",
                exit_code=EX_TEMPFAIL,
            ) from None


def attempts(rows: list[Row]) -> int:
    """Attempts at an id since it was last re-opened or fetched; rows in order. A block is not an attempt."""
    count = 0
    for row in rows:
        if row.status in (PENDING, "ok"):
            count = 0
        elif row.attempt:
            count += 1
    return count
