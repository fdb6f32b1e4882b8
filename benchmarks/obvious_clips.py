"""Reading and augmenting clips as one would first write it: whole decodes, RGB frames, float tensors."""

from __future__ import annotations

import io

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Frames = list[NDArray[np.uint8]]


def decode_all(video: bytes, wanted: list[int]) -> Frames:
    """Decode every frame to RGB, then choose: what `read_video` and webdataset's decoders do."""
    with av.open(io.BytesIO(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frames[index] for index in wanted]


def decode_from_start(video: bytes, wanted: list[int]) -> Frames:
    """Decode up to the last frame that is wanted; convert the wanted ones."""
    found = {}
    with av.open(io.BytesIO(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                found[index] = frame.to_ndarray(format="rgb24")
            if index >= wanted[-1]:
                break
    return [found[index] for index in wanted]


def decode_by_seek(video: bytes, wanted: list[int]) -> Frames:
    """Seek to the key frame before the first frame and decode to the last."""
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        step = 1 / (stream.average_rate * stream.time_base)
        first = stream.start_time or 0
        container.seek(int(first + wanted[0] * step), stream=stream)
        found = {}
        for frame in container.decode(stream):
            index = round((frame.pts - first) / step)
            if index in wanted:
                found[index] = frame.to_ndarray(format="rgb24")
            if index >= wanted[-1]:
                break
    return [found[index] for index in wanted]


def decode_jpegs(pictures: list[bytes], wanted: list[int]) -> Frames:
    """Decode the JPEGs of the wanted frames."""
    return [
        cv2.cvtColor(cv2.imdecode(np.frombuffer(pictures[index], np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        for index in wanted
    ]


def crop(frames: Frames, *, share: float, size: int) -> NDArray[np.uint8]:
    """The square of the short side at `share` of the way along the long side, resized."""
    height, width, _ = frames[0].shape
    side = min(height, width)
    top, left = int((height - side) * share), int((width - side) * share)
    parts = [frame[top : top + side, left : left + side] for frame in frames]
    how = cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR
    return np.stack([cv2.resize(part, (size, size), interpolation=how) for part in parts])


def augment(frames: Frames, *, size: int, scales: tuple[float, ...], jitter: float, rng: np.random.Generator) -> object:
    """torchvision's steps on a float tensor: corner crop, resize, flip, brightness, contrast, saturation."""
    x_TCHW = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255
    _, _, height, width = x_TCHW.shape
    side = int(min(height, width) * rng.choice(scales))
    corner = int(rng.integers(5))
    top, left = (height - side) * (corner // 2 % 2), (width - side) * (corner % 2)
    x_TCHW = x_TCHW[..., top : top + side, left : left + side]
    x_TCHW = F.interpolate(x_TCHW, (size, size), mode="bilinear", align_corners=False, antialias=True)
    if rng.random() < 0.5:
        x_TCHW = x_TCHW.flip(-1)
    brightness, contrast, saturation = rng.uniform(1 - jitter, 1 + jitter, 3)
    x_TCHW = (x_TCHW * brightness).clamp(0, 1)
    mean = _grey(x_TCHW).mean()
    x_TCHW = (contrast * x_TCHW + (1 - contrast) * mean).clamp(0, 1)
    x_TCHW = (saturation * x_TCHW + (1 - saturation) * _grey(x_TCHW)).clamp(0, 1)
    return (x_TCHW * 255).byte().permute(0, 2, 3, 1).contiguous()


def _grey(x_TCHW: torch.Tensor) -> torch.Tensor:
    return (x_TCHW * x_TCHW.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
