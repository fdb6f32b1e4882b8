from __future__ import annotations

import os
import pickle
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpd.config import Clips
from cpd.video.probe import VideoError, open_media, probe
from tests.video.counter_video import counter_frame, write_counter, write_video

CLIPS = Clips()


def status_of(path: Path, clips: Clips = CLIPS) -> str:
    with pytest.raises(VideoError) as caught:
        probe(path, clips)
    return caught.value.status


def test_reads_the_header(tmp_path: Path) -> None:
    found = probe(write_counter(tmp_path / "a.mp4", 50, width=128), CLIPS)
    assert (found.width, found.height, found.fps, found.frames, found.codec) == (128, 96, Fraction(25), 50, "h264")
    assert found.seconds == pytest.approx(2.0)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mov"])
def test_reads_other_containers_whatever_they_are_called(tmp_path: Path, suffix: str) -> None:
    path = write_counter(tmp_path / f"a.{suffix}", 25, codec="mpeg4")
    assert probe(path.rename(tmp_path / "a.mp4"), CLIPS).codec == "mpeg4"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", "corrupt"),
        (b"<!DOCTYPE html><html>Video unavailable</html>", "not_video"),
        (b"\x00" * 4096, "not_video"),
        (bytes(np.random.default_rng(0).integers(0, 256, 4096, dtype=np.uint8)), "not_video"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200), "not_video"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(500), "corrupt"),
        (b"RIFF\x00\x00\x00\x00AVI " + bytes(500), "corrupt"),
    ],
)
def test_refuses_what_is_no_video(tmp_path: Path, content: bytes, status: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert status_of(path) == status


def test_missing_file(tmp_path: Path) -> None:
    assert status_of(tmp_path / "absent.mp4") == "gone"


def test_audio_only(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert status_of(path) == "not_video"


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    """Fault 47: ffmpeg follows such a text when it is asked to open it as it likes."""
    write_counter(tmp_path / "secret.mp4", 5)
    path = tmp_path / "a.mp4"
    path.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    assert status_of(path) == "not_video"
    with pytest.raises(VideoError):
        open_media(path.read_bytes())


def test_a_name_is_never_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_counter(tmp_path / "a.mp4", 5)
    for name in ("http:x.mp4", "concat:a.mp4|a.mp4", "-i.mp4", "a %d'$(id).mp4"):
        os.link("a.mp4", name)
        assert probe(Path(name), CLIPS).frames == 5


def test_limits(tmp_path: Path) -> None:
    path = write_counter(tmp_path / "a.mp4", 50)
    assert status_of(path, Clips(max_source_pixels=96 * 95)) == "too_large"
    assert status_of(path, Clips(max_source_seconds=1.0)) == "too_long"
    assert probe(path, Clips(max_source_pixels=96 * 96, max_source_seconds=2.0)).frames == 50


@pytest.mark.parametrize(
    "setting",
    [
        {"short_side": 8},
        {"max_seconds": 0.0},
        {"max_seconds": float("nan")},
        {"crf": 52},
        {"gop": 0},
        {"min_frames": 0},
        {"timeout": 0.0},
        {"max_source_pixels": 0},
        {"max_source_frames": 0},
        {"max_source_bytes": -1},
    ],
    ids=str,
)
def test_settings_that_make_no_clip_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        Clips(**setting)  # type: ignore[arg-type]


def test_a_ribbon_is_too_large(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [np.zeros((16, 1024, 3), np.uint8)])
    assert status_of(path) == "too_large"


@pytest.mark.slow
def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    """Fault 44: 8192 x 8192 pixels in a few kilobytes."""
    path = write_video(tmp_path / "a.mp4", [np.zeros((8192, 8192, 3), np.uint8)], preset="ultrafast")
    code = (
        "import re, sys; from cpd.config import Clips; from cpd.video.probe import VideoError, probe\n"
        "try: probe(sys.argv[1], Clips())\n"
        "except VideoError as caught: error, status = caught, open('/proc/self/status').read()\n"
        "print(error.status, re.search(r'VmHWM:\\s+(\\d+)', status)[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    status, kilobytes = done.stdout.split()
    assert status == "too_large"
    assert int(kilobytes) < 300_000


def test_the_error_survives_a_worker() -> None:
    error = pickle.loads(pickle.dumps(VideoError("corrupt", "because")))
    assert (error.status, error.reason, str(error)) == ("corrupt", "because", "corrupt: because")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20))
def test_damage_gives_a_probe_or_a_status(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[float, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    data = bytearray(write_video(folder / "a.mp4", [counter_frame(3)]).read_bytes())
    for place, mask in flips:
        data[int(place * len(data))] ^= mask
    (folder / "b.mp4").write_bytes(data)
    try:
        status = f"{probe(folder / 'b.mp4', CLIPS).width > 0}"
    except VideoError as error:
        status = error.status
    assert status in ("True", "corrupt", "not_video", "too_large", "too_long")
