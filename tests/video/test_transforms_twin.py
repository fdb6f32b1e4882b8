"""Augmentation against a slow twin that shares no code with it: Pillow, frame by frame, one step after the other."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from cpd.config import Views
from cpd.video import transforms
from cpd.video.decode import decode_frames
from tests.video.counter_video import soft_scene, write_video
from tests.whole_crops import centre_clip, three_crops


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[av.VideoFrame]:
    path = tmp_path_factory.mktemp("twin") / "a.mp4"
    return decode_frames(write_video(path, [soft_scene()] * 3, crf="1").read_bytes(), range(3))


def twin(frames: list[av.VideoFrame], views: Views, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The steps as the docstring of `train_clip` tells them, with the same draws."""
    width, height = frames[0].width, frames[0].height
    side = int(min(width, height) * rng.choice(views.scales)) // 2 * 2
    corner = int(rng.integers(5))
    places = [(0, 0), (width - side, 0), (0, height - side), (width - side, height - side)]
    left, top = [*places, ((width - side) // 2, (height - side) // 2)][corner]
    left, top = left // 2 * 2, top // 2 * 2
    mirrored = bool(rng.random() < 0.5) if views.flip else False
    brightness, contrast, saturation = rng.uniform(1 - views.jitter, 1 + views.jitter, 3)
    made = []
    for frame in frames:
        image = frame.to_image().crop((left, top, left + side, top + side))
        image = image.resize((views.size, views.size), Image.Resampling.BILINEAR)
        image = ImageEnhance.Brightness(image).enhance(brightness)
        image = ImageEnhance.Contrast(image).enhance(contrast)
        image = ImageEnhance.Color(image).enhance(saturation)
        made.append(np.asarray(ImageOps.mirror(image) if mirrored else image))
    return np.stack(made)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("views", [Views(size=96, jitter=0.2), Views(size=128, jitter=0.0, flip=False)])
def test_a_training_clip(frames: list[av.VideoFrame], views: Views, seed: int) -> None:
    got = transforms.train_clip(frames, views, np.random.default_rng(seed))
    wanted = twin(frames, views, np.random.default_rng(seed))
    assert got.shape == wanted.shape == (3, views.size, views.size, 3)
    assert got.dtype == np.uint8
    difference = np.abs(got.astype(float) - wanted)
    assert difference.mean() < 3.2  # two ways from 4:2:0 to RGB, and roundings after every step
    assert np.quantile(difference, 0.999) < 12
    # It would be seen: another crop, mirror image or colour is further away.
    other = twin(frames, views, np.random.default_rng(seed + 100))
    assert np.array_equal(other, wanted) or difference.mean() < np.abs(other.astype(float) - got).mean()


@pytest.mark.parametrize("size", [16, 24, 32])
def test_shrinking_averages(frames: list[av.VideoFrame], size: int) -> None:
    got = centre_clip(frames, size)
    image = frames[0].to_image().crop((16, 0, 112, 96)).resize((size, size), Image.Resampling.BOX)
    assert np.abs(got[0].astype(float) - np.asarray(image)).mean() < 2


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64), (66, 66), (50, 150)])
def test_views_are_squares_along_the_long_side(tmp_path: Path, height: int, width: int) -> None:
    video = write_video(tmp_path / "a.mp4", [soft_scene(height, width)] * 2, crf="1").read_bytes()
    frames = decode_frames(video, [0, 1])
    side = min(height, width) // 2 * 2
    crops = three_crops(frames, side)
    assert np.array_equal(crops, three_crops(frames, side)), "nothing is drawn"
    for crop, share in zip(crops, (0, 0.5, 1), strict=True):
        left, top = int((width - side) * share) // 2 * 2, int((height - side) * share) // 2 * 2
        image = frames[0].to_image().crop((left, top, left + side, top + side))
        assert np.abs(crop.astype(float) - np.asarray(image)).mean() < 2.5
    assert np.array_equal(crops[1], centre_clip(frames, side))
