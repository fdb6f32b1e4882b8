"""The site: which address gives what, and what every answer carries for the browser's safety.

Nothing that a browser sends ever becomes a path: clips are looked up by key in the run's features, dropped clips by
token in memory.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cpd.errors import CpdError
from cpd.search.assets import ICON, SCRIPT, STYLE
from cpd.search.pages import Pages, shown_name
from cpd.search.query import QueryError, parse_query
from cpd.search.ranges import serve_bytes
from cpd.search.recent import Dropped, Recent
from cpd.search.upload import SWALLOWED, Uploads
from cpd.video.probe import VideoError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cpd.search.searcher import Searcher

MP4 = "video/mp4"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it a browser sends forms with `Origin: null`, also to this page itself.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Site:
    """Answers requests.

    Args:
        searcher: what is searched.
        seconds: of a dropped clip that are looked at.
    """

    def __init__(self, searcher: Searcher, *, seconds: float) -> None:
        self.searcher = searcher
        self.gallery = searcher.gallery
        self.pages = Pages(searcher, seconds=seconds)
        self.recent = Recent()
        self.uploads = Uploads()

    def home(self, request: Request) -> Response:
        """The start page, or clips for a sentence."""
        query = parse_query(request.query_params.get("q", ""), title=self.gallery.exp.title)
        if query is None:
            return self.pages.home()
        if not self.gallery.has_text:
            raise HTTPException(409, f"The run {self.gallery.place.run} did not learn from titles.")
        return self.pages.found(query, self.searcher.by_sentence(query.read))

    def clip(self, request: Request) -> Response:
        """A clip of the gallery, and what is like it."""
        row = self._row(request)
        return self.pages.clip(self.gallery.clips[row], self.searcher.like(row))

    def clip_video(self, request: Request) -> Response:
        """Its bytes."""
        row = self._row(request)
        return serve_bytes(request, self.gallery.video(row), media_type=MP4, etag=self.gallery.clips[row].sha256)

    async def drop(self, request: Request) -> Response:
        """Look at a clip from a form, and lead to its page."""
        async with self.uploads.receive(request) as upload:
            started, name = time.perf_counter(), shown_name(upload.name)
            try:
                seen = await run_in_threadpool(self.searcher.network.look, upload.file)
            except VideoError as error:
                raise HTTPException(422, f"{name} cannot be used: {error.reason} ({error.status}).") from None
        answer = await run_in_threadpool(self.searcher.of_dropped, seen, started=started)
        token = self.recent.add(Dropped(name, seen.video, answer))
        return RedirectResponse(f"/dropped/{token}", status_code=303)

    def dropped(self, request: Request) -> Response:
        """What was found for a dropped clip."""
        token = request.path_params["token"]
        return self.pages.dropped(token, self._dropped(token))

    def dropped_video(self, request: Request) -> Response:
        """The clip that was cut from it."""
        token = request.path_params["token"]
        return serve_bytes(request, self._dropped(token).video, media_type=MP4, etag=token)

    def on_error(self, request: Request, error: Exception) -> Response:
        """A page that says why."""
        if isinstance(error, HTTPException):
            headers = dict(error.headers or {})
            return self.pages.trouble(error.status_code, _heading(error.status_code), error.detail, headers=headers)
        if isinstance(error, QueryError):
            return self.pages.trouble(400, _heading(400), str(error))
        if isinstance(error, CpdError):  # its message names files, which are nobody's business but the owner's
            print(f"error: {request.url.path}: {error}", file=sys.stderr, flush=True)
        return self.pages.trouble(500, _heading(500), "The server says more where it was started.")

    def _row(self, request: Request) -> int:
        row = self.gallery.row_of.get(request.path_params["key"])
        if row is None:
            raise HTTPException(404, "There is no such clip here.")
        return row

    def _dropped(self, token: str) -> Dropped:
        found = self.recent.get(token)
        if found is None:
            raise HTTPException(404, "Dropped clips are kept for a while only. Drop it again.")
        return found


def build_app(searcher: Searcher, *, hosts: Sequence[str], seconds: float = 10.0) -> ASGIApp:
    """The site as an ASGI application.

    Args:
        searcher: what is searched.
        hosts: names under which it may be asked (a page that made its own name point here is turned away).
        seconds: of a dropped clip that are looked at.
    """
    site = Site(searcher, seconds=seconds)
    routes = [
        Route("/", site.home),
        Route("/clip/{key}.mp4", site.clip_video),
        Route("/clip/{key}", site.clip),
        Route("/clip", site.drop, methods=["POST"]),
        Route("/dropped/{token}.mp4", site.dropped_video),
        Route("/dropped/{token}", site.dropped),
        *(_asset(path, text, media_type) for path, text, media_type in _ASSETS),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers=dict.fromkeys((HTTPException, QueryError, CpdError, Exception), site.on_error),
        max_body_size=SWALLOWED,
    )
    return _with_headers(app)


_ASSETS = (
    ("/style.css", STYLE, "text/css"),
    ("/page.js", SCRIPT, "text/javascript"),
    ("/icon.svg", ICON, "image/svg+xml"),
)


def _asset(path: str, text: str, media_type: str) -> Route:
    def serve(request: Request) -> Response:
        return Response(text, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return Route(path, serve)


def _heading(status: int) -> str:
    known = {
        403: "Not from this page",
        404: "Nothing here",
        405: "Not like this",
        409: "No sentences here",
        422: "Not a clip that can be used",
        503: "Busy",
    }
    return known.get(status, "Something went wrong" if status >= 500 else "That did not work")


def _with_headers(app: ASGIApp) -> ASGIApp:
    """Every answer of `app`, errors included, with `HEADERS`."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await app(scope, receive, send_with)

    return wrapped
