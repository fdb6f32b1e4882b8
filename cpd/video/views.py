"""The test views of one video: every clip and crop of it, from one decode.

Shapes: V views (clips x crops), K crops, T frames, H, W, C=3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpd.video import sample, transforms
from cpd.video.decode import decode_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cpd.config import FeatureViews


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
