"""From decoded frames to clips: crop, resize, flip, colour, blur; the same for every frame of a clip.

T frames, H, W pixels, C = 3 (red, green, blue), P = 3 planes (Y, U, V), B batch. Frames are cropped and resized as
planes, and only then turned to RGB: the conversion (ITU-R BT.601, limited range) is affine, and so are brightness,
contrast, saturation, hue and the loss of all colour, so that everything about colour is one 3x4 matrix per clip.
Training and evaluation share this path.

Memory that is asked for anew comes page by page and costs more than the work: so planes lie where the picture is to
stand, and the picture is written over them (`_as_planes`).
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
    Planes = NDArray[np.uint8]
    Pictures = Clip | Sequence[Clip]
    Matrix = NDArray[np.float64]

# Mean and standard deviation of Kinetics' pixels in [0, 1].
MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_BT709 = 1  # AVCOL_SPC_BT709
_SHARES = {1: (0.5,), 3: (0.0, 0.5, 1.0)}  # number of crops -> where they lie along the long side
_SCRATCH = 1 << 17  # bytes: more is taken from the kernel anew, page by page (glibc's mmap threshold)
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class _Box:
    """A square of the picture, in luma pixels; all even, so that it falls on whole chroma samples."""

    top: int
    left: int
    side: int


def train_clip(
    frames: Sequence[av.VideoFrame], views: Views, rng: np.random.Generator, *, out: Clip | None = None
) -> Clip:
    """One augmented training clip: crop, resize, flip, colour, blur.

    The crop's side is one of `views.scales` of the short side, at a corner or in the centre; or, with
    `views.short_side`, `views.size` pixels anywhere in the picture scaled to a short side from that range. In
    `views.jitter_p` of the clips brightness, contrast and saturation are scaled by factors from [1 - jitter, 1 +
    jitter] and chroma is turned by up to `views.hue` of a circle (PAPER sections 1 and 5). Nothing is drawn for what
    the config leaves out.

    Args:
        frames: T decoded frames.
        views: the augmentation.
        rng: what it is drawn from.
        out: contiguous uint8 (T, size, size, 3) that the clip is written into; None makes room for it.

    Returns:
        uint8 (T, size, size, 3).
    """
    box = _random_box(frames[0], views.scales, rng) if views.short_side is None else _anywhere(frames[0], views, rng)
    flip = views.flip and bool(rng.random() < 0.5)
    factors = rng.uniform(1 - views.jitter, 1 + views.jitter, 3)
    turn = rng.uniform(-views.hue, views.hue) if views.hue else 0.0
    coloured, gray, blurred = (_happens(share, rng) for share in (views.jitter_p, views.gray_p, views.blur_p))
    rgb_THWC = np.empty((len(frames), views.size, views.size, 3), np.uint8) if out is None else out
    yuv_TPHW = _as_planes(rgb_THWC)
    _crop_resize(frames, box, yuv_TPHW)
    if flip:
        _flip(yuv_TPHW)
    matrix = _TO_RGB
    if coloured and (views.jitter > 0 or turn != 0):
        turned = _turn(turn) if turn else _UNTURNED
        matrix = turned @ _jitter(factors, _mean_luma(yuv_TPHW)) @ _TO_RGB
    _recolour(yuv_TPHW, _GRAY @ matrix if gray else matrix, rgb_THWC)
    if blurred:
        _blur(rgb_THWC, rng.uniform(*views.blur_sigma))
    return rgb_THWC


def crop(frames: Sequence[av.VideoFrame], size: int, out_KT: Clip | Sequence[Pictures]) -> None:
    """The centre square of the short side, resized; or three squares, at the start, centre and end of the long side.

    Args:
        frames: T decoded frames.
        size: of the squares.
        out_KT: one or three lists of T contiguous pictures uint8 (size, size, 3), which are written.
    """
    for pictures, share in zip(out_KT, _SHARES[len(out_KT)], strict=True):
        box = _along_long_side(frames[0], share)
        for frame, picture_HWC in zip(frames, pictures, strict=True):
            yuv_TPHW = _as_planes(picture_HWC[None])
            _crop_resize([frame], box, yuv_TPHW)
            _recolour(yuv_TPHW, _TO_RGB, picture_HWC[None])


def to_model(clip_BTHWC: torch.Tensor) -> torch.Tensor:
    """Normalise on the tensor's device: uint8 (B, T, H, W, 3) -> float32 (B, 3, T, H, W)."""
    x_BTHWC = clip_BTHWC.float()
    mean, std = 255 * x_BTHWC.new_tensor(MEAN), 255 * x_BTHWC.new_tensor(STD)
    return ((x_BTHWC - mean) / std).permute(0, 4, 1, 2, 3).contiguous()


