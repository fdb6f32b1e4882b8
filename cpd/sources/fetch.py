"""One id: its title and its media, with yt-dlp.

Pages are either YouTube's or those of a site on loopback (the demo's, the tests'); the extractors are restricted to
that. The metadata come first, so that what is too long or live is refused before a byte of media is asked for.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.sources.container import check_container
from cpd.sources.failures import Failure, classify, is_disk_full

if TYPE_CHECKING:
    from types import TracebackType

    from cpd.config import Crawl

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Fetched:
    """A title and a media file in the work folder; `section` is the interval it holds, None for the whole."""

    title: str
    file: Path
    section: tuple[float, float] | None


class _Log:
    """yt-dlp's messages, to Python's logging at debug level: errors come back as exceptions."""

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = warning = error = debug


class Fetcher:
    """A YoutubeDL for many ids; use it as a context.

    Args:
        crawl: settings of the config.
        work: folder for unfinished files; it is the caller's to sweep.
        loopback: whether the pages are on 127.0.0.1, and nothing else may be asked for.
    """

    def __init__(self, crawl: Crawl, *, work: Path, loopback: bool) -> None:
        import imageio_ffmpeg
        import yt_dlp
        from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

        # Sections ask this variable, not the option, whether there is an ffmpeg.
        FFmpegPostProcessor._ffmpeg_location.set(imageio_ffmpeg.get_ffmpeg_exe())
        self.crawl = crawl
        self.work = work
        self.loopback = loopback
        self._known = (yt_dlp.utils.YoutubeDLError, OSError)
        self._ydl = yt_dlp.YoutubeDL(_options(crawl, loopback=loopback, hook=self._watch_size))
        self._ydl.prepare_filename = self._file_name  # no template: it would expand % and $ of the folder's name

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ydl.close()

    def fetch(self, url: str, *, name: str, start: float = 0.0, end: float | None = None) -> Fetched:
        """Fetch a page's title and media.

        Args:
            url: page address.
            name: stem of the file in the work folder.
            start: first second wanted; used with `end` when the config asks for sections.
            end: last second wanted.

        Raises:
            Failure: why there is nothing.
            CpdError: the disk is full (exit code 75).
        """
        self._clear(name)
        try:
            return self._fetch(url, name=name, start=start, end=end)
        except Failure:
            raise
        except Exception as error:
            if is_disk_full(error):
                raise CpdError(f"{self.work}: the disk is full", hint="free some", exit_code=EX_TEMPFAIL) from error
            if not isinstance(error, self._known):
                log.warning("%s: unexpected %s", name, type(error).__name__, exc_info=True)
            raise classify(error) from error

    def _fetch(self, url: str, *, name: str, start: float, end: float | None) -> Fetched:
        info = single_video(self._ydl.extract_info(url, download=False))
        self._check_info(info, start=start)
        section = (start, end) if self.crawl.sections and end is not None else None
        self._ydl.process_ie_result({**info, "cpd_name": name, "cpd_section": section}, download=True)
        file = self._downloaded(name)
        check_container(file, seconds=_expected_seconds(section, info.get("duration")))
        return Fetched(title=title_of(info), file=file, section=section)

    def _file_name(self, info: dict[str, Any], *_: Any, **__: Any) -> str:
        return str(self.work / f"{info.get('cpd_name', 'none')}.{info.get('ext', 'unknown')}")

    def _clear(self, name: str) -> None:
        """What an attempt before left must not pass for this one's download."""
        for path in self.work.glob(f"{name}.*"):
            path.unlink()

    def _check_info(self, info: dict[str, Any], *, start: float) -> None:
        if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
            raise Failure("live", "live or not begun")
        seconds = info.get("duration")
        if seconds and seconds > self.crawl.max_duration:
            raise Failure("too_long", f"{seconds:g} s, the limit is {self.crawl.max_duration:g} s")
        if seconds and start >= seconds:
            raise Failure("bad_interval", f"begins at {start:g} s of {seconds:g} s")
        for media in [info, *(info.get("requested_formats") or [])]:
            host = urlsplit(media.get("url") or "").hostname
            if self.loopback and host not in (None, _LOOPBACK):
                raise Failure("not_video", "the page names media outside the site")

    def _downloaded(self, name: str) -> Path:
        files = [path for path in self.work.glob(f"{name}.*") if path.suffix not in (".part", ".ytdl")]
        if len(files) != 1:
            raise Failure("network", "the download left no file", transient=True)
        if files[0].stat().st_size > self.crawl.max_bytes:
            raise _too_large(files[0].stat().st_size, self.crawl)
        return files[0]

    def _watch_size(self, progress: dict[str, Any]) -> None:
        """Progress hook: stop a download as soon as its size is known to be too large."""
        size = max(progress.get("total_bytes") or 0, progress.get("downloaded_bytes") or 0)
        if size > self.crawl.max_bytes:
            raise _too_large(size, self.crawl)


