"""The options yt-dlp is run with."""

from __future__ import annotations

import functools
import io
import logging
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.errors import EX_TEMPFAIL, CpdError

if TYPE_CHECKING:
    from cpd.config import Crawl

log = logging.getLogger(__name__)


class _Log:
    """yt-dlp's messages, to Python's logging at debug level: errors come back as exceptions."""

    def debug(self, message: str) -> None:
        log.debug("%s", message)

    info = warning = error = debug


def options(crawl: Crawl, *, extractor: str, loopback: bool, hook: Any) -> dict[str, Any]:
    """Parameters of a YoutubeDL; `hook` is called with the progress of a download, `extractor` is the only one used."""
    return {
        "allowed_extractors": [f"^{extractor}$"],
        "noplaylist": True,
        "format": _format(crawl.max_height),
        "format_sort": ["vcodec:h264", "res"],
        "download_ranges": _section,
        "force_keyframes_at_cuts": True,
        "external_downloader_args": {"ffmpeg_i": _ffmpeg_input(crawl)},
        "extractor_args": {} if crawl.media else {"youtube": {"player_client": ["web"], "player_skip": ["js"]}},
        "progress_hooks": [hook],
        "socket_timeout": crawl.timeout,
        "ratelimit": crawl.rate_limit,
        "sleep_interval_requests": crawl.sleep_requests,
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


def ffmpeg_path(crawl: Crawl) -> str:
    """The ffmpeg that cuts sections.

    Raises:
        CpdError: it cannot be told to follow no redirects.
    """
    import imageio_ffmpeg

    path = str(imageio_ffmpeg.get_ffmpeg_exe())
    if crawl.sections and crawl.media and not _knows_redirects(path):
        raise CpdError(
            f"{path} has no option -max_redirects: a redirect could lead it into this network",
            hint="unset IMAGEIO_FFMPEG_EXE (the packaged one has it), or set crawl.sections: false",
        )
    return path


@functools.cache
def _knows_redirects(path: str) -> bool:
    command = [path, "-hide_banner", "-h", "protocol=http"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CpdError(f"{path}: {error}", hint="mend IMAGEIO_FFMPEG_EXE", exit_code=EX_TEMPFAIL) from None
    return "-max_redirects" in told.stdout


def _ffmpeg_input(crawl: Crawl) -> list[str]:
    return ["-rw_timeout", str(int(crawl.timeout * 1e6)), "-max_redirects", "0"]


def _section(info: dict[str, Any], _: Any) -> list[dict[str, float]]:
    """yt-dlp's download_ranges: the interval that `fetch` asked for, or the whole."""
    section = info.get("cpd_section")
    return [{"start_time": section[0], "end_time": section[1]}] if section else [{}]


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
