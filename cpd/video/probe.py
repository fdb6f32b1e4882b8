"""What a media file says about itself, read with every door shut: local files and known containers only.

Nothing here trusts the file: the container is sniffed against a whitelist (so that a playlist named .mp4 opens no
other file), and sizes and durations are checked against limits before anything is decoded.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging

from cpd.errors import EX_TEMPFAIL, CpdError

if TYPE_CHECKING:
    from cpd.config import Clips

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,asf,ogg"
MAX_ASPECT = 16
MAX_FPS = Fraction(120)
DEFAULT_FPS = Fraction(30)
_MAGIC = (b"RIFF", b"\x1a\x45\xdf\xa3", b"FLV", b"OggS", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75")


class VideoError(CpdError):
    """One video cannot be used: `status` is a status of the ledger, `reason` says why in a few words."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return VideoError, (self.status, self.reason)


@dataclass(frozen=True)
class Probe:
    """The header of a media file.

    Attributes:
        width, height: stored size in pixels, before any rotation.
        fps: frames per second to encode with: the average rate, bounded to (0, 120]; 30 when unknown.
        frames: number of frames, or 0 when the header does not say.
        seconds: duration, or None when the header does not say.
    """

    width: int
    height: int
    fps: Fraction
    frames: int
    seconds: float | None
    codec: str
    container: str


def probe(path: str | Path, clips: Clips) -> Probe:
    """Read the header of a media file and check it against the limits of the config.

    Raises:
        VideoError: gone (no such file), not_video (not a video container, or no video stream), corrupt (a video
            container that cannot be read), too_large or too_long (above `clips.max_source_*`).
    """
    if not Path(path).is_file():
        raise VideoError("gone", "the media file is missing")
    size = Path(path).stat().st_size
    if size == 0:
        raise VideoError("corrupt", "0 bytes")
    if size > clips.max_source_bytes:
        raise VideoError("too_large", f"{size} bytes")
    with open_media(path) as container:
        found = _read(container)
    _check(found, clips)
    return found


def open_media(media: str | Path | bytes) -> av.container.InputContainer:
    """Open a local file or bytes in memory: no network, no playlists, no other files.

    Raises:
        VideoError: gone, not_video or corrupt.
        CpdError: the file cannot be read (the machine's fault).
    """
    options = {"format_whitelist": FORMATS}
    try:
        if isinstance(media, bytes):
            return av.open(io.BytesIO(media), mode="r", container_options=options, metadata_errors="replace")
        # The prefix keeps names such as `http:x.mp4` or `concat:a|b` from being read as addresses.
        options["protocol_whitelist"] = "file"
        return av.open(f"file:{media}", mode="r", container_options=options, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise _unreadable(media, error) from None


def _unreadable(media: str | Path | bytes, error: av.error.FFmpegError) -> CpdError:
    try:
        head = media[:16] if isinstance(media, bytes) else _head(Path(media))
    except FileNotFoundError:
        return VideoError("gone", "the media file is missing")
    except OSError as fault:
        return CpdError(
            f"{fault.filename}: {fault.strerror}", hint="mend the disk or the permissions", exit_code=EX_TEMPFAIL
        )
    is_container = head.startswith(_MAGIC) or head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide")
    status = "corrupt" if is_container else "not_video"
    return VideoError(status, f"cannot be opened: {error.strerror}")


def _head(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(16)


def video_stream(container: av.container.InputContainer) -> av.video.stream.VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
        VideoError: not_video (there is none), corrupt (nothing here decodes it).
    """
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if getattr(stream, "codec_context", None) is None:
            raise VideoError("corrupt", "unknown codec")
        if not stream.disposition & cover:
            return stream
    raise VideoError("not_video", "no video stream")


def _read(container: av.container.InputContainer) -> Probe:
    stream = video_stream(container)
    return Probe(
        width=stream.width,
        height=stream.height,
        fps=_fps(stream),
        frames=max(stream.frames, 0),
        seconds=_seconds(container, stream),
        codec=stream.codec_context.name,
        container=container.format.name,
    )


def _fps(stream: av.video.stream.VideoStream) -> Fraction:
    """Average rate, else the guessed one; rates such as 1000/1 are a clock's, not a camera's."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate is not None and 0 < rate <= MAX_FPS:
            return Fraction(rate)
    return DEFAULT_FPS


def _seconds(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else None


def _check(found: Probe, clips: Clips) -> None:
    width, height = found.width, found.height
    if width < 1 or height < 1:
        raise VideoError("corrupt", "the header has no picture size")
    if width * height > clips.max_source_pixels or max(width, height) > MAX_ASPECT * min(width, height):
        raise VideoError("too_large", f"{width}x{height} pixels")
    if found.seconds is not None and not (math.isfinite(found.seconds) and found.seconds <= clips.max_source_seconds):
        raise VideoError("too_long", f"{found.seconds:.0f} s")
    if found.frames > clips.max_source_frames:
        raise VideoError("too_long", f"{found.frames} frames")
