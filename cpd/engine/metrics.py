"""metrics.jsonl: one row an event, cut back on resume so that no row is there twice."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpd.engine.trackers import Tracker, numbers_of
from cpd.fileio import named_errors


class MetricsLog:
    """Append rows to a jsonl file.

    Args:
        path: the file; made when absent.
        writes: false on ranks other than 0, which write nothing.
        trackers: get the numbers of each row, too.
    """

    def __init__(self, path: str | Path, *, writes: bool = True, trackers: Sequence[Tracker] = ()) -> None:
        self.path = Path(path)
        self.writes = writes
        self.trackers = trackers

    def append(self, row: dict[str, Any]) -> None:
        """Add one row; numbers that JSON lacks become their names ("nan", "inf").

        Raises:
            OSError: it could not be written; the error names the file.
        """
        if not self.writes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with named_errors(self.path), open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(_plain(row), sort_keys=True, allow_nan=False) + "\n")
        if self.trackers:
            numbers = numbers_of(
                {key: value for key, value in row.items() if key not in ("event", "step")}, prefix=str(row["event"])
            )
            for tracker in self.trackers:
                tracker.write(numbers, step=row["step"])

    def close(self) -> None:
        """Let the trackers write what they hold."""
        for tracker in self.trackers:
            tracker.close()

    def length(self) -> int:
        """Bytes that are safely on the disk now; a checkpoint remembers them."""
        if not self.path.exists():
            return 0
        with named_errors(self.path), open(self.path, "rb") as handle:
            os.fsync(handle.fileno())
            return os.fstat(handle.fileno()).st_size

    def cut(self, length: int) -> None:
        """Drop everything after `length` bytes: rows of steps that will be done again."""
        if self.writes and self.path.exists() and self.path.stat().st_size > length:
            os.truncate(self.path, length)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
