"""The demo's web site, on loopback: a page per video, its media with ranges, and the errors of dead and private ids.

Pages carry JSON-LD (VideoObject) besides og: tags, since that is what gives a title *and* a duration to yt-dlp's
generic extractor. `/hits` counts the requests by path.
"""

from __future__ import annotations

import html
import json
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cpd import fileio
from cpd.errors import CpdError

HOST = "127.0.0.1"
_PATH = re.compile(r"/(watch|media)/([A-Za-z0-9_-]{1,64})(\.mp4)?\Z")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")


@contextmanager
def serve(folder: Path, *, port: int = 0) -> Iterator[int]:
    """Serve `folder` (`pages.json` and `media/`, as `corpus.build` writes `site/`) on 127.0.0.1; yields the port.

    Args:
        folder: the site's folder.
        port: port to bind; 0 takes a free one.

    Raises:
        CpdError: the folder has no pages.json, or the port is taken.
    """
    pages = fileio.read_json(Path(folder) / "pages.json")
    try:
        server = Site((HOST, port), pages=pages, media=Path(folder) / "media")
    except OSError as error:
        raise CpdError(f"port {port} on {HOST}: {error.strerror}", hint="use port 0 for any free one") from None
    with running(server):
        yield server.server_port


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """Answer requests in a thread for as long as the context lasts, then close the server."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Site(ThreadingHTTPServer):
    """The server with its pages and its counters."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], *, pages: dict[str, dict[str, Any]], media: Path) -> None:
        super().__init__(address, _Handler)
        self.pages = pages
        self.media = media
        self._hits: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, path: str) -> None:
        """Count a request."""
        with self._lock:
            self._hits[path] += 1

    def hits(self) -> dict[str, int]:
        """Requests so far, by path."""
        with self._lock:
            return dict(self._hits)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is no error of ours; the rest is printed as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds an idle connection may stay open
    server: Site

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet: `/hits` tells what was asked."""

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer a page, a media file or the counters."""
        path = self.path.split("?")[0]
        self.server.count(path)
        if path == "/hits":
            self._send(HTTPStatus.OK, json.dumps(self.server.hits()).encode(), "application/json")
            return
        found = _PATH.match(path)
        page = self.server.pages.get(found[2]) if found else None
        if not found or page is None or (found[1] == "media") != bool(found[3]):
            self._fail(HTTPStatus.NOT_FOUND)
        elif page["status"] != HTTPStatus.OK:
            self._fail(HTTPStatus(page["status"]))
        elif found[1] == "media":
            self._send_media(self.server.media / page["media"])
        else:
            base = f"http://{HOST}:{self.server.server_port}"
            self._send(HTTPStatus.OK, watch_page(found[2], page, base=base), "text/html; charset=utf-8")

    def _send_media(self, path: Path) -> None:
        data = path.read_bytes()
        wanted = _wanted(self.headers.get("Range", ""), len(data))
        if wanted is None:
            self._send(HTTPStatus.OK, data, "video/mp4", {"Accept-Ranges": "bytes"})
        elif wanted.start >= wanted.stop:
            headers = {"Content-Range": f"bytes */{len(data)}"}
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", "text/plain", headers)
        else:
            part = {"Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{len(data)}", "Accept-Ranges": "bytes"}
            self._send(HTTPStatus.PARTIAL_CONTENT, data[wanted.start : wanted.stop], "video/mp4", part)

    def _fail(self, status: HTTPStatus) -> None:
        self._send(status, status.phrase.encode(), "text/plain")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _wanted(header: str, size: int) -> range | None:
    """Bytes that a Range header asks for: None for the whole (also for headers that RFC 9110 lets us ignore)."""
    found = _RANGE.match(header)
    if not found or found[0] == "bytes=-":
        return None
    if not found[1]:  # the last n bytes
        return range(max(size - int(found[2]), 0), size) if int(found[2]) else range(size, size)
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    return range(first, min(last + 1, size))


def watch_page(video_id: str, page: dict[str, Any], *, base: str) -> bytes:
    """The page of a video, UTF-8. The title comes out of a browser, and of yt-dlp, as it is in `page`."""
    media = f"{base}/media/{video_id}.mp4"
    data = {
        "@context": "https://schema.org",
        "@type": "VideoObject",
        "name": html.escape(page["title"]),
        "contentUrl": media,
        "encodingFormat": "video/mp4",
        "duration": f"PT{page['seconds']:g}S",
        "uploadDate": "2020-01-02",
    }
    linked = json.dumps(data).replace("<", "\\u003c")
    title = html.escape(page["title"])
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title} - demo</title>\n'
        f'<meta property="og:title" content="{title}">\n<meta property="og:video" content="{media}">\n'
        f'<meta property="og:video:type" content="video/mp4">\n<script type="application/ld+json">{linked}</script>\n'
        f"</head>\n<body><h1>{title}</h1></body>\n</html>\n"
    ).encode()
