"""Reading and augmenting clips as one would first write it: whole decodes, RGB frames, float tensors."""

from __future__ import annotations

import io
import tarfile

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


def random_square(
    frames: Frames, *, scales: tuple[float, ...], size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A square of some share of the short side, at a corner or in the centre, resized and at times flipped."""
    height, width, _ = frames[0].shape
    side = int(min(height, width) * rng.choice(scales))
    corner = int(rng.integers(5))
    down, right = height - side, width - side
    top, left = (down // 2, right // 2) if corner == 4 else (down * (corner // 2), right * (corner % 2))
    how = cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR
    parts = [frame[top : top + side, left : left + side] for frame in frames]
    clip_THWC = np.stack([cv2.resize(part, (size, size), interpolation=how) for part in parts])
    return np.ascontiguousarray(clip_THWC[:, :, ::-1]) if rng.random() < 0.5 else clip_THWC


def read_official(
    video: bytes,
    start: int,
    *,
    frames: int,
    stride: int,
    size: int,
    short: tuple[int, int],
    rng: np.random.Generator | None,
) -> torch.Tensor:
    """What the authors' code does with a sample: seek, turn every frame of the span to RGB, then choose and normalise.

    Whole pictures become float before they are scaled to a short side out of `short` and cropped at random (at the
    centre without `rng`).

    Returns:
        float32 (3, T, size, size), normalised.
    """
    pictures = _span_to_rgb(video, start, start + frames * stride - 1)
    chosen = torch.linspace(0, len(pictures) - 1, frames).long()
    x_THWC = torch.as_tensor(np.stack(pictures))[chosen].float() / 255.0
    x_CTHW = ((x_THWC - torch.tensor([0.45] * 3)) / torch.tensor([0.225] * 3)).permute(3, 0, 1, 2)
    side = int(rng.integers(short[0], short[1] + 1)) if rng else short[0]
    height, width = x_CTHW.shape[2:]
    scale = side / min(height, width)
    scaled = (max(side, int(height * scale)), max(side, int(width * scale)))
    x_CTHW = F.interpolate(x_CTHW, size=scaled, mode="bilinear", align_corners=False)
    down, right = scaled[0] - size, scaled[1] - size
    top, left = (int(rng.integers(down + 1)), int(rng.integers(right + 1))) if rng else (down // 2, right // 2)
    x_CTHW = x_CTHW[:, :, top : top + size, left : left + size]
    return x_CTHW.flip(-1) if rng is not None and rng.random() < 0.5 else x_CTHW


def _span_to_rgb(video: bytes, first: int, last: int) -> Frames:
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step = stream.duration / stream.frames
        low, high = int(first * step), int(last * step)
        container.seek(max(low - 1024, 0), any_frame=False, backward=True, stream=stream)
        found = {}
        for frame in container.decode(stream):
            if frame.pts >= low:
                found[frame.pts] = frame
            if frame.pts > high:
                break
        return [found[pts].to_ndarray(format="rgb24") for pts in sorted(found)]


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


def jitter(clip_THWC: NDArray[np.uint8], factors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation one after the other, each in float and back, as torchvision does them."""
    x_TCHW = torch.from_numpy(clip_THWC).permute(0, 3, 1, 2)
    x_TCHW = _blend(x_TCHW, torch.zeros(()), factors[0])
    mean_T111 = _grey(x_TCHW.float()).mean(dim=(1, 2, 3), keepdim=True)
    x_TCHW = _blend(x_TCHW, mean_T111, factors[1])
    x_TCHW = _blend(x_TCHW, _grey(x_TCHW.float()), factors[2])
    return x_TCHW.permute(0, 2, 3, 1).contiguous().numpy()


def _blend(x_TCHW: torch.Tensor, other: torch.Tensor, factor: float) -> torch.Tensor:
    return (x_TCHW.float() * factor + other * (1 - factor)).clamp(0, 255).to(torch.uint8)


def _grey(x_TCHW: torch.Tensor) -> torch.Tensor:
    return (x_TCHW * x_TCHW.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)


def add(tar: tarfile.TarFile, members: dict[str, bytes]) -> None:
    """Write members by name."""
    for name, data in members.items():
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
