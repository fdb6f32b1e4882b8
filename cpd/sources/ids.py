"""Which ids are safe to use in an address or a path, and the page address of an id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.sources.pair import ID

if TYPE_CHECKING:
    from cpd.config import Source

YOUTUBE_PAGE = "https://www.youtube.com/watch?v={id}"
YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}\Z")


def is_valid(identity: str, source: Source) -> bool:
    """Whether the id may be used in a path or an address: YouTube's form where the pages are its, else `pair.ID`."""
    is_youtube = source.kind == "kinetics" or "youtu" in (source.url or "")
    return bool((YOUTUBE_ID if is_youtube else ID).match(identity))


def page_url(identity: str, source: Source) -> str:
    """The page to crawl for an id; "" when the id is not valid. `{port}` stays to be filled by the crawl."""
    if source.url is None:
        raise CpdError(f"a source of kind {source.kind} needs `url` or `videos`", hint=f"as url: {YOUTUBE_PAGE}")
    return source.url.replace("{id}", identity) if is_valid(identity, source) else ""