def title_of(info: dict[str, Any]) -> str:
    """The title as it was written: yt-dlp adds a date to `title` of live videos, not to `fulltitle`.

    Lone surrogates become U+FFFD.
    """
    title = str(info.get("fulltitle") or info.get("title") or "")
    return title.encode("utf-16", errors="surrogatepass").decode("utf-16", errors="replace")


def single_video(info: Any) -> dict[str, Any]:
    """The one video of a page; a page with none or several is no pair.

    Raises:
        Failure: `not_video`.
    """
    if not isinstance(info, dict):
        raise Failure("not_video", "the page holds no video")
    if info.get("_type", "video") == "video":
        return info
    entries = list(info.get("entries") or [])
    if len(entries) != 1 or not entries[0]:
        raise Failure("not_video", f"the page holds {len(entries)} videos")
    return {**entries[0], "fulltitle": info.get("title") or entries[0].get("title")}


def _expected_seconds(section: tuple[float, float] | None, duration: float | None) -> float:
    """How long a section must be at least; 0 when that is not known."""
    if section is None or not duration:
        return 0.0
    return 0.9 * (min(section[1], duration) - section[0])


def _too_large(size: int, crawl: Crawl) -> Failure:
    return Failure("too_large", f"{size} bytes, the limit is {crawl.max_bytes}")


def _section(info: dict[str, Any], _: Any) -> list[dict[str, float]]:
    """yt-dlp's download_ranges: the interval that `fetch` asked for, or the whole."""
    section = info.get("cpd_section")
    return [{"start_time": section[0], "end_time": section[1]}] if section else [{}]


def _options(crawl: Crawl, *, loopback: bool, hook: Any) -> dict[str, Any]:
    return {
        "allowed_extractors": ["^generic$" if loopback else "^youtube$"],
        "noplaylist": True,
        "format": _format(crawl.max_height),
        "format_sort": ["vcodec:h264", "res"],
        "download_ranges": _section,
        "force_keyframes_at_cuts": True,
        "external_downloader_args": {"ffmpeg_i": ["-rw_timeout", str(int(crawl.timeout * 1e6))]},
        "progress_hooks": [hook],
        "socket_timeout": crawl.timeout,
        "ratelimit": crawl.rate_limit,
        "proxy": "" if loopback else crawl.proxy,
        "cookiefile": None if loopback else _cookies(crawl.cookies),
        # one attempt here: attempts are counted in the ledger, with a back-off between them
        "retries": 0,
        "extractor_retries": 0,
        "fragment_retries": crawl.retries,
        "skip_unavailable_fragments": False,
        "continuedl": False,
        "updatetime": False,
        "cachedir": False,
        "noprogress": True,
        "quiet": True,
        "logger": _Log(),
    }


def _format(height: int) -> str:
    """Video without sound if there is such a file, at most `height` lines where that is known."""
    limit = f"[height<=?{height}]"
    return f"bv{limit}[ext=mp4]/b{limit}[ext=mp4]/bv*{limit}/b{limit}/wv*"


def _cookies(path: str | None) -> io.StringIO | None:
    """The cookie file's text: yt-dlp writes changed cookies back, which must not be to the user's file."""
    if path is None:
        return None
    try:
        return io.StringIO(Path(path).read_text())
    except OSError as error:
        raise CpdError(f"crawl.cookies: {path}: {error.strerror}", hint="export cookies.txt again") from None
