"""From decoded frames to clips: crop, resize, flip, colour, blur; the same for every frame of a clip.

T frames, H, W pixels, C = 3 (red, green, blue), B batch. Frames are cropped and resized as Y, U, V planes, and only
then turned to RGB: the conversion (ITU-R BT.601, limited range) is affine, and so are brightness, contrast,
saturation, hue and the loss of all colour, so that everything about colour is one 3x4 matrix per clip. Training and
evaluation share this path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av
    import torch
    from numpy.typing import NDArray

    from cpd.config import Views

    Clip = NDArray[np.uint8]
    Matrix = NDArray[np.float64]

# Mean and standard deviation of Kinetics' pixels in [0, 1].
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_BT709 = 1  # AVCOL_SPC_BT709
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class _Box:
    """A square of the picture, in luma pixels; all even, so that it falls on whole chroma samples."""

    top: int
    left: int
    side: int


def train_clip(frames: Sequence[av.VideoFrame], views: Views, rng: np.random.Generator) -> Clip:
    """One augmented training clip: crop, resize, flip, colour, blur.

    The crop's side is one of `views.scales` of the short side, at a corner or in the centre; or, with
    `views.short_side`, `views.size` pixels anywhere in the picture scaled to a short side from that range. In
    `views.jitter_p` of the clips brightness, contrast and saturation are scaled by factors from [1 - jitter, 1 +
    jitter] and chroma is turned by up to `views.hue` of a circle (PAPER sections 1 and 5). Nothing is drawn for what
    the config leaves out.

    Returns:
        uint8 (T, size, size, 3).
    """
    box = _random_box(frames[0], views.scales, rng) if views.short_side is None else _anywhere(frames[0], views, rng)
    flip = views.flip and bool(rng.random() < 0.5)
    factors = rng.uniform(1 - views.jitter, 1 + views.jitter, 3)
    turn = rng.uniform(-views.hue, views.hue) if views.hue else 0.0
    coloured, gray, blurred = (_happens(share, rng) for share in (views.jitter_p, views.gray_p, views.blur_p))
    yuv_THWC = _crop_resize(frames, box, views.size)
    changes = coloured and (views.jitter > 0 or turn != 0)
    matrix = _turn(turn) @ _jitter(factors, yuv_THWC) @ _to_rgb() if changes else _to_rgb()
    rgb_THWC = _recolour(yuv_THWC, _gray() @ matrix if gray else matrix)
    rgb_THWC = _blur(rgb_THWC, rng.uniform(*views.blur_sigma)) if blurred else rgb_THWC
    return _flip(rgb_THWC) if flip else rgb_THWC


def centre_clip(frames: Sequence[av.VideoFrame], size: int) -> Clip:
    """The centre square of the short side, resized. Returns uint8 (T, size, size, 3)."""
    return _plain(frames, _along_long_side(frames[0], 0.5), size)


def three_crops(frames: Sequence[av.VideoFrame], size: int) -> Clip:
    """Three squares of the short side: start, centre and end of the long side. Returns uint8 (3, T, size, size, 3)."""
    return np.stack([_plain(frames, _along_long_side(frames[0], share), size) for share in (0.0, 0.5, 1.0)])


def to_model(clip_BTHWC: torch.Tensor) -> torch.Tensor:
    """Normalise on the tensor's device: uint8 (B, T, H, W, 3) -> float32 (B, 3, T, H, W)."""
    x_BTHWC = clip_BTHWC.float()
    mean, std = 255 * x_BTHWC.new_tensor(MEAN), 255 * x_BTHWC.new_tensor(STD)
    return ((x_BTHWC - mean) / std).permute(0, 4, 1, 2, 3).contiguous()


def _plain(frames: Sequence[av.VideoFrame], box: _Box, size: int) -> Clip:
    return _recolour(_crop_resize(frames, box, size), _to_rgb())


