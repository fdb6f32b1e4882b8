"""Fault 47: a file that names other files or addresses makes nobody read them."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import pytest

from cpd.config import Clips
from cpd.video.cut import cut
from cpd.video.probe import Probe, VideoError, open_media, probe
from tests.video.counter_video import write_counter

CLIPS = Clips(short_side=64, timeout=60)


class _Count(http.server.BaseHTTPRequestHandler):
    hits: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.hits.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def loopback() -> Iterator[tuple[int, list[str]]]:
    _Count.hits = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Count) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port, _Count.hits
        server.shutdown()


def playlists(port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}/x.mp4"
    return {
        "concat": "ffconcat version 1.0\nfile secret.mp4\n",
        "concat_http": f"ffconcat version 1.0\noption protocol_whitelist file,http,tcp\nfile '{url}'\n",
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "m3u8_file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "mpd": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        f'<Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mpd", ".ffconcat"])
def test_playlists_read_nothing(tmp_path: Path, loopback: tuple[int, list[str]], suffix: str) -> None:
    """Fault 47: by probe, by ffmpeg itself, and from memory."""
    port, hits = loopback
    write_counter(tmp_path / "secret.mp4", 5)
    found = cut(tmp_path / "secret.mp4", tmp_path / "good.mp4", start=0, end=None, clips=CLIPS)
    assert found.frames == 5
    for name, text in playlists(port).items():
        path = tmp_path / f"{name}{suffix}"
        path.write_text(text)
        with pytest.raises(VideoError, match="not_video"):
            probe(path, CLIPS)
        assert cut_unprobed(path) == "corrupt"
        with pytest.raises(VideoError):
            open_media(path.read_bytes())
    assert hits == []


def cut_unprobed(path: Path) -> str:
    """What ffmpeg does when the probe is made to let a file pass."""
    lie = Probe(width=96, height=96, fps=Fraction(25), frames=0, seconds=None, codec="h264", container="mp4")
    with pytest.raises(VideoError) as caught:
        cut(path, path.parent / "clips/out.mp4", start=0, end=None, clips=CLIPS, found=lie)
    return caught.value.status


@pytest.mark.parametrize("name", ["http://127.0.0.1:{port}/x.mp4", "cache:http://127.0.0.1:{port}/x.mp4"])
def test_addresses_are_no_files(tmp_path: Path, loopback: tuple[int, list[str]], name: str) -> None:
    """Fault 47."""
    port, hits = loopback
    with pytest.raises(VideoError, match="gone"):
        cut(name.format(port=port), tmp_path / "out.mp4", start=0, end=None, clips=CLIPS)
    with pytest.raises(VideoError):
        open_media(name.format(port=port))
    assert hits == []
