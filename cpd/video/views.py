"""The views of one video, from one decode: every test clip and crop of it, or rho training clips.

Shapes: V views (C clips x K crops, or rho clips), T frames, H, W, and the three colours last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cpd.video import sample, transforms
from cpd.video.decode import decode_frames, show_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av
    from numpy.typing import NDArray

    from cpd.config import FeatureViews, Views
    from cpd.video.decode import Verified


def all_views(
    video: bytes | Verified, n_frames: int, views: FeatureViews, *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """All views, clip by clip and crop by crop.

    Args:
        video: see `decode.decode_frames`.
        n_frames: of the video.
        views: which; `crops` is 1 or 3.
        out: contiguous uint8 (V, T, size, size, 3) to write into; None makes room.

    Returns:
        uint8 (V, T, size, size, 3).

    Raises:
        VideoError: the video cannot be decoded, or has fewer frames than `n_frames`.
    """
    frames_CT = np.array(sample.test_indices(n_frames, views.clips, views.frames, views.stride))
    C, T = frames_CT.shape
    views_VTHWC = np.empty((C * views.crops, T, views.size, views.size, 3), np.uint8) if out is None else out
    assert views_VTHWC.flags.c_contiguous, "a copy would be written instead"
    views_CKTHWC = views_VTHWC.reshape(C, views.crops, *views_VTHWC.shape[1:])
    places: dict[int, list[tuple[int, int]]] = {}
    for (c, t), frame in np.ndenumerate(frames_CT):
        places.setdefault(int(frame), []).append((c, t))

    def show(index: int, frame: av.VideoFrame) -> None:
        """Views overlap: a frame is cropped where it is shown first, and copied to wherever else it is."""
        (first, t), *others = places[index]
        transforms.crop([frame], views.size, views_CKTHWC[first, :, t : t + 1])
        for other_c, other_t in others:
            views_CKTHWC[other_c, :, other_t] = views_CKTHWC[first, :, t]

    show_frames(video, places, show)
    return views_VTHWC


def rho_views(
    video: bytes | Verified,
    n_frames: int,
    views: Views,
    rho: int,
    rng: np.random.Generator,
    *,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """The clips (V, T, H, W, 3) that a persistency objective compares, each with an augmentation of its own.

    V = max(rho, 2): with rho = 1 both are of the same frames (`sample.rho_indices`). `out` is as in `all_views`.

    Raises:
        VideoError: the video cannot be decoded, or has fewer frames than `n_frames`.
    """
    clips = sample.rho_indices(n_frames, views, rho, rng)
    shape = (len(clips), views.frames, views.size, views.size, 3)
    clips_VTHWC = np.empty(shape, np.uint8) if out is None else out
    for frames, clip_THWC in zip(_decode_clips(video, clips), clips_VTHWC, strict=True):
        transforms.train_clip(frames, views, rng, out=clip_THWC)
    return clips_VTHWC


def _decode_clips(video: bytes | Verified, clips: Sequence[Sequence[int]]) -> list[list[av.VideoFrame]]:
    """Frames of several clips; one that stands in two of them is decoded once."""
    wanted = sorted({frame for clip in clips for frame in clip})
    found = dict(zip(wanted, decode_frames(video, wanted), strict=True))
    return [[found[frame] for frame in clip] for clip in clips]
