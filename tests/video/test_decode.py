from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cpd.config import Clips
from cpd.video import decode
from cpd.video.cut import cut
from cpd.video.decode import Verified, count_frames, decode_frames, show_frames
from cpd.video.mp4 import read_track
from cpd.video.probe import VideoError
from tests.video.counter_video import full_decode, write_counter, write_video

SHARED = Path(os.environ.get("CPD_SHARED", Path(__file__).parents[2] / "../shared"))
REAL = [
    "odd_made/counter_h264_30fps_300f.mp4",
    "odd_found/moviepy__video_with_failing_audio.mp4",
    "odd_found/torchcodec__nasa_13013.mp4",
    "odd_made/divx.avi",
]


def moving(n: int, *, height: int = 64, width: int = 96) -> list[NDArray[np.uint8]]:
    """Smooth noise that drifts: motion vectors and residuals everywhere."""
    rng = np.random.default_rng(0)
    field = np.kron(rng.integers(0, 256, (20, 30, 3)), np.ones((8, 8, 1)))
    return [np.roll(field, (k, 2 * k), (0, 1))[:height, :width].astype(np.uint8) for k in range(n)]


def assert_exact(video: bytes | Verified, wanted: list[int], full: list[NDArray[np.uint8]]) -> None:
    for index, frame in zip(wanted, decode_frames(video, wanted), strict=True):
        assert np.array_equal(frame.to_ndarray(), full[index]), index


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A clip of our own encode, 100 frames."""
    folder = tmp_path_factory.mktemp("stored")
    cut(
        write_video(folder / "a.mp4", moving(100)),
        folder / "b.mp4",
        start=0,
        end=None,
        clips=Clips(short_side=64),
    )
    return (folder / "b.mp4").read_bytes()


@pytest.fixture(scope="module")
def stored_full(stored: bytes) -> list[NDArray[np.uint8]]:
    return full_decode(stored)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.integers(0, 99), min_size=1, max_size=12))
def test_exact_in_any_order(stored: bytes, stored_full: list[NDArray[np.uint8]], wanted: list[int]) -> None:
    assert decode._selective(stored, set(wanted), lambda index, frame: None)
    assert_exact(stored, wanted, stored_full)


@pytest.mark.parametrize("phase", [0, 1, 2, 3])
def test_few_packets_are_decoded(stored: bytes, phase: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 frames, stride 4: at phase 0 nothing but references, at others these and the wanted pictures."""
    counts: list[int] = []
    plain = decode._decode_packets

    def counted(context: Any, packets: list[Any]) -> Any:
        counts.append(len(packets))
        return plain(context, packets)

    monkeypatch.setattr(decode, "_decode_packets", counted)
    worst = 0
    for start in range(phase, 70, 4):
        decode_frames(stored, range(start, start + 29, 4))
        worst = max(worst, counts[-1])
    assert worst <= (20 if phase == 0 else 30)  # up to 11 references of the group come before the clip


def twins(folder: Path, n: int = 2) -> list[bytes]:
    """Clips of other pictures and the very same header, so that one decoder serves them all."""
    videos = []
    for number in range(n):
        pictures = [np.roll(picture, 17 * number, 1) for picture in moving(100)[:: 1 - 2 * (number % 2)]]
        cut(write_video(folder / "a.mp4", pictures), folder / "b.mp4", start=0, end=None, clips=Clips(short_side=64))
        videos.append((folder / "b.mp4").read_bytes())
    headers = {track.header for video in videos if (track := read_track(video))}
    assert len(headers) == 1
    return videos


def test_a_decoder_that_is_used_again_remembers_nothing(tmp_path: Path) -> None:
    videos = twins(tmp_path)
    full = [full_decode(video) for video in videos]
    rng = np.random.default_rng(0)
    for _ in range(60):
        which, start = int(rng.integers(2)), int(rng.integers(70))
        assert_exact(Verified(videos[which]), list(range(start, start + 29, 4)), full[which])
    assert decode.SPARE._kept


