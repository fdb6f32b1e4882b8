"""Media made to do harm or to mislead: each ends as a clip of fixed shape, or as a status with a reason."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cpd.config import Clips
from cpd.video.cut import Clip, cut
from cpd.video.probe import VideoError, open_media
from tests.video.counter_video import counter_frame, full_rgb, read_counter, write_counter, write_video

CLIPS = Clips(short_side=64, timeout=60)
STATUSES = {"corrupt", "not_video", "too_large", "too_long", "too_short", "bad_interval"}


def outcome(source: Path, clips: Clips = CLIPS, *, start: float = 0.0, end: float | None = None) -> str | int:
    """Frames of the clip, every one of them decoded again; or the status. Nothing but the clip is left behind."""
    target = source.parent / "clips" / "out.mp4"
    target.unlink(missing_ok=True)
    try:
        clip = cut(source, target, start=start, end=end, clips=clips)
    except VideoError as error:
        refused = error
    else:
        return whole_frames(target, clip)
    assert refused.status in STATUSES
    assert refused.reason
    assert list(target.parent.glob("*") if target.parent.exists() else []) == []
    return refused.status


def whole_frames(target: Path, clip: Clip) -> int:
    assert list(target.parent.iterdir()) == [target]
    shapes = [frame.shape for frame in full_rgb(target)]
    assert len(shapes) == clip.frames > 0
    assert set(shapes) == {(clip.height, clip.width, 3)}
    return clip.frames


def noise(n: int, size: int = 64) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8))


def test_a_picture_named_mp4(tmp_path: Path) -> None:
    """Fault 41."""
    for suffix in (".jpg", ".png"):
        path = tmp_path / f"picture{suffix}.mp4"
        path.write_bytes(cv2.imencode(suffix, counter_frame(3))[1].tobytes())
        assert outcome(path) == "not_video"


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    """Fault 41: music with a cover has a picture stream."""
    plain, path = write_counter(tmp_path / "b.mp4", 1, codec="mjpeg", pix_fmt="yuvj420p"), tmp_path / "a.mp4"
    with av.open(str(plain)) as given, av.open(str(path), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        stream.disposition = av.stream.Disposition.attached_pic
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    assert outcome(path) == "not_video"


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_fast_start_file_cut_at_every_tenth(tmp_path: Path, tenth: int) -> None:
    """Fault 42: decoders say nothing about what is missing."""
    data = write_video(tmp_path / "a.mp4", noise(40)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    (tmp_path / "b.mp4").write_bytes(data[: len(data) * tenth // 10])
    assert outcome(tmp_path / "b.mp4") == "corrupt"
    assert outcome(tmp_path / "a.mp4") == 40


def flipped(data: bytes, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 20)):
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 200), marks=pytest.mark.slow)], ids=str)
def test_flipped_bytes_give_a_clip_or_a_status(tmp_path: Path, seeds: range) -> None:
    """Fault 43."""
    frames = [np.roll(counter_frame(k), 3 * k, 1) for k in range(30)]
    data = write_video(tmp_path / "a.mp4", frames).read_bytes()
    seen = set()
    for seed in seeds:
        (tmp_path / "b.mp4").write_bytes(flipped(data, seed))
        seen.add(outcome(tmp_path / "b.mp4"))
    assert "corrupt" in seen


def test_a_small_picture_that_grows_is_refused(tmp_path: Path) -> None:
    """Fault 44: the header's size says nothing about the pictures behind it."""
    parts = [write_counter(tmp_path / f"{size}.ts", 10, width=size, height=size) for size in (64, 1024)]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert outcome(path, Clips(short_side=64, max_source_pixels=512 * 512)) == "corrupt"


def test_three_frames_that_claim_days(tmp_path: Path) -> None:
    """Fault 45."""
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number, second in enumerate((0, 1, 500_000)):
            frame = av.VideoFrame.from_ndarray(counter_frame(number, width=64, height=64), format="rgb24")
            frame.pts = second * 25
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert outcome(path) == "too_long"
    # Even where it is let through, the clip is bounded.
    patient = Clips(short_side=64, max_source_seconds=1e9, max_seconds=2.0, timeout=20)
    assert outcome(path, patient) == 2 * 25 + 1


def test_a_million_frames_a_second(tmp_path: Path) -> None:
    """Fault 45: the clip has at most 120 frames a second, whatever the header says."""
    path = write_counter(tmp_path / "a.mkv", 10, fps=1_000_000)
    assert outcome(path) in ("corrupt", *range(1, 1201))


def test_more_frames_or_bytes_than_allowed(tmp_path: Path) -> None:
    path = write_counter(tmp_path / "a.mp4", 20)
    assert outcome(path, Clips(short_side=64, max_source_frames=19)) == "too_long"
    assert outcome(path, Clips(short_side=64, max_source_bytes=path.stat().st_size - 1)) == "too_large"
    exact = Clips(short_side=64, max_source_frames=20, max_source_bytes=path.stat().st_size)
    assert outcome(path, exact) == 20


