"""Cut one clip out of a media file and encode it for random access (H.264, short side as configured).

The groups of pictures are aligned with the sampling stride: closed, of `clips.gop` frames, with three disposable B
frames between two references, so that frames 0, 4, 8, ... of a group never wait for the others (see `decode`). What
makes decoding slow is left out, and what only pleases eyes: a slow preset makes up for the bytes (docs/benchmarks.md).
Colours become ITU-R BT.601 limited range, the frame rate constant (the source's average rate). Single thread and
bit-exact flags: the same input, settings and ffmpeg give the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import resource
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ffmpeg
import imageio_ffmpeg

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import atomic_path
from cpd.video.decode import count_frames
from cpd.video.probe import FORMATS, Probe, VideoError, open_media, probe, video_stream

if TYPE_CHECKING:
    from fractions import Fraction

    from cpd.config import Clips

MIN_DECODED = 0.9
ATTEMPTS = 2
MEMORY = 8 << 30  # bytes of address space for one ffmpeg
_NOT_THE_VIDEO = ("No space left on device", "Read-only file system", "Permission denied", "Disk quota exceeded")


@dataclass(frozen=True)
class Clip:
    """An encoded clip: number of frames, frames per second, size in pixels, SHA-256 of the file."""

    frames: int
    fps: float
    width: int
    height: int
    sha256: str


def cut(
    path: str | Path,
    target: str | Path,
    *,
    start: float,
    end: float | None,
    clips: Clips,
    found: Probe | None = None,
) -> Clip:
    """Cut [start, end) seconds out of `path` (at most `clips.max_seconds`), encode it, decode it again, keep it.

    Args:
        path: the media file.
        target: the clip that is written, whole or not at all.
        start: first second.
        end: last second; None for the end of the media.
        clips: how to encode, and the limits.
        found: what `probe` has said about the media (in a process of its own, see `prober`); None probes here.

    Raises:
        VideoError: the statuses of `probe`; bad_interval (empty, negative, not finite, or behind the end); corrupt
            (ffmpeg fails or hangs, or gives less than 90 % of what the header promises); too_short (fewer than
            `clips.min_frames` frames).
        CpdError: the machine's fault: no ffmpeg, a full or read-only disk.
    """
    found = found or probe(path, clips)
    seconds = _seconds(found, start=start, end=end, clips=clips)
    promised = _promised(found, start, seconds)
    with atomic_path(target) as beside:
        clip = None
        for last in ("round", "pass"):  # how to end: by default a still is dropped that lasts less than half a period
            command = _command(Path(path), beside, start=start, seconds=seconds, fps=found.fps, last=last, clips=clips)
            _run(command, clips.timeout)
            clip = _examine(beside)
            if clip:
                break
        if clip is None:
            raise _nothing(start, promised, found.fps)
        _check(clip, promised=promised, clips=clips)
    return clip


def _seconds(found: Probe, *, start: float, end: float | None, clips: Clips) -> float:
    """Length of the interval that is asked for, in seconds."""
    last = math.inf if end is None else end
    if not (math.isfinite(start) and start >= 0) or math.isnan(last) or last <= start:
        raise VideoError("bad_interval", f"[{start}, {end}]")
    if found.seconds is not None and start > 0 and start >= found.seconds:
        raise VideoError("bad_interval", f"starts at {start} s of {found.seconds:.2f} s")
    return min(last - start, clips.max_seconds)


def _promised(found: Probe, start: float, seconds: float) -> float:
    """Seconds that the header says are there; 0 when it says nothing."""
    return 0.0 if found.seconds is None else min(seconds, found.seconds - start)


def _command(
    source: Path, target: Path, *, start: float, seconds: float, fps: Fraction, last: str, clips: Clips
) -> list[str]:
    seek = {"ss": start} if start > 0 else {}
    short = clips.short_side // 2 * 2
    stream = ffmpeg.input(
        f"file:{source}",
        **seek,
        t=seconds,
        protocol_whitelist="file",
        format_whitelist=FORMATS,
        max_pixels=clips.max_source_pixels,  # pictures may be larger than the header says
        threads=1,
    )
    stream = stream["V:0"].filter("fps", fps=str(fps), eof_action=last)
    stream = stream.filter(
        "scale",
        w=f"if(lte(iw,ih),{short},-2)",
        h=f"if(lte(iw,ih),-2,{short})",
        out_color_matrix="bt601",
        out_range="tv",
    )
    # A picture that stays for days is repeated for days, and ends when the clip is full.
    bounded = {"frames:v": math.ceil(seconds * fps) + 1}
    output = stream.filter("setsar", sar=1).output(f"file:{target}", **bounded, **_encoder(clips))
    arguments: list[str] = ffmpeg.compile(output, cmd=ffmpeg_binary(), overwrite_output=True)
    head = ["-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-filter_threads", "1"]
    return [arguments[0], *head, *arguments[1:]]


def _encoder(clips: Clips) -> dict[str, str | int]:
    gop = f"keyint={clips.gop}:min-keyint={clips.gop}:scenecut=0:bframes=3:b-adapt=0:b-pyramid=none:open-gop=0"
    eyes = "no-psy=1"  # grain that looks sharp is error to a network
    return {
        "vcodec": "libx264",
        "preset": clips.preset,
        "tune": "fastdecode",
        "crf": clips.crf,
        "x264-params": f"{gop}:{eyes}",
        "pix_fmt": "yuv420p",
        "threads": 1,
        "map_metadata": -1,
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
        "format": "mp4",
    }


def ffmpeg_binary() -> str:
    """Path of ffmpeg: IMAGEIO_FFMPEG_EXE, or the one that comes with imageio-ffmpeg.

    Raises:
        CpdError: there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise CpdError(str(error), hint="install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE") from None


