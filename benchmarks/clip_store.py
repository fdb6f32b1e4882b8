"""The same clips stored in several ways: as `cpd clips` does, as ffmpeg does by default, as a JPEG a frame."""

from __future__ import annotations

import io
import math
import subprocess
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Options
from cpd.config import Clips
from cpd.video.cut import cut, ffmpeg_binary

SIDE, SMALL_SIDE = 256, 176  # of R50's store, and of one for R34 at 112, whose crops are of 128 to 170 pixels
CRF = 23
QUALITY = 75
JPEG = f"a JPEG a frame, q{QUALITY}"
OURS, OURS_SMALL, DEFAULT, GOP12 = f"ours, {SIDE}", f"ours, {SMALL_SIDE}", "ffmpeg's default", "key frame every 12"
# Of shared/videos: ten seconds, several cameras, cuts and still pictures among them.
REAL = (
    "panda70m/0idSKtn42WY.2.mp4",
    "panda70m/2uHKKUBTWjY.1.mp4",
    "panda70m/36Sg0Le2FYY.1.mp4",
    "panda70m/TPVvXvf4xRc.9.mp4",
    "panda70m/H2y15JUfSIQ.0.mp4",
    "misc_real/mmaction2__test.mp4",
)
Luma = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One clip: its encodings by name, their number of frames, and what was measured of them.

    Attributes:
        videos: encoding -> bytes.
        jpegs: one a frame.
        frames: in every encoding.
        psnr: encoding -> luma PSNR against the picture before encoding, dB.
        bytes_at: bytes of ffmpeg's default at the PSNR of our encoding.
    """

    videos: dict[str, bytes]
    jpegs: list[bytes]
    frames: int
    psnr: dict[str, float]
    bytes_at: float


def sources(options: Options) -> list[Path]:
    """Real clips where there are some, else drifting textures."""
    real = [] if options.quick else options.real_clips(REAL)
    number, frames = (1, 64) if options.quick else (3, 240)
    return real or [made_up_video(options.work / f"made-up-{k}.mp4", seed=k, frames=frames) for k in range(number)]


def made_up_video(path: Path, *, seed: int, frames: int = 240) -> Path:
    """A texture that drifts and flickers, 24 frames a second."""
    rng = np.random.default_rng(seed)
    field = cv2.resize(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8), (720, 480), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "16", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 480, 320, "yuv420p"
        for k in range(frames):
            picture = np.roll(field, (k, 2 * k), (0, 1))[:320, :480].astype(np.int16)
            picture += rng.integers(-4, 5, picture.shape, dtype=np.int16)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def store(video: Path, folder: Path) -> Stored:
    """Encode a video in every way, and look at the quality."""
    paths = {OURS: folder / "ours.mp4", OURS_SMALL: folder / "small.mp4"}
    clip = cut(video, paths[OURS], start=0, end=None, clips=Clips(short_side=SIDE))
    cut(video, paths[OURS_SMALL], start=0, end=None, clips=Clips(short_side=SMALL_SIDE))
    videos = {name: path.read_bytes() for name, path in paths.items()}
    plain = {crf: _encode(video, folder, fps=clip.fps, crf=crf) for crf in (CRF - 3, CRF, CRF + 3)}
    videos |= {DEFAULT: plain[CRF], GOP12: _encode(video, folder, fps=clip.fps, crf=CRF, g=12)}
    master = _encode(video, folder, fps=clip.fps, crf=0, preset="ultrafast")
    jpegs = _jpegs(master)
    true = _luma(master)
    lumas = {name: _luma(videos[name]) for name in (OURS, DEFAULT, GOP12)} | {JPEG: _jpeg_luma(jpegs)}
    psnr = {name: _psnr(luma, true) for name, luma in lumas.items()}
    return Stored(
        videos=videos,
        jpegs=jpegs,
        frames=clip.frames,
        psnr=psnr,
        bytes_at=_bytes_at(psnr[OURS], [(_psnr(_luma(data), true), len(data)) for data in plain.values()]),
    )


def _bytes_at(psnr: float, points: list[tuple[float, int]]) -> float:
    """Bytes at some PSNR: a line through the logarithms of the nearest points."""
    points = sorted(points)
    (low, a), (high, b) = points[:2] if psnr < points[1][0] else points[1:]
    share = (psnr - low) / max(high - low, 1e-9)
    return math.exp((1 - share) * math.log(a) + share * math.log(b))


def _encode(video: Path, folder: Path, *, fps: float, **options: str | int | float) -> bytes:
    """libx264 with its defaults (preset medium, key frames up to 250 apart), unless told otherwise."""
    target = folder / "plain.mp4"
    stream = ffmpeg.input(str(video), t=Clips().max_seconds)["V:0"].filter("fps", fps=fps)
    size = {"w": f"if(lte(iw,ih),{SIDE},-2)", "h": f"if(lte(iw,ih),-2,{SIDE})"}
    stream = stream.filter("scale", **size, out_color_matrix="bt601", out_range="tv")
    output = stream.output(str(target), vcodec="libx264", pix_fmt="yuv420p", threads=1, loglevel="error", **options)
    subprocess.run(ffmpeg.compile(output, cmd=ffmpeg_binary(), overwrite_output=True), check=True)
    return target.read_bytes()


def _jpegs(master: bytes) -> list[bytes]:
    with av.open(io.BytesIO(master)) as container:
        pictures = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    return [cv2.imencode(".jpg", p, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes() for p in pictures]


def _luma(video: bytes) -> Luma:
    """Every tenth."""
    with av.open(io.BytesIO(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = (frame for k, frame in enumerate(container.decode(video=0)) if k % 10 == 0)
        return [frame.to_ndarray(format="yuv420p")[: frame.height] for frame in frames]


def _jpeg_luma(jpegs: list[bytes]) -> Luma:
    """JPEG is of full range: scaled to the master's."""
    pictures = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in jpegs[::10]]
    return [cv2.cvtColor(p, cv2.COLOR_BGR2YUV)[..., 0] * (219 / 255) + 16 for p in pictures]


def _psnr(lumas: Luma, true: Luma) -> float:
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(lumas, true, strict=False)]
    return float(np.mean([10 * np.log10(255**2 / max(error, 1e-4)) for error in errors]))