def test_a_damaged_clip_shares_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flipped bytes can say `parameter set`, and a decoder believes them for good."""
    monkeypatch.setattr(decode, "SPARE", decode.Decoders())
    good, other = twins(tmp_path)
    full = full_decode(good)
    rng = np.random.default_rng(0)
    for _ in range(40):
        torn = bytearray(other)
        for place in rng.integers(48, len(other) // 2, 200):
            torn[place] ^= 255
        outcome(lambda torn=torn: decode_frames(bytes(torn), [0, 4, 8, 40]))  # type: ignore[misc]
        assert not decode.SPARE._kept
    assert_exact(Verified(good), [1, 5, 9, 60], full)
    assert len(decode.SPARE._kept) == 1


def test_threads_do_not_meet_in_a_decoder(tmp_path: Path) -> None:
    videos = twins(tmp_path)
    full = [full_decode(video) for video in videos]

    def look(number: int) -> None:
        which, start = number % 2, number * 3 % 70
        assert_exact(Verified(videos[which]), list(range(start, start + 29, 4)), full[which])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(60)))


def test_few_decoders_are_kept(stored: bytes) -> None:
    track = read_track(stored)
    assert track is not None
    decoders = decode.Decoders()
    for number in range(decode.MOST_SPARE + 3):
        decoders.keep(replace(track, header=bytes([number])), object())
    assert len(decoders._kept) == decode.MOST_SPARE
    assert decoders.pop(replace(track, header=bytes([0]))) is None


@pytest.mark.parametrize(
    "options",
    [
        {"g": "12", "bf": "2"},
        {"g": "250", "bf": "3", "x264-params": "b-pyramid=normal:open-gop=1"},
        {"g": "30", "x264-params": "open-gop=1:bframes=5"},
        {"g": "1"},
        {"bf": "0", "refs": "5"},
        {"x264-params": "interlaced=1"},
    ],
)
def test_exact_on_other_h264(tmp_path: Path, options: dict[str, str]) -> None:
    video = write_video(tmp_path / "a.mp4", moving(80), crf="25", **options).read_bytes()
    full = full_decode(video)
    for start in range(0, 50, 7):
        assert_exact(video, list(range(start, start + 29, 4)), full)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libx264"), ("a.avi", "libx264")]
)
def test_exact_on_other_containers(tmp_path: Path, name: str, codec: str) -> None:
    video = write_video(tmp_path / name, moving(40), codec=codec).read_bytes()
    assert_exact(video, [0, 3, 17, 39], full_decode(video))
    assert count_frames(video) == 40


@pytest.mark.parametrize("name", REAL)
def test_exact_on_real_videos(tmp_path: Path, name: str) -> None:
    source = SHARED / "videos" / name
    if not source.exists():
        pytest.skip(f"{source} is not here (set CPD_SHARED)")
    clip = cut(source, tmp_path / "b.mp4", start=0, end=3.0, clips=Clips(short_side=128))
    video = (tmp_path / "b.mp4").read_bytes()
    full = full_decode(video)
    assert len(full) == clip.frames
    for start in range(0, clip.frames - 29, 5):
        for known in (video, Verified(video)):  # by a decoder of its own, and by one used before
            assert_exact(known, list(range(start, start + 29, 4)), full)


def test_counts(stored: bytes) -> None:
    assert count_frames(stored) == 100


@pytest.mark.parametrize("wanted", [[100], [0, 5000], [-1]])
def test_a_frame_that_is_not_there(stored: bytes, wanted: list[int]) -> None:
    with pytest.raises(VideoError) as caught:
        decode_frames(stored, wanted)
    assert caught.value.status == "corrupt"


@pytest.mark.parametrize("sure", [True, False])
def test_frames_are_shown_once(stored: bytes, stored_full: list[NDArray[np.uint8]], sure: bool) -> None:
    shown: list[tuple[int, NDArray[np.uint8]]] = []
    show_frames(Verified(stored) if sure else stored, [7, 3, 99, 3], lambda k, f: shown.append((k, f.to_ndarray())))
    assert sorted(index for index, _ in shown) == [3, 7, 99]
    assert all(np.array_equal(picture, stored_full[index]) for index, picture in shown)


def test_nothing_wanted(stored: bytes) -> None:
    assert decode_frames(stored, []) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20),
    share=st.floats(0.05, 1),
)
def test_damage_gives_frames_or_a_video_error(stored: bytes, flips: list[tuple[float, int]], share: float) -> None:
    data = bytearray(stored[: int(len(stored) * share)])
    for place, mask in flips:
        data[int(place * len(data))] ^= mask
    assert outcome(lambda: len(decode_frames(bytes(data), [0, 4, 8]))) in (3, "corrupt", "not_video")
    assert outcome(lambda: count_frames(bytes(data)) >= 0) in (True, "corrupt", "not_video")


def outcome(attempt: Callable[[], object]) -> object:
    try:
        return attempt()
    except VideoError as error:
        return error.status


def test_the_counter_is_read_back(tmp_path: Path) -> None:
    from tests.video.counter_video import read_counter

    video = write_counter(tmp_path / "a.mp4", 60).read_bytes()
    wanted = [59, 0, 31, 31, 2]
    assert [read_counter(frame.to_ndarray(format="rgb24")) for frame in decode_frames(video, wanted)] == wanted
