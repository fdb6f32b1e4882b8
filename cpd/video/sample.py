"""Which frames make a clip: `frames` of them, exactly `stride` apart (PAPER section 1: 8 frames, stride 4).

A video shorter than the span of a clip is repeated from its beginning, so that the stride holds throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cpd.config import Views


def train_indices(n_frames: int, views: Views, rng: np.random.Generator) -> list[int]:
    """Frame indices of one training clip: a uniformly random start, then every `views.stride`-th frame.

    Returns:
        `views.frames` indices in 0..n_frames-1.
    """
    last = _last_start(n_frames, views.frames, views.stride)
    return _clip(int(rng.integers(0, last + 1)), n_frames, views.frames, views.stride)


def rho_indices(n_frames: int, views: Views, rho: int, rng: np.random.Generator) -> list[list[int]]:
    """Frame indices of the clips of one video that a persistency objective compares (PAPER section 5).

    rho clips at independently and uniformly random starts. rho = 1 is one clip, given twice: its two views differ by
    their augmentation alone, as two crops of one image do.

    Returns:
        max(rho, 2) lists of `views.frames` indices in 0..n_frames-1.
    """
    clips = [train_indices(n_frames, views, rng) for _ in range(rho)]
    return clips * 2 if rho == 1 else clips


def test_indices(n_frames: int, clips: int, frames: int, stride: int) -> list[list[int]]:
    """Frame indices of `clips` test clips whose starts are uniformly spaced, both ends included.

    One clip is taken from the middle.

    Returns:
        `clips` lists of `frames` indices in 0..n_frames-1.
    """
    last = _last_start(n_frames, frames, stride)
    starts = np.linspace(0, last, clips) if clips > 1 else np.array([last / 2])
    return [_clip(int(start + 0.5), n_frames, frames, stride) for start in starts]


def _last_start(n_frames: int, frames: int, stride: int) -> int:
    assert n_frames > 0, "a clip has frames"
    return max(n_frames - ((frames - 1) * stride + 1), 0)


def _clip(start: int, n_frames: int, frames: int, stride: int) -> list[int]:
    return [(start + step * stride) % n_frames for step in range(frames)]
