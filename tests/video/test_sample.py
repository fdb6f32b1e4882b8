from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpd.config import Views
from cpd.video import sample

lengths = st.integers(1, 400)
counts = st.integers(1, 32)
strides = st.integers(1, 16)


@given(n=lengths, frames=counts, stride=strides, seed=st.integers(0, 9))
def test_train_spacing_is_the_stride(n: int, frames: int, stride: int, seed: int) -> None:
    """Defect j: linspace sampling gave 4.43."""
    views = Views(frames=frames, stride=stride)
    indices = sample.train_indices(n, views, np.random.default_rng(seed))
    assert len(indices) == frames
    assert all(0 <= index < n for index in indices)
    assert all((after - before - stride) % n == 0 for before, after in pairwise(indices))
    if n > (frames - 1) * stride:
        assert np.all(np.diff(indices) == stride)


def test_every_start_is_drawn() -> None:
    views, rng = Views(frames=4, stride=2), np.random.default_rng(0)
    starts = [sample.train_indices(10, views, rng)[0] for _ in range(2000)]
    values, times = np.unique(starts, return_counts=True)
    assert values.tolist() == [0, 1, 2, 3]
    assert times.min() > 400


@given(n=lengths, clips=counts, frames=counts, stride=strides)
def test_test_clips_span_the_video(n: int, clips: int, frames: int, stride: int) -> None:
    views = sample.test_indices(n, clips, frames, stride)
    assert [len(view) for view in views] == [frames] * clips
    assert all(0 <= index < n for view in views for index in view)
    span = (frames - 1) * stride + 1
    if n >= span:
        starts = [view[0] for view in views]
        assert all(np.all(np.diff(view) == stride) for view in views)
        gaps = np.diff(starts)
        assert clips == 1 or (starts[0] == 0 and starts[-1] == n - span and gaps.max() - gaps.min() <= 1)


@pytest.mark.parametrize(("n", "start"), [(29, 0), (30, 1), (129, 50)])
def test_one_clip_is_the_middle(n: int, start: int) -> None:
    assert sample.test_indices(n, 1, 8, 4)[0][0] == start


def test_a_short_video_is_repeated() -> None:
    assert sample.test_indices(5, 1, 4, 2) == [[0, 2, 4, 1]]
    assert sample.train_indices(1, Views(frames=3), np.random.default_rng(0)) == [0, 0, 0]


@given(n=lengths, rho=st.integers(1, 5), frames=counts, stride=strides, seed=st.integers(0, 9))
def test_rho_clips_are_training_clips(n: int, rho: int, frames: int, stride: int, seed: int) -> None:
    views = Views(frames=frames, stride=stride)
    clips = sample.rho_indices(n, views, rho, np.random.default_rng(seed))
    assert len(clips) == max(rho, 2)
    rng = np.random.default_rng(seed)
    assert clips[:rho] == [sample.train_indices(n, views, rng) for _ in range(rho)]
    if rho == 1:
        assert clips[0] == clips[1]  # their augmentations are drawn apart
