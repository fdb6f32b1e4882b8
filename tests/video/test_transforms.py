from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cpd.config import Views
from cpd.video import transforms
from cpd.video.decode import decode_frames
from tests.video.counter_video import write_video
from tests.whole_crops import centre_clip, three_crops

PLAIN = Views(size=64, scales=(1.0,), flip=False, jitter=0.0)


def scene(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A smooth picture with every colour, unlike itself mirrored."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * x / width, 255 * y / height, 255 * (x + y) / (height + width)], axis=-1).astype(np.uint8)


def frames_of(folder: Path, n: int = 3, *, pix_fmt: str = "yuv420p", still: bool = True) -> list[av.VideoFrame]:
    pictures = [scene() if still else np.roll(scene(), 9 * k, 1) for k in range(n)]
    video = write_video(folder / "a.mp4", pictures, pix_fmt=pix_fmt, crf="1").read_bytes()
    return decode_frames(video, range(n))


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuvj420p", "yuv420p10le"])
def test_colours_are_those_of_swscale(tmp_path: Path, pix_fmt: str) -> None:
    frames = frames_of(tmp_path, pix_fmt=pix_fmt)
    clip_THWC = centre_clip(frames, 96)
    assert clip_THWC.shape == (3, 96, 96, 3)
    assert clip_THWC.dtype == np.uint8
    wanted = frames[0].to_ndarray(format="rgb24")[:, 16:112]
    assert difference(clip_THWC[0], wanted) < 2.5


def test_a_plain_training_clip_is_the_picture(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    clip_THWC = transforms.train_clip(frames, PLAIN, np.random.default_rng(5))
    wanted = [three_crops(frames, 64)[k] for k in range(3)]
    assert min(difference(clip_THWC, crop) for crop in wanted) == 0


def test_three_crops_lie_along_the_long_side(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    crops = three_crops(frames, 96)
    assert crops.shape == (3, 3, 96, 96, 3)
    picture = frames[0].to_ndarray(format="rgb24")
    for crop, left in zip(crops, (0, 16, 32), strict=True):
        assert difference(crop[0], picture[:, left : left + 96]) < 2.5
    assert np.array_equal(crops[1], centre_clip(frames, 96))


def test_resizing_twin(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    for size in (32, 64, 150):
        picture = frames[0].to_ndarray(format="rgb24")[:, 16:112]
        wanted = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if size < 48 else cv2.INTER_LINEAR)
        assert difference(centre_clip(frames, size)[0], wanted) < 3


def test_flip_is_a_mirror_and_can_be_off(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    views = Views(size=64, scales=(1.0,), flip=True, jitter=0.0)
    crops = three_crops(frames, 64)
    mirrored = 0
    for seed in range(20):
        clip = transforms.train_clip(frames, views, np.random.default_rng(seed))
        straight = any(np.array_equal(clip, crop) for crop in crops)
        turned = any(np.array_equal(clip, crop[:, :, ::-1]) for crop in crops)
        assert straight != turned
        mirrored += turned
    assert 4 <= mirrored <= 16


def test_all_frames_get_the_same(tmp_path: Path) -> None:
    frame = frames_of(tmp_path, 1)[0]
    for seed in range(10):
        clip = transforms.train_clip([frame] * 3, Views(size=48), np.random.default_rng(seed))
        assert np.array_equal(clip[0], clip[1])
        assert np.array_equal(clip[0], clip[2])


def test_crops_reach_every_corner_and_scale(tmp_path: Path) -> None:
    frame = frames_of(tmp_path, 1)[0]
    rng = np.random.default_rng(0)
    boxes = {transforms._random_box(frame, (1.0, 0.875, 0.75, 0.66), rng) for _ in range(500)}
    assert {box.side for box in boxes} == {96, 84, 72, 62}
    for box in boxes:
        assert box.top % 2 == box.left % 2 == 0
        assert box.top + box.side <= 96
        assert box.left + box.side <= 128
    assert len(boxes) == 3 + 3 * 5  # at full scale the corners coincide: left, centre, right


def sequential_jitter(rgb: NDArray[np.float64], factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness, contrast about the mean grey, saturation: one after the other, without clamping between."""
    luma = np.array([0.299, 0.587, 0.114])
    rgb = rgb * factors[0]
    rgb = factors[1] * rgb + (1 - factors[1]) * (rgb @ luma).mean()
    return factors[2] * rgb + (1 - factors[2]) * (rgb @ luma)[..., None]


@pytest.mark.parametrize(
    "factors", [(1.0, 1.0, 1.0), (0.6, 1.0, 1.0), (1.0, 1.4, 1.0), (1.0, 1.0, 0.0), (1.3, 0.7, 1.2)]
)
def test_one_matrix_is_the_sequence(tmp_path: Path, factors: tuple[float, float, float]) -> None:
    frames = frames_of(tmp_path, still=False)
    yuv_TPHW = np.empty((len(frames), 3, 64, 64), np.uint8)
    transforms._crop_resize(frames, transforms._along_long_side(frames[0], 0.5), yuv_TPHW)
    f = np.array(factors)
    got = np.empty((len(frames), 64, 64, 3), np.uint8)
    transforms._recolour(yuv_TPHW, transforms._jitter(f, yuv_TPHW[:, 0].mean()) @ transforms._to_rgb(), got)
    y, u, v = np.moveaxis(yuv_TPHW.astype(float), 1, 0) - np.array([16, 128, 128])[:, None, None, None]
    red, blue = 1.164384 * y + 1.596027 * v, 1.164384 * y + 2.017232 * u
    rgb = np.stack([red, 1.164384 * y - 0.391762 * u - 0.812968 * v, blue], axis=-1)
    wanted = np.clip(sequential_jitter(rgb, f), 0, 255)
    assert np.abs(got - wanted).max() <= 1


def test_jitter_is_drawn_anew_and_repeatable(tmp_path: Path) -> None:
    frames = frames_of(tmp_path)
    views = Views(size=32)
    clips = [transforms.train_clip(frames, views, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(clips[0], clips[1])
    assert not np.array_equal(clips[0], clips[2])


def test_to_model() -> None:
    clip = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    x_BCTHW = transforms.to_model(clip)
    assert x_BCTHW.shape == (2, 3, 3, 4, 5)
    assert x_BCTHW.is_contiguous()
    twin = (clip[1, 2, 3, 4].double() / 255 - torch.tensor(transforms.MEAN)) / torch.tensor(transforms.STD)
    assert torch.allclose(x_BCTHW[1, :, 2, 3, 4].double(), twin, atol=1e-5)