def ffmpeg_version() -> str:
    """Version of ffmpeg, which decides the bytes of a clip."""
    return str(imageio_ffmpeg.get_ffmpeg_version())


def _run(command: list[str], timeout: float) -> None:
    """Run ffmpeg, and once more when a signal killed it: that may have been the machine's doing."""
    for _ in range(ATTEMPTS):
        code, stderr = _run_once(command, timeout)
        if code >= 0:
            break
    if code != 0:
        raise _failure(code, stderr.decode(errors="replace"))


def _run_once(command: list[str], timeout: float) -> tuple[int, bytes]:
    """Run ffmpeg in a process group of its own; on a timeout the whole group is killed."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        raise CpdError(f"{command[0]} cannot be run: {error}", hint="install imageio-ffmpeg again") from None
    try:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        _, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise VideoError("corrupt", f"ffmpeg took more than {timeout:g} s") from None
    finally:
        _kill(process)
    return process.returncode, stderr


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the group; nothing is, after a normal end."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _failure(code: int, stderr: str) -> CpdError:
    for message in _NOT_THE_VIDEO:
        if message in stderr:
            return CpdError(f"ffmpeg: {message}", hint="mend it and run again", exit_code=EX_TEMPFAIL)
    if code < 0:
        return VideoError("corrupt", f"ffmpeg was killed by signal {-code}, twice")
    return VideoError("corrupt", f"ffmpeg: {_first_line(stderr)}")


def _first_line(stderr: str) -> str:
    """ffmpeg's first complaint without addresses and paths, which differ from run to run."""
    lines = [re.sub(r"^\[[^]]*\] ?", "", line).strip() for line in stderr.splitlines()]
    first = next((line for line in lines if line), "failed without a message")
    return re.sub(r"file:\S+", "the file", first)[:200]


def _examine(path: Path) -> Clip | None:
    """Decode an encoded clip whole and describe it; None when there is no frame in it."""
    video = path.read_bytes() if path.exists() else b""
    if not video:
        raise VideoError("corrupt", "ffmpeg wrote nothing")
    try:
        frames = count_frames(video)
    except VideoError as error:
        if error.status == "not_video":  # ffmpeg ends well and writes a file without a video stream
            return None
        raise
    with open_media(video) as container:
        stream = video_stream(container)
        rate = stream.average_rate or stream.guessed_rate
        return Clip(
            frames=frames,
            fps=float(rate or 0),
            width=stream.width,
            height=stream.height,
            sha256=hashlib.sha256(video).hexdigest(),
        )


def _nothing(start: float, promised: float, fps: Fraction) -> VideoError:
    """Why not one frame came out: the interval lies behind the last one, or the media are damaged."""
    if start > 0 and promised * fps < 2:
        return VideoError("bad_interval", f"no frame at or behind {start:g} s")
    return VideoError("corrupt", "no frame can be decoded")


def _check(clip: Clip, *, promised: float, clips: Clips) -> None:
    # One frame of tolerance: the last frame's own duration is not always counted.
    if clip.frames + 1 < MIN_DECODED * promised * clip.fps:
        raise VideoError("corrupt", f"{clip.frames / clip.fps:.2f} of {promised:.2f} s can be decoded")
    needed = max(clips.min_frames, 1)
    if clip.frames < needed:
        raise VideoError("too_short", f"{clip.frames} frames, {needed} are needed")
