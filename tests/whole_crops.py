"""Crops as new clips: what `transforms.crop` writes in place."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np

from cpd.video.transforms import crop


def centre_clip(frames: Sequence[av.VideoFrame], size: int) -> np.ndarray:
    """The centre square of the short side, resized: uint8 (T, size, size, 3)."""
    return _crops(frames, size, 1)[0]


def three_crops(frames: Sequence[av.VideoFrame], size: int) -> np.ndarray:
    """Three squares of the short side, start, centre and end of the long side: uint8 (3, T, size, size, 3)."""
    return _crops(frames, size, 3)


def _crops(frames: Sequence[av.VideoFrame], size: int, count: int) -> np.ndarray:
    clip_KTHWC = np.empty((count, len(frames), size, size, 3), np.uint8)
    crop(frames, size, clip_KTHWC)
    return clip_KTHWC
