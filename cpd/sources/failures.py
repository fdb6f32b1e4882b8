"""What an error of yt-dlp means for an id (docs/crawl.md has the classes).

By type, then HTTP status, then YouTube's own words. A message nobody has seen is `unknown`, which is tried again as a
network failure is: an id is never given up because of it, and the crawl's summary lists it.
"""

from __future__ import annotations

import errno
import http.client
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cpd.sources import guard
from cpd.sources.deadline import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Failure(Exception):
    """Why an id could not be fetched.

    Args:
        status: word of the ledger.
        reason: one line for people, without addresses.
        transient: whether asking again can help.
    """

    def __init__(self, status: str, reason: str, *, transient: bool = False) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.transient = transient


_BY_HTTP_STATUS = {401: "private", 403: "private", 404: "gone", 410: "gone", 429: "blocked", 451: "region"}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_SHORT = r"\d+ bytes read, \d+ more expected|downloaded \d+ bytes, expected \d+ bytes"

# Order matters: "Video unavailable. The uploader has not made this video available in your country" is a region.
_BY_WORDS = (
    ("not_video", guard.WORDS),  # some of yt-dlp's downloaders keep nothing of an exception but its words
    ("blocked", r"not a bot|rate.?limit|too many requests|captcha|unusual traffic"),
    ("blocked", r"content isn.t available, try again later"),
    ("age", r"confirm your age|age.restricted|inappropriate for some users"),
    ("region", r"in your (country|location|region)|geo.?restrict|not available from your location"),
    (
        "live",
        r"live event will begin|premieres? (in|will begin)|is live|is (currently )?offline"
        r"|live stream recording is not available",
    ),
    (
        "private",
        r"private video|video is private|join this channel|members.only|requires payment|log ?in (is )?required",
    ),
    ("gone", r"removed|terminated|copyright|no longer available|deleted|account.* closed"),
    ("gone", r"^video unavailable\.?$|video is unavailable\.?$|this video is no longer"),
    ("not_video", r"unsupported url|no suitable extractor"),
)
_NETWORK = (
    r"timed? ?out|no end after|connection|reset by peer|unreachable|resolve|resolution|\bssl\b|proxy"
    r"|ffmpeg exited with code"
)


def classify(error: BaseException) -> Failure:
    """The failure that an exception of yt-dlp stands for."""
    causes = list(_causes(error))
    reason = _reason(causes)
    for cause in causes:
        if isinstance(cause, Failure):
            return cause
        if isinstance(cause, guard.PrivateAddress):
            return Failure("not_video", f"refused: {cause}")
        if isinstance(cause, DeadlineError):
            return Failure("network", str(cause), transient=True)
        if type(cause).__name__ == "GeoRestrictedError":
            return Failure("region", reason)
        if type(cause).__name__ == "UnsupportedError":
            return Failure("not_video", "the page holds no video")
    if short := re.search(_SHORT, reason, re.IGNORECASE):
        return Failure("corrupt", f"truncated: {short[0]}", transient=True)
    found = _by_http_status(causes, reason) or _by_words(reason)
    return found or Failure("network" if _is_network(causes, reason) else "unknown", reason, transient=True)


def _is_network(causes: list[BaseException], reason: str) -> bool:
    """yt-dlp's TransportError and its kin, and what Python raises for sockets."""
    of_transport = any(kind.__name__ == "TransportError" for cause in causes for kind in type(cause).__mro__)
    of_python = any(isinstance(cause, (ConnectionError, TimeoutError, http.client.HTTPException)) for cause in causes)
    return of_transport or of_python or bool(re.search(_NETWORK, reason, re.IGNORECASE))


def is_disk_full(error: BaseException) -> bool:
    """Whether a full disk or quota is behind an exception: that is no fault of the id."""
    return any(isinstance(cause, OSError) and cause.errno in _FULL for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what caused it, outermost first; yt-dlp keeps causes in three places."""
    seen: set[int] = set()
    queue = [error]
    while queue:
        item = queue.pop(0)
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        yield item
        exc_info = getattr(item, "exc_info", None)
        queue += [exc_info[1] if exc_info else None, getattr(item, "cause", None), item.__cause__, item.__context__]
        queue += getattr(item, "unexpected_errors", [])


def _by_http_status(causes: list[BaseException], reason: str) -> Failure | None:
    for cause in causes:
        if type(cause).__name__ == "HTTPError":
            code = getattr(cause, "status", 0)
            host = urlsplit(getattr(getattr(cause, "response", None), "url", "")).hostname or ""
            # YouTube tells a video's state in words; its 403 and 404 are expired addresses and changed interfaces
            is_state = code == 429 or not host.endswith(("youtube.com", "googlevideo.com"))
            if is_state and code in _BY_HTTP_STATUS:
                return Failure(_BY_HTTP_STATUS[code], f"HTTP {code}")
            if 300 <= code < 400:
                return Failure("not_video", f"HTTP {code}: redirected to what is not asked for")
            return Failure("network", f"HTTP {code}", transient=True)
    return None


def _by_words(reason: str) -> Failure | None:
    for status, pattern in _BY_WORDS:
        if re.search(pattern, reason, re.IGNORECASE):
            return Failure(status, reason)
    return None


def _reason(causes: list[BaseException]) -> str:
    """One line of the innermost message that says something, without addresses, colours and advice."""
    texts = [getattr(cause, "orig_msg", None) or str(cause) for cause in causes]
    text = next((text for text in texts[1:] if text), texts[0])
    text = re.sub(r"\x1b\[[0-9;]*m|^ERROR: |\r?\[download\] Got error: ", "", text)
    text = re.sub(r"\S+://\S+|\S+:\S+@\S+", "(address)", text)  # the second: a proxy's password
    text = re.split(r"; please report this issue|\. Use --cookies", text)[0]
    return " ".join(text.split())[:300] or type(causes[0]).__name__
