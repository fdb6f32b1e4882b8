"""The views of one video, from one decode: every test clip and crop of it, or rho training clips.

Shapes: V views (clips x crops, or rho clips), K crops, T frames, H, W, C=3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpd.video import sample, transforms
from cpd.video.decode import decode_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av
    from numpy.typing import NDArray

    from cpd.config import FeatureViews, Views


def all_views(video: bytes, n_frames: int, views: FeatureViews) -> NDArray[np.uint8]:
    """All views (V, T, H, W, 3), clip by clip and crop by crop.

    Raises:
        VideoError: the video cannot be decoded, or has fewer frames than `n_frames`.
    """
    clips = sample.test_indices(n_frames, views.clips, views.frames, views.stride)
    wanted = sorted({frame for clip in clips for frame in clip})
    place = {frame: number for number, frame in enumerate(wanted)}
    frames = decode_frames(video, wanted)
    # Views overlap: each frame is cropped once, and then shared.
    if views.crops == 3:
        crops_KTHWC = transforms.three_crops(frames, views.size)
    else:
        crops_KTHWC = transforms.centre_clip(frames, views.size)[None]
    order = [[place[frame] for frame in clip] for clip in clips]
    return np.stack([crop_THWC[chosen] for chosen in order for crop_THWC in crops_KTHWC])


def rho_views(video: bytes, n_frames: int, views: Views, rho: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The clips (V, T, H, W, 3) that a persistency objective compares, each with an augmentation of its own.

    V = max(rho, 2): with rho = 1 both are of the same frames (`sample.rho_indices`).

    Raises:
        VideoError: the video cannot be decoded, or has fewer frames than `n_frames`.
    """
    clips = sample.rho_indices(n_frames, views, rho, rng)
    return np.stack([transforms.train_clip(frames, views, rng) for frames in _decode_clips(video, clips)])


def _decode_clips(video: bytes, clips: Sequence[Sequence[int]]) -> list[list[av.VideoFrame]]:
    """Frames of several clips; one that stands in two of them is decoded once."""
    wanted = sorted({frame for clip in clips for frame in clip})
    found = dict(zip(wanted, decode_frames(video, wanted), strict=True))
    return [[found[frame] for frame in clip] for clip in clips]
