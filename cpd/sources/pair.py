"""The Pair: one video and the title somebody wrote for it."""

from __future__ import annotations

import re

import msgspec

ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a plan.

    Attributes:
        id: safe file name (`ID`), unique within its source.
        source: name of the source in the config.
        split: split of the source's list (`train`, `val`, `all`).
        url: page to crawl, or "" when the media is on disk; may hold `{port}` (the loopback site's).
        path: media file on disk, or "" when it is crawled.
        start: first second of the clip in the media (0.0 when it begins there).
        end: last second, or null for the whole.
        title: title from the list, or "" when it is crawled.
        label: class name, or "".
        folds: official membership by fold, {"1": "train" | "test"}; empty where there are none.
    """

    id: str
    source: str
    split: str
    url: str = ""
    path: str = ""
    start: float = 0.0
    end: float | None = None
    title: str = ""
    label: str = ""
    folds: dict[str, str] = {}
