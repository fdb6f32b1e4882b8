"""Is a file a video? Judged by its header, without decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.sources.failures import Failure

if TYPE_CHECKING:
    from pathlib import Path

# Play lists and network addresses inside a "video" are refused: they would make ffmpeg read other files.
_OPEN = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"}


def check_container(path: Path, *, seconds: float = 0.0) -> None:
    """Check that a file opens, has a video stream, and lasts at least `seconds`.

    Raises:
        Failure: `corrupt` or `not_video`.
    """
    import av

    try:
        with av.open(f"file:{path}", options=_OPEN) as container:
            streams = len(container.streams.video)
            length = (container.duration or 0) / av.time_base
    except (av.FFmpegError, ValueError) as error:
        raise Failure("corrupt", f"not a video container: {type(error).__name__}") from None
    if not streams:
        raise Failure("not_video", "no video stream")
    if length < seconds:
        raise Failure("corrupt", f"truncated: {length:.2f} s of {seconds:.2f} s", transient=True)
