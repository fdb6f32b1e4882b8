"""A scripted web site on loopback, tiny videos, and configs for crawls of it."""

from __future__ import annotations

import http.server
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import msgspec
import numpy as np
import yaml

from cpd.config import Config
from cpd.fileio import read_jsonl
from cpd.sources.crawl import crawl_chunk, crawl_path
from cpd.sources.plan import write_plan


def make_video(path: Path, *, seconds: float = 2.0, seed: int = 0) -> Path:
    """A 64 x 48 video of moving noise, 10 frames a second."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "5", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(int(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@dataclass
class ScriptedSite:
    """Pages `/watch/{id}` and media `/media/{id}.mp4`; `script` says what the n-th hit of a path is answered.

    A scripted answer is an HTTP status, "truncated", "stall", "drip", "reset", "html", "elsewhere" or "-> ADDRESS" (a
    redirect); when a path's script is used
    up, its last answer is repeated; without one all is well.
    """

    video: bytes
    script: dict[str, list[int | str]] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    titles: dict[str, str] = field(default_factory=dict)
    port: int = 0
    hold: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/watch/{{id}}"

    def answer(self, path: str) -> int | str:
        self.hits[path] += 1
        script = self.script.get(path) or [200]
        return script[min(self.hits[path], len(script)) - 1]

    def media_hits(self, identity: str) -> int:
        return self.hits[f"/media/{identity}.mp4"]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: ScriptedSite

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        answer = self.site.answer(self.path)
        if isinstance(answer, int) and answer != 200:
            self._send(answer, b"no", "text/plain")
        elif isinstance(answer, str) and answer.startswith("-> "):
            self._redirect(answer.removeprefix("-> "))
        elif answer == "reset":
            self.close_connection = True
        elif match := re.fullmatch(r"/watch/([\w-]+)", self.path):
            self._send(200, self._page(match[1], answer), "text/html; charset=utf-8")
        else:
            self._media(answer)

    def _page(self, identity: str, answer: int | str) -> bytes:
        if answer == "html":
            return b"<html><head><title>words only</title></head><body>none</body></html>"
        host = "169.254.169.254" if answer == "elsewhere" else f"127.0.0.1:{self.site.port}"
        title = self.site.titles.get(identity, f"Title of {identity}")
        meta = {"og:title": title, "og:video": f"http://{host}/media/{identity}.mp4", "og:video:type": "video/mp4"}
        head = "".join(f'<meta property="{key}" content="{value}">' for key, value in meta.items())
        return f'<html><head><meta charset="utf-8"><title>page</title>{head}</head></html>'.encode()

    def _media(self, answer: int | str) -> None:
        if answer == "stall":
            self.site.hold.wait(20)
        if answer == "html":
            return self._send(200, b"<html>not a video</html>" * 50, "video/mp4")
        video = self.site.video
        if answer == "drip":
            return self._drip(video)
        if answer != "truncated":
            return self._send(200, video, "video/mp4")
        self.close_connection = True
        return self._send(200, video[: len(video) // 2], "video/mp4", length=len(video))

    def _drip(self, video: bytes) -> None:
        """A byte now and then: no read ever times out, and the end never comes."""
        self._send(200, b"", "video/mp4", length=len(video))
        for byte in video:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            if self.site.hold.wait(0.05):
                return

    def _redirect(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, status: int, body: bytes, kind: str, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed hangs up; that is no news here."""


@contextmanager
def serve_script(site: ScriptedSite) -> Iterator[ScriptedSite]:
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def write_kinetics(path: Path, ids: list[str], *, end: int = 2) -> Path:
    rows = [f"jumping,{identity},0,{end},train,0" for identity in ids]
    path.write_text("\n".join(["label,youtube_id,time_start,time_end,split,is_cc", *rows]) + "\n")
    return path


# A crawl of loopback without a wait; one dead id of one is no reason to stop.
LENIENT = {"allow_private": True, "pause": 0.0, "min_free_bytes": 0, "max_transient_ratio": 1.0}


def make_config(folder: Path, sources: dict, *, crawl: dict | None = None) -> Config:
    """A config with nothing but sources, also written to `folder/config.yaml`."""
    value = {
        "results": str(folder / "results"),
        "data": str(folder / "data"),
        "sources": sources,
        "datasets": {},
        "encoders": {},
        "experiments": {},
        "run": [],
        "tables": {},
        "crawl": {
            "sleep": 0.0,
            "backoff": 0.0,
            "retries": 2,
            "timeout": 5.0,
            "sections": False,
            **LENIENT,
            **(crawl or {}),
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(value))
    return msgspec.convert(value, Config)


def kinetics_config(
    folder: Path,
    ids: list[str],
    *,
    url: str,
    end: int = 2,
    chunk_size: int = 50,
    declared: int | None = None,
    **crawl: object,
) -> Config:
    csv = write_kinetics(folder / "train.csv", ids, end=end)
    source = {
        "kind": "kinetics",
        "lists": {"train": str(csv)},
        "pairs": {"train": declared or len(ids)},
        "url": url,
        "chunk_size": chunk_size,
    }
    return make_config(folder, {"k": source}, crawl=crawl)


CHUNK = "train-0000"


def vid(number: int) -> str:
    return f"video{number:06d}"


def crawl(config: Config, **options: object) -> dict[str, dict]:
    write_plan(config, "k")
    crawl_chunk(config, "k", CHUNK, **options)
    return rows_of(config)


def rows_of(config: Config) -> dict[str, dict]:
    return {row["id"]: row for row in read_jsonl(crawl_path(config, "k", CHUNK))}


def other(config: Config, **changes: object) -> Config:
    return msgspec.structs.replace(config, crawl=msgspec.structs.replace(config.crawl, **changes))
