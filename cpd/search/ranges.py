"""Bytes with HTTP ranges (RFC 9110, section 14), which browsers need to play and to seek."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

_ONE_RANGE = re.compile(r"bytes=\s*(?P<first>[0-9]*)-(?P<last>[0-9]*)\s*\Z", re.ASCII | re.IGNORECASE)
_DIGITS = 18  # more than any file has: int() of a long number is slow


def serve_bytes(request: Request, content: bytes, *, media_type: str, etag: str) -> Response:
    """The content, or the range of it that the request asks for: 200, 206, 304 or 416.

    A header that cannot be read, or that asks for several ranges, is ignored, as the standard allows.

    Args:
        request: its headers Range, If-Range and If-None-Match are heeded.
        content: the whole.
        media_type: of the whole.
        etag: names this content, without quotes.
    """
    tag = f'"{etag}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag, "Cache-Control": "private, max-age=600"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    wanted = request.headers.get("range") if request.headers.get("if-range", tag) == tag else None
    part = find_range(wanted or "", len(content))
    if part is None:
        return Response(content, headers=headers, media_type=media_type)
    if not part:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part.start : part.stop], status_code=206, headers=headers, media_type=media_type)


def find_range(header: str, size: int) -> range | None:
    """The bytes that a Range header asks for of `size`: an empty range cannot be served, None asks for all."""
    match = _ONE_RANGE.match(header)
    if match is None or not any(match.groups()) or max(map(len, match.groups())) > _DIGITS:
        return None
    first, last = match["first"], match["last"]
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)
