"""Reading a run's metrics.jsonl, which may still be written to: by whom, and how far, is not asked. Imports no torch.

A last line without its end (a run that is writing, or was killed while it wrote) is not a row yet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cpd.errors import CpdError

LAST = 64 * 1024  # bytes from the end of a log that surely hold a whole row


def rows_of(path: Path) -> list[dict[str, Any]]:
    """All rows of a log; [] where there is none.

    Raises:
        CpdError: a whole line is not JSON.
    """
    return _parsed(path.read_bytes().split(b"\n")[:-1], path) if path.is_file() else []


def last_rows(path: Path) -> list[dict[str, Any]]:
    """The last rows of a log, without reading what stands before them; [] where there is none.

    Raises:
        CpdError: a whole line is not JSON.
    """
    if not path.is_file():
        return []
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        handle.seek(max(0, size - LAST))
        lines = handle.read().split(b"\n")
    return _parsed(lines[:-1] if size <= LAST else lines[1:-1], path)


def epochs_of(path: Path) -> list[dict[str, Any]]:
    """The rows at the ends of epochs (see `rows_of`)."""
    return [row for row in rows_of(path) if row.get("event") == "epoch"]


def _parsed(lines: Sequence[bytes], path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in lines if line]
    except ValueError as error:
        raise CpdError(
            f"{path}: {error}", hint="move it away: it only tells of the run, and training goes on without it"
        ) from None
