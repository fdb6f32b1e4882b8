"""The persistency study's augmentation (PAPER section 5) against slow twins: Pillow and numpy, a step at a time."""

from __future__ import annotations

import av
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cpd.config import Views
from cpd.video import transforms
from cpd.video.decode import decode_frames
from tests.video.counter_video import soft_scene, write_video

PLAIN = Views(size=48, scales=(1.0,), flip=False, jitter=0.0)
STUDY = Views(
    size=48, short_side=(56, 72), jitter=0.2, hue=0.1, jitter_p=0.8, gray_p=0.2, blur_p=0.5, blur_sigma=(0.5, 2.0)
)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> list[av.VideoFrame]:
    path = tmp_path_factory.mktemp("study") / "a.mp4"
    return decode_frames(write_video(path, [soft_scene()] * 3, crf="1").read_bytes(), range(3))


def views(**over: object) -> Views:
    return msgspec.structs.replace(PLAIN, **over)


def clip(frames: list[av.VideoFrame], settings: Views, seed: int = 0) -> NDArray[np.float64]:
    return transforms.train_clip(frames, settings, np.random.default_rng(seed)).astype(float)


def changed(frames: list[av.VideoFrame], settings: Views) -> float:
    """Share of 300 clips that are not the plain crop (of the same draws)."""
    seeds = range(300)
    return float(np.mean([(clip(frames[:1], settings, s) != clip(frames[:1], PLAIN, s)).any() for s in seeds]))


def test_the_crop_is_of_pixels_anywhere_in_the_scaled_picture(frames: list[av.VideoFrame]) -> None:
    rng, boxes = np.random.default_rng(0), []
    settings = views(short_side=(56, 72))
    for _ in range(600):
        boxes.append(transforms._anywhere(frames[0], settings, rng))
    sides = [box.side for box in boxes]
    assert 96 * 48 // 72 <= min(sides) <= 66  # a larger picture shows less
    assert 80 <= max(sides) <= 96 * 48 // 56
    assert np.mean(sides) == pytest.approx(96 * 48 * np.log(72 / 56) / 16, rel=0.02)  # the scaled short side is uniform
    assert all(box.top % 2 == box.left % 2 == box.side % 2 == 0 for box in boxes)
    assert all(box.top + box.side <= 96 and box.left + box.side <= 128 for box in boxes)
    assert len({box.left for box in boxes}) > 20, "not only corners"


def test_a_fixed_short_side_is_a_resize_and_a_crop(frames: list[av.VideoFrame]) -> None:
    """As the study does it: scale the picture so that the short side is 72, then cut 48 pixels out of it."""
    settings = views(short_side=(72, 72))
    for seed in range(5):
        box = transforms._anywhere(frames[0], settings, np.random.default_rng(seed))
        image = frames[0].to_image().resize((96, 72), Image.Resampling.BILINEAR)
        left, top = (round(edge * 72 / 96) for edge in (box.left, box.top))
        wanted = np.asarray(image.crop((left, top, left + 48, top + 48)), float)
        assert np.abs(clip(frames, settings, seed)[0] - wanted).mean() < 3.5


def test_gray_is_luma_and_blur_is_gaussian(frames: list[av.VideoFrame]) -> None:
    plain = clip(frames, PLAIN)
    gray = clip(frames, views(gray_p=1.0))
    luma = plain @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray - luma[..., None]).max() <= 1.5
    blurred = clip(frames, views(blur_p=1.0, blur_sigma=(1.5, 1.5)))
    image = Image.fromarray(plain[0].astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    assert np.abs(blurred[0] - np.asarray(image, float))[6:-6, 6:-6].mean() < 1.0


def test_hue_turns_chroma_and_leaves_luma(frames: list[av.VideoFrame]) -> None:
    """Written out in full-range Y'CbCr (ITU-R BT.601)."""
    plain = clip(frames, PLAIN)
    got = np.empty(plain.shape, np.uint8)
    transforms._recolour(np.moveaxis(plain, -1, 1).astype(np.uint8), transforms._turn(0.15), got)
    y = plain @ np.array([0.299, 0.587, 0.114])
    cb, cr = 0.5 * (plain[..., 2] - y) / (1 - 0.114), 0.5 * (plain[..., 0] - y) / (1 - 0.299)
    angle = 2 * np.pi * 0.15
    turned_cb, turned_cr = np.cos(angle) * cb - np.sin(angle) * cr, np.sin(angle) * cb + np.cos(angle) * cr
    red, blue = y + 2 * (1 - 0.299) * turned_cr, y + 2 * (1 - 0.114) * turned_cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    assert np.abs(got - np.stack([red, green, blue], axis=-1)).max() <= 1.5
    luma = np.asarray(got, float) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - y).max() <= 1.5


def test_shares_are_those_of_the_config(frames: list[av.VideoFrame]) -> None:
    assert changed(frames, PLAIN) == 0
    assert changed(frames, views(gray_p=0.2)) == pytest.approx(0.2, abs=0.07)
    assert changed(frames, views(jitter=0.2, jitter_p=0.8)) == pytest.approx(0.8, abs=0.07)
    assert changed(frames, views(hue=0.2, jitter_p=0.8)) == pytest.approx(0.8, abs=0.07)
    assert changed(frames, views(blur_p=0.5, blur_sigma=(2.0, 2.0))) == pytest.approx(0.5, abs=0.09)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_all_frames_of_a_clip_get_the_same(frames: list[av.VideoFrame], seed: int) -> None:
    got = transforms.train_clip([frames[0]] * 3, STUDY, np.random.default_rng(seed))
    assert got.shape == (3, 48, 48, 3)
    assert got.dtype == np.uint8
    assert np.array_equal(got[0], got[1])
    assert np.array_equal(got[0], got[2])


def test_what_the_config_leaves_out_draws_nothing(frames: list[av.VideoFrame]) -> None:
    """Runs of the paper's augmentation stay what they were, bit for bit."""
    paper = Views(size=48)
    rng, twin = np.random.default_rng(3), np.random.default_rng(3)
    transforms.train_clip(frames, paper, rng)
    twin.choice(paper.scales)
    twin.integers(5)
    twin.random()
    twin.uniform(0, 1, 3)
    assert rng.random() == twin.random()


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"short_side": [100, 320]}, "short_side must be a range from `size` or more"),
        ({"gray_p": 1.2}, "gray_p must be in"),
        ({"hue": 0.7}, "hue must be in"),
        ({"blur_sigma": [2.0, 1.0]}, "blur_sigma must be a range"),
    ],
)
def test_bad_settings_are_named(over: dict, told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        msgspec.convert(over, Views)
