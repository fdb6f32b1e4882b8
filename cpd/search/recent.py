"""The clips that were dropped last, under names nobody can guess, so that their pages can be reloaded."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cpd.search.searcher import Answer

KEPT = 32


@dataclass(frozen=True)
class Dropped:
    """A dropped clip: the name of its file, the mp4 that was cut from it, and what was found."""

    name: str
    video: bytes
    answer: Answer


class Recent:
    """The last `KEPT` dropped clips, in memory alone."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Dropped] = OrderedDict()
        self._changing = threading.Lock()

    def add(self, dropped: Dropped) -> str:
        """Keep one; returns its name in addresses."""
        token = secrets.token_urlsafe(12)
        with self._changing:
            self._kept[token] = dropped
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return token

    def get(self, token: str) -> Dropped | None:
        """One that is still kept."""
        return self._kept.get(token)
