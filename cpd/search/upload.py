"""A file from a form: from this page alone, not too large, not too many at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

LARGEST = 64 << 20  # bytes of an upload
SWALLOWED = 16 * LARGEST  # bytes of any request: a browser shows an answer only when it has sent all, so we read on
AT_ONCE = 4
PATIENCE = 120.0  # seconds until a file has arrived
_AROUND = 64 << 10  # bytes of a form around its file
FIELD = "clip"


@dataclass(frozen=True)
class Upload:
    """A file that has arrived: its name, as the browser says, and its bytes."""

    name: str
    file: IO[bytes]


class Uploads:
    """Receives files, `AT_ONCE` at the same time."""

    def __init__(self) -> None:
        self._under_way = 0

    @asynccontextmanager
    async def receive(self, request: Request) -> AsyncIterator[Upload]:
        """The file of a form, until the end of the block.

        Raises:
            HTTPException: 403 from another site's page, 411 without a length, 413 too large, 408 too slow, 400 without
                a file, 503 when too many are under way; the detail is for the page.
        """
        _check_origin(request)
        if self._under_way >= AT_ONCE:
            raise HTTPException(503, "Too many clips are being looked at. Try again in a moment.", {"Retry-After": "5"})
        self._under_way += 1
        try:
            await _check_length(request)
            yield _the_file(await _form(request))
        finally:
            self._under_way -= 1
            await request.close()


async def _form(request: Request) -> FormData:
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.form(max_files=1, max_fields=4)
    except TimeoutError:
        raise HTTPException(408, "The file took too long to arrive.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The file did not arrive whole.") from None


def _check_origin(request: Request) -> None:
    """Other sites' pages can send forms here, too: a browser says whose page it was."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "Only this page may send clips.")


async def _check_length(request: Request) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(411, "The request does not say how long it is.")
    if int(length) > LARGEST + _AROUND:
        await _swallow(request)
        raise HTTPException(413, f"The file is too large: {int(length) >> 20} MB; {LARGEST >> 20} MB are the limit.")


async def _swallow(request: Request) -> None:
    """Read a body and drop it."""
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(PATIENCE):
            async for _ in request.stream():
                pass


def _the_file(form: FormData) -> Upload:
    field = form.get(FIELD)
    if not isinstance(field, UploadFile) or not field.filename or not field.size:
        raise HTTPException(400, "No file was chosen, or it is empty.")
    return Upload(field.filename, field.file)
