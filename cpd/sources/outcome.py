"""What becomes of an id: one row of a crawl's result, of a few kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from cpd.sources.pair import Pair


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the crawl's result; seconds are those of the file at `path`.

    `path` is "" unless status is ok, and also for an id that is ok when titles alone are crawled.
    """

    id: str
    status: str
    reason: str = ""
    title: str = ""
    path: str = ""
    bytes: int = 0
    sha256: str = ""
    start: float = 0.0
    end: float | None = None
    label: str = ""
    folds: dict[str, str] = {}


def ok(pair: Pair, *, title: str, path: Path, size: int, sha256: str, section: tuple[float, float] | None) -> Row:
    """An id whose media is at `path`. Times become those of the file: a section begins at 0."""
    start, end = (0.0, section[1] - section[0]) if section else (pair.start, pair.end)
    return Row(
        id=pair.id,
        status="ok",
        title=title,
        path=str(path),
        bytes=size,
        sha256=sha256,
        start=start,
        end=end,
        label=pair.label,
        folds=pair.folds,
    )


def titled(pair: Pair, *, title: str) -> Row:
    """An id whose title is known and whose media is not wanted."""
    return Row(id=pair.id, status="ok", title=title, start=pair.start, end=pair.end, label=pair.label, folds=pair.folds)


def failed(pair: Pair, status: str, reason: str) -> Row:
    """An id that has no media. What was taken down keeps no title either."""
    return Row(
        id=pair.id,
        status=status,
        reason=reason,
        title="" if status == "removed" else pair.title,
        start=pair.start,
        end=pair.end,
        label=pair.label,
        folds=pair.folds,
    )


def is_transient(status: str, reason: str) -> bool:
    """Whether asking again may help."""
    return status in ("network", "unknown") or (status == "corrupt" and reason.startswith("truncated"))
