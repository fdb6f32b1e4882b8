"""One id: its title and its media, with yt-dlp.

Pages are YouTube's, or a site's whose pages name their video (Instagram's list, the demo's site on loopback); one
extractor is allowed for each, and connections to public addresses alone (`guard`). The metadata come first, so that
what is too long or live is refused before a byte of media is asked for. Options of yt-dlp are in `fetch_options`.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlsplit

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.sources.container import check_container
from cpd.sources.deadline import deadline
from cpd.sources.failures import Failure, classify, is_disk_full
from cpd.sources.fetch_options import ffmpeg_path, options
from cpd.sources.guard import Address, is_public, only_public

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from cpd.config import Crawl

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Fetched:
    """A title and a media file in the work folder; `section` is the interval it holds, None for the whole."""

    title: str
    file: Path
    section: tuple[float, float] | None


def is_youtube(url: str) -> bool:
    """Whether a page is YouTube's, by its host."""
    host = (urlsplit(url).hostname or "").removeprefix("www.").removeprefix("m.")
    return host in ("youtube.com", "youtu.be")


class Fetcher:
    """A YoutubeDL for many ids; use it as a context.

    Args:
        crawl: settings of the config.
        work: folder for unfinished files; it is the caller's to sweep.
        loopback: whether the pages are on this machine, and nothing else may be asked for.
        allow: addresses that may be asked for although they are not public: the loopback site's, a proxy's.
        extractor: yt-dlp's, and the only one used; by default generic on loopback, else youtube.
    """

    def __init__(
        self,
        crawl: Crawl,
        *,
        work: Path,
        loopback: bool,
        allow: frozenset[Address] = frozenset(),
        extractor: Literal["youtube", "generic"] | None = None,
    ) -> None:
        import yt_dlp
        from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

        # Sections ask this variable, not the option, whether there is an ffmpeg.
        FFmpegPostProcessor._ffmpeg_location.set(ffmpeg_path(crawl))
        self.crawl = crawl
        self.work = work
        self.loopback = loopback
        self.allow = allow
        self._known = (yt_dlp.utils.YoutubeDLError, OSError)
        chosen = extractor or ("generic" if loopback else "youtube")
        self._ydl = yt_dlp.YoutubeDL(options(crawl, extractor=chosen, loopback=loopback, hook=self._watch_size))
        self._ydl.prepare_filename = self._file_name  # no template: it would expand % and $ of the folder's name
        self._armed = ExitStack()

    def __enter__(self) -> Fetcher:
        self._armed.enter_context(only_public(self.allow))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._armed.close()
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
        return self._guarded(lambda: self._fetch(url, name=name, start=start, end=end), name=name)

    def fetch_title(self, url: str, *, name: str) -> str:
        """Fetch a page's title alone; a video that has no format for us still has one.

        Args:
            url: page address.
            name: what the id is called in messages.

        Raises:
            Failure: why there is none.
        """
        return self._guarded(lambda: self._title(url), name=name)

    def _guarded(self, task: Callable[[], T], *, name: str) -> T:
        """Run a task within the time for an id; every error becomes a Failure, but those of the machine."""
        try:
            with deadline(self.crawl.id_timeout):
                return task()
        except Failure:
            raise
        except Exception as error:
            if is_disk_full(error):
                raise CpdError(f"{self.work}: the disk is full", hint="free some", exit_code=EX_TEMPFAIL) from error
            if not isinstance(error, self._known):
                log.warning("%s: unexpected %s", name, type(error).__name__, exc_info=True)
            raise classify(error) from error

    def _title(self, url: str) -> str:
        info = single_video(self._ydl.extract_info(url, download=False, process=False))
        if not (title := title_of(info)):
            raise Failure("unknown", "the page has no title", transient=True)
        return title

    def _fetch(self, url: str, *, name: str, start: float, end: float | None) -> Fetched:
        self._clear(name)
        info = single_video(self._ydl.extract_info(url, download=False))
        self._check_info(info, start=start)
        section = (start, end) if self.crawl.sections and end is not None else None
        if section:
            self._follow_redirects(info)
        self._ydl.process_ie_result({**info, "cpd_name": name, "cpd_section": section}, download=True)
        file = self._downloaded(name)
        check_container(file, seconds=_expected_seconds(section, info.get("duration")))
        return Fetched(title=title_of(info), file=file, section=section)

    def _follow_redirects(self, info: dict[str, Any]) -> None:
        """Give ffmpeg, which this process cannot watch, an address that was reached from here."""
        from yt_dlp.networking import Request

        if str(info.get("protocol")) not in ("http", "https"):
            return
        headers = {**(info.get("http_headers") or {}), "Range": "bytes=0-0"}
        with self._ydl.urlopen(Request(info["url"], headers=headers)) as response:
            reached = response.url
        for media in [format for format in info.get("formats") or [] if format.get("url") == info["url"]]:
            media["url"] = reached
        info["url"] = reached

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
            if host and not self._may_ask(host):
                raise Failure("not_video", "the page names media outside the site")

    def _may_ask(self, host: str) -> bool:
        return host in {address for address, _ in self.allow} or (not self.loopback and is_public(host))

    def _downloaded(self, name: str) -> Path:
        files = [path for path in self.work.glob(f"{name}.*") if path.suffix not in (".part", ".ytdl")]
        if len(files) != 1:
            raise Failure("unknown", "the download left no file", transient=True)
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