def _random_box(frame: av.VideoFrame, scales: tuple[float, ...], rng: np.random.Generator) -> _Box:
    side = max(_even(min(frame.height, frame.width) * scales[rng.integers(len(scales))]), 2)
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


def _as_planes(rgb_THWC: Clip) -> Planes:
    """The same memory, seen as the planes of each picture: uint8 (T, 3, H, W)."""
    assert rgb_THWC.flags.c_contiguous, "a copy would be written instead"
    T, H, W, _ = rgb_THWC.shape
    return rgb_THWC.reshape(T, 3, H, W)


def _crop_resize(frames: Sequence[av.VideoFrame], box: _Box, yuv_TPHW: Planes) -> None:
    """Crop and resize the planes of every frame: Y, U, V."""
    half = _Box(box.top // 2, box.left // 2, box.side // 2)
    for frame, (y_HW, u_HW, v_HW) in zip(frames, yuv_TPHW, strict=True):
        y, u, v = _limited(frame).planes
        _resize(y, box, y_HW)
        _resize(u, half, u_HW)
        _resize(v, half, v_HW)


def _limited(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame in 8-bit 4:2:0, limited range, BT.601: our own clips are so."""
    if frame.format.name != "yuv420p" or frame.color_range == _FULL_RANGE or frame.colorspace == _BT709:
        return frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
    return frame


def _resize(plane: av.video.plane.VideoPlane, box: _Box, out_HW: Clip) -> None:
    """Bilinear, or by area where shrinking by more than two would alias. The decoder's memory is read where it lies."""
    stride = plane.line_size
    part = np.ndarray((box.side, box.side), np.uint8, plane, box.top * stride + box.left, (stride, 1))  # type: ignore[arg-type]
    interpolation = cv2.INTER_AREA if box.side > 2 * len(out_HW) else cv2.INTER_LINEAR
    cv2.resize(part, out_HW.shape, out_HW, interpolation=interpolation)


def _recolour(yuv_TPHW: Planes, matrix: Matrix, rgb_THWC: Clip) -> None:
    """Apply a colour matrix (4, 4) to every pixel, rounding and clamping once; `rgb_THWC` may be the planes' memory.

    Some frames at once: each is a row of pixels.
    """
    T, _, H, W = yuv_TPHW.shape
    yuv_TPX, rgb_TXC = yuv_TPHW.reshape(T, 3, H * W), rgb_THWC.reshape(T, H * W, 3)
    step = max(_SCRATCH // (3 * H * W), 1)
    yuv_TXC = np.empty((min(step, T), H * W, 3), np.uint8)
    for first in range(0, T, step):
        some = slice(first, first + step)
        mixed_TXC = yuv_TXC[: len(yuv_TPX[some])]
        cv2.merge((yuv_TPX[some, 0], yuv_TPX[some, 1], yuv_TPX[some, 2]), mixed_TXC)
        cv2.transform(mixed_TXC, matrix[:3], rgb_TXC[some])


def _flip(yuv_TPHW: Planes) -> None:
    """Left and right change places: rows of all planes are rows of one tall picture."""
    rows = yuv_TPHW.reshape(-1, yuv_TPHW.shape[-1])
    cv2.flip(rows, 1, rows)


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


def _jitter(factors: NDArray[np.float64], luma: float) -> Matrix:
    """Brightness, then contrast about the clip's mean grey, then saturation, as a (4, 4) matrix over (r, g, b, 1).

    Args:
        factors: of the three.
        luma: mean Y of the clip.
    """
    brightness, contrast, saturation = factors.tolist()
    mean_grey = brightness * (luma - 16) * 255 / 219
    gain, shift = brightness * contrast, (1 - contrast) * mean_grey
    light = np.array([[gain, 0, 0, shift], [0, gain, 0, shift], [0, 0, gain, shift], [0, 0, 0, 1]])
    matrix: Matrix = (saturation * _SAME + (1 - saturation) * _GRAY) @ light
    return matrix


def _mean_luma(yuv_TPHW: Planes) -> float:
    T, _, H, W = yuv_TPHW.shape
    y_TX = yuv_TPHW.reshape(T, 3, H * W)[:, 0]
    return float(cv2.sumElems(y_TX)[0]) * (1 / y_TX.size)


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


def _blur(pictures: Pictures, sigma: float) -> None:
    for picture_HWC in pictures:
        cv2.GaussianBlur(picture_HWC, (0, 0), sigma, picture_HWC)


def _affine(linear: NDArray[np.float64], offset: NDArray[np.float64]) -> Matrix:
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = offset
    return matrix


_SAME, _GRAY, _TO_RGB = np.eye(4), _gray(), _to_rgb()
_UNTURNED = _turn(0.0)
