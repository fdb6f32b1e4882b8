from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from cpd.sources.demo import backgrounds, classes, encode, render
from cpd.sources.demo.classes import Category, number
from cpd.sources.demo.render import RGB, Scene


def scene(category: Category, seed: int, *, size: tuple[int, int] = (96, 72), shifted: bool = False) -> Scene:
    return Scene(
        motion=category.motion,
        colour=category.colour,
        shape=category.shape,
        width=size[0],
        height=size[1],
        frames=48,
        active=(6, 42),
        seed=number("test", category, seed),
        place_seed=seed,
        shifted=shifted,
    )


def mask(frames_THWC: np.ndarray, colour: str) -> np.ndarray:
    return np.abs(frames_THWC.astype(int) - RGB[colour]).max(-1) < 65


def centroids(mask_THW: np.ndarray) -> np.ndarray:
    return np.array([np.argwhere(m).mean(0) for m in mask_THW])


def judge(frames_THWC: np.ndarray, colour: str) -> str:
    """An eye of its own: tells the motion from the coloured pixels' area and centre, in pixels of the frames alone."""
    mask_THW = mask(frames_THWC, colour)
    area_T = mask_THW.sum((1, 2))
    if np.percentile(area_T, 90) > 2.5 * np.percentile(area_T, 10):
        return "grow"
    (y, x) = np.ptp(centroids(mask_THW), axis=0)
    if max(x, y) < 12:
        return "spin"
    if y > 2 * x:
        return "bounce"
    return "slide" if x > 2 * y else "orbit"


@pytest.mark.parametrize("category", classes.ALL, ids=lambda category: category.hmdb51)
def test_motion_and_colour_can_be_told_from_the_pixels(category: Category) -> None:
    for seed, size in enumerate([(96, 72), (112, 84), (80, 80), (72, 96)]):
        frames = render.render(scene(category, seed, size=size))
        assert frames.shape == (48, size[1], size[0], 3)
        assert frames.dtype == np.uint8
        assert judge(frames[6:42], category.colour) == category.motion
        seen = {colour for colour in RGB if mask(frames[6:42], colour).sum((1, 2)).min() > 20}
        assert seen == {category.colour}


def test_outside_of_the_interval_only_the_background_is_there() -> None:
    for category in classes.ALL:
        area_T = mask(render.render(scene(category, 1)), category.colour).sum((1, 2))
        assert (area_T[6:42] > 20).all()
        assert area_T[:6].max() == area_T[42:].max() == 0


def test_a_spinning_ball_shows_it_by_its_mark() -> None:
    frames = render.render(scene(Category("spin", "blue ball"), 0))[6:42]
    white = (frames.min(-1) > 205) & (np.ptp(frames, axis=-1) < 40)
    offset_T2 = centroids(white) - centroids(mask(frames, "blue"))
    angle_T = np.unwrap(np.arctan2(offset_T2[:, 0], offset_T2[:, 1]))
    assert abs(angle_T[-1] - angle_T[0]) > np.pi


def test_equal_scenes_give_equal_frames_and_seeds_differ() -> None:
    first = scene(classes.ALL[0], 0)
    assert (render.render(first) == render.render(first)).all()
    assert (render.render(first) != render.render(replace(first, seed=first.seed + 1))).any()


def test_a_group_shares_its_background() -> None:
    one = scene(classes.ALL[0], 0)
    other = replace(one, seed=one.seed + 1)
    stranger = replace(one, place_seed=one.place_seed + 1)
    means = [render.render(s)[:6].mean((0, 1, 2)) for s in (one, other, stranger)]
    assert np.abs(means[0] - means[1]).max() < 6
    assert np.abs(means[0] - means[2]).max() > 6


def test_the_shifted_domain_is_noisier_and_warmer() -> None:
    plain = render.render(scene(classes.ALL[0], 0)).astype(int)
    shifted = render.render(scene(classes.ALL[0], 0, shifted=True)).astype(int)
    assert np.diff(shifted[:6], axis=2).std() > np.diff(plain[:6], axis=2).std()
    assert (shifted[..., 0] - shifted[..., 2]).mean() > (plain[..., 0] - plain[..., 2]).mean() + 10


@pytest.mark.parametrize("kind", sorted({*backgrounds.KINDS, *backgrounds.SHIFTED_KINDS}))
def test_backgrounds_are_dull(kind: str) -> None:
    image = backgrounds.background(kind, 80, 100, np.random.default_rng(0))
    assert image.shape == (80, 100, 3)
    assert np.ptp(image.astype(int), axis=-1).max() < 70


def test_unknown_background_is_an_error() -> None:
    with pytest.raises(ValueError, match="no background 'sky'"):
        backgrounds.background("sky", 8, 8, np.random.default_rng(0))


def decoded(path: Path) -> tuple[np.ndarray, str, float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
        return frames, stream.codec_context.name, float(stream.average_rate)


def test_encoded_files_hold_the_frames_and_are_equal_twice(tmp_path: Path) -> None:
    frames = render.render(scene(classes.ALL[3], 0))
    for name, codec, write in (("a.mp4", "h264", encode.write_mp4), ("a.avi", "mpeg4", encode.write_avi)):
        write(tmp_path / name, frames)
        write(tmp_path / f"again-{name}", frames)
        assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()
        back, found, rate = decoded(tmp_path / name)
        assert (back.shape, found, rate) == (frames.shape, codec, 12.0)
        assert np.abs(back.astype(int) - frames).mean() < 8


def test_mp4_has_its_index_in_front(tmp_path: Path) -> None:
    encode.write_mp4(tmp_path / "a.mp4", render.render(scene(classes.ALL[3], 0)))
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_a_broken_download_cannot_be_opened(tmp_path: Path) -> None:
    frames = render.render(scene(classes.ALL[3], 0))
    encode.write_mp4(tmp_path / "cut.mp4", frames, share=0.6)
    with pytest.raises(av.error.InvalidDataError):
        decoded(tmp_path / "cut.mp4")
