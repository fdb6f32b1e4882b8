"""Encode rendered frames with PyAV: H.264 in mp4 for the web site, MPEG-4 in avi for the downstream sets."""

from __future__ import annotations

import os
from pathlib import Path

import av

from cpd import fileio
from cpd.sources.demo.backgrounds import Image
from cpd.sources.demo.render import FPS

# bitexact: no library version or time in the file, so that equal frames give equal bytes
_H264 = {"preset": "superfast", "crf": "25", "threads": "1", "g": "24"}
_MPEG4 = {"flags": "+qscale+bitexact", "global_quality": "590", "threads": "1"}  # FF_QP2LAMBDA (118) x scale 5


def write_mp4(path: Path, frames_THWC: Image, *, share: float = 1.0) -> None:
    """H.264, yuv420p, index in front. A `share` below 1 puts the index at the end and keeps that part of the bytes.

    Args:
        path: file to write.
        frames_THWC: uint8 RGB (T, H, W, 3), H and W even.
        share: part of the file that is kept: a download that broke off, which no player opens.
    """
    container_options = {"movflags": "+faststart"} if share == 1.0 else {}
    with fileio.atomic_path(path) as beside:
        _encode(beside, frames_THWC, codec="libx264", options=_H264, container_options=container_options)
        os.truncate(beside, int(beside.stat().st_size * share))


def write_avi(path: Path, frames_THWC: Image) -> None:
    """MPEG-4 part 2 in avi, as the files of UCF101 and HMDB51 are; frames as for `write_mp4`."""
    with fileio.atomic_path(path) as beside:
        _encode(beside, frames_THWC, codec="mpeg4", options=_MPEG4, container_options={})


def _encode(
    path: Path, frames_THWC: Image, *, codec: str, options: dict[str, str], container_options: dict[str, str]
) -> None:
    with av.open(str(path), "w", options={"fflags": "+bitexact", **container_options}) as container:
        stream = container.add_stream(codec, rate=FPS, options={"flags": "+bitexact", **options})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
