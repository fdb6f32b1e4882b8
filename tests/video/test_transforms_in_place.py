"""Pictures are made where their planes lie: the same bytes as when every step has memory of its own."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cpd.config import FeatureViews, Views
from cpd.video import sample, transforms
from cpd.video.decode import decode_frames
from cpd.video.views import all_views, rho_views
from tests.video.counter_video import soft_scene, write_video

Bytes = NDArray[np.uint8]
N = 40


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    pictures = [np.roll(soft_scene(90, 122), 3 * k, 1) for k in range(N)]
    return write_video(tmp_path_factory.mktemp("place") / "a.mp4", pictures, crf="10").read_bytes()


def plain(frames: list[av.VideoFrame], box: transforms._Box, size: int) -> Bytes:
    """Crop and resize, plane by plane. Y, U, V last."""
    made = []
    for frame in frames:
        pixels = frame.to_ndarray(format="yuv420p")
        height, width = frame.height, frame.width
        y = pixels[:height]
        u, v = pixels[height:].reshape(2, height // 2, width // 2)
        parts = []
        for plane, scale in ((y, 1), (u, 2), (v, 2)):
            top, left, side = box.top // scale, box.left // scale, box.side // scale
            how = cv2.INTER_AREA if side > 2 * size else cv2.INTER_LINEAR
            parts.append(cv2.resize(plane[top : top + side, left : left + side], (size, size), interpolation=how))
        made.append(np.stack(parts, axis=-1))
    return np.stack(made)


def recoloured(clip_THWC: Bytes, matrix: NDArray[np.float64]) -> Bytes:
    return np.stack([cv2.transform(picture, matrix[:3]) for picture in clip_THWC])


def jitter(factors: NDArray[np.float64], yuv_THWC: Bytes) -> NDArray[np.float64]:
    brightness, contrast, saturation = factors
    light, colour = np.eye(4), saturation * np.eye(4) + (1 - saturation) * transforms._gray()
    light[:3, :3] *= brightness * contrast
    light[:3, 3] = (1 - contrast) * (brightness * (yuv_THWC[..., 0].mean() - 16) * 255 / 219)
    return colour @ light


def augmented(frames: list[av.VideoFrame], views: Views, rng: np.random.Generator) -> Bytes:
    """`train_clip`, one step after the other; the flip comes last."""
    if views.short_side is None:
        box = transforms._random_box(frames[0], views.scales, rng)
    else:
        box = transforms._anywhere(frames[0], views, rng)
    flip = views.flip and rng.random() < 0.5
    factors = rng.uniform(1 - views.jitter, 1 + views.jitter, 3)
    turn = rng.uniform(-views.hue, views.hue) if views.hue else 0.0
    chances = (views.jitter_p, views.gray_p, views.blur_p)
    coloured, gray, blurred = (p == 1 or (p > 0 and rng.random() < p) for p in chances)
    clip_THWC = plain(frames, box, views.size)
    matrix = transforms._to_rgb()
    if coloured and (views.jitter or turn):
        matrix = transforms._turn(turn) @ jitter(factors, clip_THWC) @ matrix
    clip_THWC = recoloured(clip_THWC, transforms._gray() @ matrix if gray else matrix)
    if blurred:
        sigma = rng.uniform(*views.blur_sigma)
        clip_THWC = np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) for picture in clip_THWC])
    return clip_THWC[:, :, ::-1] if flip else clip_THWC


STUDY = {"hue": 0.1, "jitter_p": 0.8, "gray_p": 0.3, "blur_p": 0.5}


@pytest.mark.parametrize("size", [17, 40, 64, 150])
@pytest.mark.parametrize("options", [{}, {"jitter": 0.0}, {"blur_p": 1.0}, STUDY])
def test_a_training_clip(video: bytes, size: int, options: dict[str, float]) -> None:
    views = Views(size=size, **options)  # type: ignore[arg-type]
    for seed in range(8):
        frames = decode_frames(video, range(seed, seed + 9, 3))
        wanted = augmented(frames, views, np.random.default_rng(seed))
        got = transforms.train_clip(frames, views, np.random.default_rng(seed))
        # 1: a contrast about a mean that is summed in another order may round otherwise
        assert np.abs(got.astype(int) - wanted).max() <= (1 if views.jitter else 0)
        assert np.mean(got != wanted) < 1e-3
        batch_BTHWC = np.full((3, *got.shape), 7, np.uint8)
        assert transforms.train_clip(frames, views, np.random.default_rng(seed), out=batch_BTHWC[1]) is not None
        assert np.array_equal(batch_BTHWC[1], got)
        assert (batch_BTHWC[[0, 2]] == 7).all(), "neighbours are left alone"


def test_a_crop_anywhere(video: bytes) -> None:
    views = Views(size=48, short_side=(56, 80), jitter=0.0)
    for seed in range(8):
        frames = decode_frames(video, [seed, 30])
        wanted = augmented(frames, views, np.random.default_rng(seed))
        assert np.array_equal(transforms.train_clip(frames, views, np.random.default_rng(seed)), wanted)


@pytest.mark.parametrize("crops", [1, 3])
@pytest.mark.parametrize("clips", [1, 3, 12])
def test_views_are_crops_of_their_clips(video: bytes, clips: int, crops: int) -> None:
    """12 clips of 40 frames overlap: most frames are shown several times."""
    views = FeatureViews(clips=clips, crops=crops, frames=4, stride=4, size=40)
    wanted = []
    for indices in sample.test_indices(N, clips, 4, 4):
        frames = decode_frames(video, indices)
        for share in (0.5,) if crops == 1 else (0.0, 0.5, 1.0):
            box = transforms._along_long_side(frames[0], share)
            wanted.append(recoloured(plain(frames, box, 40), transforms._to_rgb()))
    out = np.full((clips * crops, 4, 40, 40, 3), 7, np.uint8)
    assert np.array_equal(all_views(video, N, views), np.stack(wanted))
    assert np.shares_memory(all_views(video, N, views, out=out), out)
    assert np.array_equal(out, np.stack(wanted))


@pytest.mark.parametrize("rho", [1, 2, 3])
def test_rho_clips_are_written_where_asked(video: bytes, rho: int) -> None:
    views = Views(size=24, frames=4)
    out = np.zeros((max(rho, 2), 4, 24, 24, 3), np.uint8)
    rho_views(video, N, views, rho, np.random.default_rng(3), out=out)
    assert np.array_equal(out, rho_views(video, N, views, rho, np.random.default_rng(3)))


def test_a_place_that_is_not_in_one_piece_is_refused(video: bytes) -> None:
    """A copy of it would be written."""
    apart = np.zeros((2, 32, 64, 3), np.uint8)[:, :, ::2]
    with pytest.raises(AssertionError):
        transforms.train_clip(decode_frames(video, [0, 1]), Views(size=32), np.random.default_rng(0), out=apart)
