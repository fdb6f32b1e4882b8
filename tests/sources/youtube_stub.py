"""yt-dlp's real YouTube extractor with no network: a request handler that answers for www.youtube.com.

`yt_dlp.networking.common` is semi-private: a new yt-dlp may move it, and then this file moves along.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from yt_dlp.networking import common
from yt_dlp.networking.exceptions import HTTPError, TransportError, UnsupportedRequest

_CONTENTS = {"twoColumnWatchNextResults": {"results": {"results": {"contents": [{"x": 1}]}}}}


def _embed_page() -> bytes:
    client = {"clientName": "WEB_EMBEDDED_PLAYER", "clientVersion": "1.2026", "visitorData": "vd"}
    config = {"INNERTUBE_API_KEY": "k", "INNERTUBE_CONTEXT": {"client": client}}
    return f"<script>ytcfg.set({json.dumps(config)});</script>".encode()


@dataclass(frozen=True)
class Video:
    """What YouTube says of one id."""

    title: str = "A title"
    status: str = "OK"
    reason: str = ""
    subreason: str = ""
    seconds: int = 40
    live: bool = False
    media: str = ""
    countries: tuple[str, ...] = ("US",)
    http_status: int = 200
    is_reset: bool = False


@dataclass
class StubYoutube:
    """Videos by id, and the requests that were made."""

    videos: dict[str, Video] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def answer(self, url: str, data: bytes | None) -> tuple[int, bytes]:
        parts = urlsplit(url)
        self.requests.append(parts.path)
        if parts.path == "/watch":
            return self._watch(parse_qs(parts.query)["v"][0])
        if parts.path == "/youtubei/v1/player" and data is not None:
            identity = json.loads(data)["videoId"]
            self._check(identity)
            return 200, json.dumps(player_response(identity, self.videos[identity])).encode()
        if parts.path.startswith("/embed/"):
            return 200, _embed_page()
        if parts.path == "/youtubei/v1/next":
            identity = json.loads(data or b"{}").get("videoId", "")
            self._check(identity)
            return 200, json.dumps({"contents": _CONTENTS}).encode()
        return 404, b"{}"

    def _check(self, identity: str) -> None:
        if self.videos[identity].is_reset:
            raise TransportError("connection reset")

    def _watch(self, identity: str) -> tuple[int, bytes]:
        self._check(identity)
        video = self.videos[identity]
        client = {"clientName": "WEB", "clientVersion": "2.2026", "visitorData": "vd"}
        config = {"INNERTUBE_API_KEY": "k", "INNERTUBE_CONTEXT": {"client": client}, "VISITOR_DATA": "vd"}
        page = (
            f"<html><script>ytcfg.set({json.dumps(config)});</script>"
            f"<script>var ytInitialPlayerResponse = {json.dumps(player_response(identity, video))};</script>"
            f"<script>var ytInitialData = {json.dumps({'contents': _CONTENTS})};</script></html>"
        )
        return video.http_status, page.encode()


def player_response(identity: str, video: Video) -> dict[str, Any]:
    """YouTube's player response, as far as the extractor reads it."""
    status: dict[str, Any] = {"status": video.status, "reason": video.reason}
    if video.subreason:
        told = {"reason": {"simpleText": video.reason}, "subreason": {"simpleText": video.subreason}}
        status["errorScreen"] = {"playerErrorMessageRenderer": told}
    if video.live:
        status["liveStreamability"] = {"liveStreamabilityRenderer": {}}
    response: dict[str, Any] = {"playabilityStatus": status, "responseContext": {}}
    if video.status != "ERROR":
        response |= _details(identity, video)
    if video.status == "OK" and not video.live:
        response["streamingData"] = {"formats": [_format(video)], "adaptiveFormats": [], "expiresInSeconds": "21540"}
    return response


def _details(identity: str, video: Video) -> dict[str, Any]:
    length = str(video.seconds)
    details = {"videoId": identity, "title": video.title, "lengthSeconds": length, "channelId": "UC" + "x" * 22}
    micro = {
        "title": {"simpleText": video.title},
        "lengthSeconds": length,
        "publishDate": "2016-03-04",
        "availableCountries": list(video.countries),
    }
    flags = {"isLiveContent": video.live, "isLive": video.live, "isPrivate": False}
    return {"videoDetails": details | flags, "microformat": {"playerMicroformatRenderer": micro}}


def _format(video: Video) -> dict[str, Any]:
    return {
        "itag": 18,
        "url": video.media,
        "mimeType": 'video/mp4; codecs="avc1.42001E, mp4a.40.2"',
        "width": 320,
        "height": 240,
        "fps": 25,
        "bitrate": 350000,
        "quality": "medium",
        "qualityLabel": "240p",
        "approxDurationMs": str(1000 * video.seconds),
        "audioQuality": "AUDIO_QUALITY_LOW",
        "audioSampleRate": "44100",
        "audioChannels": 1,
    }


@contextmanager
def stub_youtube(stub: StubYoutube) -> Iterator[StubYoutube]:
    """Let `stub` answer every request that is not for loopback, for as long as the context lasts."""
    handler, prefer = _handler(stub)
    common.register_rh(handler)
    common.register_preference(handler)(prefer)
    try:
        yield stub
    finally:
        del common._REQUEST_HANDLERS[handler.RH_KEY]
        common._RH_PREFERENCES.discard(prefer)


def _handler(stub: StubYoutube) -> tuple[type[common.RequestHandler], Callable[..., int]]:
    class StubYoutubeRH(common.RequestHandler):
        _SUPPORTED_URL_SCHEMES = ("http", "https")
        _SUPPORTED_PROXY_SCHEMES = None
        _SUPPORTED_FEATURES = (common.Features.ALL_PROXY, common.Features.NO_PROXY)

        def _check_extensions(self, extensions: dict[str, Any]) -> None:
            super()._check_extensions(extensions)
            extensions.clear()

        def _validate(self, request: common.Request) -> None:
            super()._validate(request)
            if urlsplit(request.url).hostname == "127.0.0.1":
                raise UnsupportedRequest("loopback is served for real")

        def _send(self, request: common.Request) -> common.Response:
            status, body = stub.answer(request.url, request.data)
            response = common.Response(io.BytesIO(body), request.url, {"Content-Type": "text/html"}, status=status)
            if status >= 400:
                raise HTTPError(response)
            return response

    return StubYoutubeRH, lambda handler, _: 10_000 if isinstance(handler, StubYoutubeRH) else 0
