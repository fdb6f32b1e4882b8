"""Other packages that read some frames of a video: each as its documentation says."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from types import ModuleType

import cv2

from benchmarks import obvious_clips as obvious
from benchmarks import peers

Decode = Callable[[bytes, list[int]], obvious.Frames]


def readers() -> dict[str, Decode | str]:
    """By package: how it reads these frames in RGB, or why it cannot be had."""
    reads: dict[str, Decode | str] = {"opencv VideoCapture": _with_opencv}
    for name, read in (("torchcodec.decoders", _with_torchcodec), ("decord", _with_decord)):
        module = peers.load(name)
        reads[name.partition(".")[0]] = module if isinstance(module, str) else read(module)
    return reads


def _with_torchcodec(module: ModuleType) -> Decode:
    def read(video: bytes, wanted: list[int]) -> obvious.Frames:
        options = {"num_ffmpeg_threads": 1, "dimension_order": "NHWC", "seek_mode": "approximate"}
        return list(module.VideoDecoder(video, **options).get_frames_at(wanted).data.numpy())

    return read


def _with_decord(module: ModuleType) -> Decode:
    return lambda video, wanted: list(module.VideoReader(io.BytesIO(video), num_threads=1).get_batch(wanted).asnumpy())


def _with_opencv(video: bytes, wanted: list[int]) -> obvious.Frames:
    """It reads files alone, and seeks to the key frame before."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        reader = cv2.VideoCapture(file.name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        reader.set(cv2.CAP_PROP_POS_FRAMES, wanted[0])
        pictures = []
        for index in range(wanted[0], wanted[-1] + 1):
            assert reader.grab()
            if index in wanted:
                pictures.append(cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB))
        return pictures