def _random_box(frame: av.VideoFrame, scales: tuple[float, ...], rng: np.random.Generator) -> _Box:
    side = max(_even(min(frame.height, frame.width) * rng.choice(scales)), 2)
    down, right = frame.height - side, frame.width - side
    corner = int(rng.integers(5))
    if corner == 4:
        return _Box(_even(down / 2), _even(right / 2), side)
    return _Box(_even(down) * (corner // 2), _even(right) * (corner % 2), side)


def _anywhere(frame: av.VideoFrame, views: Views, rng: np.random.Generator) -> _Box:
    """A crop of `size` pixels out of a picture whose short side is scaled to one of `short_side`, in its own pixels."""
    assert views.short_side is not None
    scaled = rng.uniform(*views.short_side)
    side = max(_even(min(frame.height, frame.width) * views.size / scaled), 2)
    top, left = (_even(rng.uniform(0, extent - side)) for extent in (frame.height, frame.width))
    return _Box(top, left, side)


def _happens(share: float, rng: np.random.Generator) -> bool:
    """Whether it does, with this chance; certainties draw nothing."""
    return share == 1 or (share > 0 and bool(rng.random() < share))


def _along_long_side(frame: av.VideoFrame, share: float) -> _Box:
    side = max(_even(min(frame.height, frame.width)), 2)
    return _Box(_even((frame.height - side) * share), _even((frame.width - side) * share), side)


def _even(value: float) -> int:
    return int(value) // 2 * 2


def _crop_resize(frames: Sequence[av.VideoFrame], box: _Box, size: int) -> Clip:
    """Crop and resize the planes. Returns uint8 (T, size, size, 3), the last axis Y, U, V."""
    yuv_THWC = np.empty((len(frames), size, size, 3), np.uint8)
    for number, frame in enumerate(frames):
        y, u, v = _planes(frame)
        half = _Box(box.top // 2, box.left // 2, box.side // 2)
        parts = [_resize(y, box, size), _resize(u, half, size), _resize(v, half, size)]
        cv2.merge(parts, dst=yuv_THWC[number])
    return yuv_THWC


def _planes(frame: av.VideoFrame) -> list[Clip]:
    """Y (H, W), U and V (H/2, W/2) of a frame; what is not 8-bit 4:2:0, limited range, BT.601 is converted first."""
    if frame.format.name != "yuv420p" or frame.color_range == _FULL_RANGE or frame.colorspace == _BT709:
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    ]


def _resize(plane: Clip, box: _Box, size: int) -> Clip:
    """Bilinear, or by area where shrinking by more than two would alias."""
    part = plane[box.top : box.top + box.side, box.left : box.left + box.side]
    interpolation = cv2.INTER_AREA if box.side > 2 * size else cv2.INTER_LINEAR
    return cv2.resize(part, (size, size), interpolation=interpolation)  # type: ignore[return-value]


def _recolour(clip_THWC: Clip, matrix: Matrix) -> Clip:
    """Apply a colour matrix (4, 4) to every pixel, rounding and clamping once."""
    T, H, W, C = clip_THWC.shape
    return cv2.transform(clip_THWC.reshape(T * H, W, C), matrix[:3]).reshape(T, H, W, C)  # type: ignore[return-value]


def _flip(clip_THWC: Clip) -> Clip:
    """Left and right change places: rows of all frames are rows of one tall picture."""
    T, H, W, C = clip_THWC.shape
    return cv2.flip(clip_THWC.reshape(T * H, W, C), 1).reshape(T, H, W, C)  # type: ignore[return-value]


def _to_rgb() -> Matrix:
    """Limited-range Y'CbCr to full-range R'G'B' (ITU-R BT.601) as a (4, 4) matrix over (y, u, v, 1)."""
    red, green, blue = _LUMA
    y, c = 255 / 219, 255 / 112
    linear = np.array(
        [
            [y, 0, c * (1 - red)],
            [y, -c * (1 - blue) * blue / green, -c * (1 - red) * red / green],
            [y, c * (1 - blue), 0],
        ]
    )
    return _affine(linear, -linear @ np.array([16, 128, 128]))


def _jitter(factors: NDArray[np.float64], yuv_THWC: Clip) -> Matrix:
    """Brightness, then contrast about the clip's mean grey, then saturation, as a (4, 4) matrix over (r, g, b, 1)."""
    brightness, contrast, saturation = factors
    mean_grey = brightness * (_mean_luma(yuv_THWC) - 16) * 255 / 219
    light = _affine(brightness * contrast * np.eye(3), np.full(3, (1 - contrast) * mean_grey))
    colour: Matrix = saturation * np.eye(4) + (1 - saturation) * _gray()
    return colour @ light


def _mean_luma(yuv_THWC: Clip) -> float:
    T, H, W, C = yuv_THWC.shape
    return float(cv2.mean(yuv_THWC.reshape(T * H, W, C))[0])


def _gray() -> Matrix:
    """Every channel becomes the luma, as a (4, 4) matrix over (r, g, b, 1)."""
    return _affine(np.tile(_LUMA, (3, 1)), np.zeros(3))


def _turn(share: float) -> Matrix:
    """Turn chroma (Cb, Cr) by this share of a circle; luma stays. A (4, 4) matrix over (r, g, b, 1)."""
    angle = 2 * np.pi * share
    linear = _to_rgb()[:3, :3]
    turned = np.eye(3)
    turned[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return _affine(linear @ turned @ np.linalg.inv(linear), np.zeros(3))


def _blur(clip_THWC: Clip, sigma: float) -> Clip:
    return np.stack([cv2.GaussianBlur(frame_HWC, (0, 0), sigma) for frame_HWC in clip_THWC])


def _affine(linear: NDArray[np.float64], offset: NDArray[np.float64]) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = offset
    return matrix