def test_no_duration_no_count_no_timestamps(tmp_path: Path) -> None:
    """Faults 45 and 46: a live recording's header, and a stream without times."""
    buffer = io.BytesIO()
    buffer.seekable = lambda: False  # type: ignore[method-assign]
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for k in range(30):
            picture = counter_frame(k, width=64, height=64)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    live = tmp_path / "live.mkv"
    live.write_bytes(buffer.getvalue())
    with open_media(live) as container:
        assert container.duration is None
    assert outcome(live) in (29, 30, 31)
    assert outcome(live, start=0.4, end=0.8) in (10, 11)
    assert outcome(live, start=50.0) == "bad_interval"
    avi = write_counter(tmp_path / "a.avi", 30, bf="2")  # H.264 with B frames in AVI: packets carry no pts
    assert outcome(avi) in (29, 30, 31)


@pytest.mark.parametrize("sizes", [((64, 64), (128, 64)), ((128, 96), (96, 128)), ((33, 35), (64, 64))])
def test_a_size_that_changes(tmp_path: Path, sizes: tuple[tuple[int, int], ...]) -> None:
    """Fault 46: one shape, or none."""
    names = [tmp_path / f"{k}.ts" for k in range(2)]
    parts = [
        write_counter(name, 15, width=w, height=h, pix_fmt="yuv444p") for name, (w, h) in zip(names, sizes, strict=True)
    ]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert outcome(path) in ("corrupt", *range(14, 32))


@pytest.mark.parametrize(("width", "height"), [(97, 65), (65, 97), (101, 64), (17, 17)])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    """Fault 46."""
    path = write_counter(tmp_path / "a.mp4", 10, width=width, height=height, pix_fmt="yuv444p")
    assert outcome(path) == 10


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx265", {"x265-params": "log-level=none"}),
        ("a.mkv", "libsvtav1", {"preset": "12", "crf": "20"}),
        ("a.webm", "libvpx-vp9", {"deadline": "realtime"}),
        ("a.avi", "mjpeg", {"pix_fmt": "yuvj420p"}),
        ("a.avi", "mpeg4", {"bf": "2"}),
        ("a.mov", "prores", {"pix_fmt": "yuv422p10le"}),
    ],
)
def test_codecs(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    """Every frame of what is uploaded these days, in its order."""
    path = write_counter(tmp_path / name, 20, codec=codec, **options)
    assert outcome(path) == 20
    shown = [read_counter(frame) for frame in full_rgb(tmp_path / "clips/out.mp4")]
    assert shown == list(range(20))


def test_variable_frame_rate_keeps_time(tmp_path: Path) -> None:
    """Fault 46: frame k of the clip is what was on the screen at k / fps."""
    times = [k * 40 for k in range(30)] + [1200 + k * 120 for k in range(20)]  # 25, then 8.3 frames a second
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, ms in enumerate(times):
            frame = av.VideoFrame.from_ndarray(counter_frame(number), format="rgb24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = cut(path, tmp_path / "b.mp4", start=0, end=None, clips=CLIPS)
    shown = [read_counter(frame) for frame in full_rgb(tmp_path / "b.mp4")]
    half = 0.5 / clip.fps
    for k, number in enumerate(shown):
        assert times[number] / 1000 <= k / clip.fps + half + 1e-6
        assert number == 49 or times[number + 1] / 1000 > k / clip.fps - half
    assert shown[0] == 0
    assert shown[-1] >= 48


def test_an_interval_at_the_very_end(tmp_path: Path) -> None:
    """Fault 48: ffmpeg ends well with an empty file."""
    path = write_counter(tmp_path / "a.mp4", 50)
    assert outcome(path, start=1.999) == "bad_interval"
    assert outcome(path, start=1.96) in (1, "bad_interval")
    assert outcome(path, start=1.9) in (2, 3)


def test_a_process_killed_while_it_encodes(tmp_path: Path) -> None:
    """Fault 51: what is half-written never has the clip's name, and the next run does it again."""
    source = write_counter(tmp_path / "a.mp4", 10)
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        '#!/bin/sh\nfor last; do :; done; for x; do [ "$x" = "-y" ] || out="$x"; done\n'
        f'printf "%048d" 0 > "${{out#file:}}"; echo $$ > "{tmp_path}/pid"; exec sleep 600\n'
    )
    fake.chmod(0o755)
    code = (
        "import sys; from cpd.config import Clips; from cpd.video.cut import Clip, cut\n"
        "cut(sys.argv[1], sys.argv[2], start=0, end=None, clips=Clips(short_side=64))"
    )
    target = tmp_path / "clips/out.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(source), str(target)], env={"IMAGEIO_FFMPEG_EXE": str(fake)}
    ) as child:
        deadline = time.monotonic() + 60
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    left = [path.name for path in target.parent.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".tmp.")
    assert cut(source, target, start=0, end=None, clips=CLIPS).frames == 10
