"""A run's metrics.jsonl, which may still be written to."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from cpd.errors import CpdError


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a log, [] where there is none; a last line without its end (a run that is writing) is not one yet.

    Raises:
        CpdError: another line is not JSON.
    """
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    whole = itertools.takewhile(lambda line: line.endswith(b"\n"), lines)
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise CpdError(f"{path}: {error}", hint="the curves leave it out; `cpd pretrain` writes it anew") from None


def epochs_of(path: Path) -> list[dict[str, Any]]:
    """The rows at the ends of epochs (see `rows_of`)."""
    return [row for row in rows_of(path) if row.get("event") == "epoch"]
