"""The short way to a clip's pictures gives what the demuxer gives, or steps aside."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cpd.config import Clips
from cpd.video import decode, mp4
from cpd.video.cut import cut
from cpd.video.mp4 import Track, read_track
from tests.video.counter_video import full_decode, read_counter, write_counter, write_video


def moving(n: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    field = np.kron(np.random.default_rng(seed).integers(0, 256, (12, 16, 3)), np.ones((8, 8, 1)))
    return [np.roll(field, (k, 2 * k), (0, 1))[:64, :96].astype(np.uint8) for k in range(n)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("mp4")
    colours = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}
    source = write_video(folder / "a.mp4", moving(70), **colours)  # type: ignore[arg-type]
    cut(source, folder / "b.mp4", start=0, end=None, clips=Clips(short_side=64))
    return (folder / "b.mp4").read_bytes()


def demuxed(video: bytes) -> list[tuple[int, int, int]]:
    """(pts, size, position) of every packet, by the demuxer."""
    with av.open(io.BytesIO(video)) as container:
        return [(p.pts or 0, p.size, p.pos or 0) for p in container.demux(video=0) if p.size]


def test_tables_are_the_demuxers(stored: bytes) -> None:
    track = read_track(stored)
    assert track
    packets = demuxed(stored)
    first = min(int(pts) for pts in track.pts_N) - min(pts for pts, _, _ in packets)
    ours = zip((track.pts_N - first).tolist(), track.size_N.tolist(), track.offset_N.tolist(), strict=True)
    assert list(ours) == packets
    assert track.sync.tolist() == [0, 48]


def test_frames_carry_the_same_colours(tmp_path: Path) -> None:
    """Colour conversion depends on what a frame says of itself."""
    for number, options in enumerate(
        ({}, {"pix_fmt": "yuvj420p"}, {"colorspace": "bt709", "color_range": "tv"}, {"pix_fmt": "yuv420p10le"})
    ):
        source = write_video(tmp_path / "a.mp4", moving(40, number), **options)  # type: ignore[arg-type]
        cut(source, tmp_path / "b.mp4", start=0, end=None, clips=Clips(short_side=64))
        for video in (source.read_bytes(), (tmp_path / "b.mp4").read_bytes()):
            short: dict[int, av.VideoFrame] = {}
            long: dict[int, av.VideoFrame] = {}
            if not decode._direct(video, {0, 9, 39}, short.__setitem__):
                continue
            assert decode._selective(video, {0, 9, 39}, long.__setitem__)
            for index, frame in long.items():
                twin = short[index]
                assert np.array_equal(twin.to_ndarray(), frame.to_ndarray())
                assert (twin.format.name, twin.color_range, twin.colorspace, twin.color_primaries, twin.color_trc) == (
                    frame.format.name,
                    frame.color_range,
                    frame.colorspace,
                    frame.color_primaries,
                    frame.color_trc,
                )
        own = (tmp_path / "b.mp4").read_bytes()
        assert decode._direct(own, {0}, lambda index, frame: None), "our own clips go the short way"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.sets(st.integers(0, 69), min_size=1, max_size=8))
def test_exact(stored: bytes, wanted: set[int]) -> None:
    full = full_decode(stored)
    frames: dict[int, av.VideoFrame] = {}
    assert decode._direct(stored, wanted, frames.__setitem__)
    assert frames.keys() == wanted
    for index, frame in frames.items():
        assert np.array_equal(frame.to_ndarray(), full[index])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("moov_behind.mov", {}),
        ("pyramid.mp4", {"x264-params": "b-pyramid=normal:open-gop=1:keyint=20"}),
        ("fragments.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("hevc.mp4", {"codec": "libx265", "x265-params": "log-level=none"}),
        ("intra.mp4", {"g": "1"}),
    ],
)
def test_other_files_are_exact_or_left_to_the_demuxer(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    video = write_counter(tmp_path / name, 50, **options).read_bytes()
    full = full_decode(video)
    for start in range(0, 20, 3):
        wanted = list(range(start, start + 29, 4))
        frames = decode.decode_frames(video, wanted)
        assert all(np.array_equal(f.to_ndarray(), full[k]) for k, f in zip(wanted, frames, strict=True))
        assert [read_counter(f.to_ndarray(format="rgb24")) for f in frames] == wanted


def patched(video: bytes, kind: bytes, change: Callable[[bytearray, int], None]) -> bytes:
    """`video` with `change(data, start of the content of its box `kind`)`."""
    data = bytearray(video)
    change(data, data.rindex(kind) + 4)
    return bytes(data)


def put(form: str, at: int, *values: int) -> Callable[[bytearray, int], None]:
    return lambda data, start: struct.pack_into(form, data, start + at, *values)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (b"elst", put(">I", 8, 100)),  # an edit that ends early: pictures are not shown
        (b"elst", put(">i", 12, 5000)),  # one that begins late
        (b"elst", put(">i", 16, 2 << 16)),  # twice as fast
        (b"stsz", put(">I", 8, 69)),  # a size too few
        (b"stsz", put(">I", 12, 0)),  # a picture of nothing
        (b"stco", put(">I", 8, 1 << 30)),  # behind the end of the file
        (b"stts", put(">I", 8, 68)),
        (b"stts", put(">I", 12, 0)),  # all at one time
        (b"stsc", put(">I", 12, 3)),
        (b"ctts", put(">I", 4, 1 << 31)),
        (b"colr", put(">4s", 0, b"prof")),
        (b"avc1", lambda data, start: data.__setitem__(slice(start - 4, start), b"hvc1")),
    ],
)
def test_a_table_that_says_otherwise_is_not_used(
    stored: bytes, kind: bytes, change: Callable[[bytearray, int], None]
) -> None:
    assert isinstance(read_track(stored), Track)
    assert read_track(patched(stored, kind, change)) is None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 255)), min_size=1, max_size=6))
def test_damaged_tables_never_read_outside(stored: bytes, flips: list[tuple[int, int]]) -> None:
    """The tables lie at the end of the file; whatever they say, ranges stay inside."""
    data = bytearray(stored)
    for back, mask in flips:
        data[-1 - back] ^= mask
    track = read_track(bytes(data))
    if track is not None:
        assert (track.offset_N >= 0).all()
        assert (track.offset_N + track.size_N <= len(data)).all()
        assert len(track.offset_N) == len(track.size_N) == len(track.pts_N)


@settings(max_examples=100, deadline=None)
@given(chunks=st.lists(st.tuples(st.integers(0, 1 << 31), st.lists(st.integers(1, 999), min_size=1)), min_size=1))
def test_chunks_of_any_size(chunks: list[tuple[int, list[int]]]) -> None:
    """Offsets as a loop over chunks finds them."""
    runs = [(number, len(sizes), 1) for number, (_, sizes) in enumerate(chunks, start=1)]
    runs = [run for number, run in enumerate(runs) if not number or run[1] != runs[number - 1][1]]
    stsc = struct.pack(f">II{3 * len(runs)}I", 0, len(runs), *(value for run in runs for value in run))
    stco = struct.pack(f">II{len(chunks)}I", 0, len(chunks), *(offset for offset, _ in chunks))
    wanted = [offset + sum(sizes[:k]) for offset, sizes in chunks for k in range(len(sizes))]
    size_N = np.array([size for _, sizes in chunks for size in sizes], np.int64)
    found = mp4._offsets({b"stsc": memoryview(stsc), b"stco": memoryview(stco)}, size_N)
    assert found.tolist() == wanted


def test_tables_that_clips_share_cannot_be_written(stored: bytes) -> None:
    one, other = read_track(stored), read_track(bytes(bytearray(stored)))
    assert one
    assert other
    assert one.order_N is other.order_N, "read once for all clips of one length"
    assert one.order_N.tolist() == sorted(range(70), key=one.pts_N.tolist().__getitem__)
    for shared in (one.pts_N, one.order_N, one.sync):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 1
