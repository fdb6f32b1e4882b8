from __future__ import annotations

import hashlib
import math
import os
import time
from pathlib import Path

import av
import numpy as np
import pytest

from cpd.config import Clips
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.video.cut import MEMORY, cut, ffmpeg_binary
from cpd.video.probe import VideoError
from tests.video.counter_video import counter_frame, full_rgb, read_counter, write_counter, write_video

CLIPS = Clips(short_side=64)
SHARED = Path(os.environ.get("CPD_SHARED", Path(__file__).parents[2] / "../shared"))


def shown(path: Path) -> list[int]:
    return [read_counter(frame) for frame in full_rgb(path)]


def failure(source: Path, target: Path, clips: Clips = CLIPS, **interval: float | None) -> VideoError:
    with pytest.raises(VideoError) as caught:
        cut(source, target, **{"start": 0.0, "end": None, **interval}, clips=clips)  # type: ignore[arg-type]
    assert not list(target.parent.glob(f"*{target.name}")), "something was left behind"
    return caught.value


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))


def test_every_frame_of_the_whole(tmp_path: Path) -> None:
    clip = cut(write_counter(tmp_path / "a.mp4", 60), tmp_path / "b.mp4", start=0, end=None, clips=CLIPS)
    assert (clip.frames, clip.fps, clip.width, clip.height) == (60, 25.0, 64, 64)
    assert shown(tmp_path / "b.mp4") == list(range(60))
    assert clip.sha256 == hashlib.sha256((tmp_path / "b.mp4").read_bytes()).hexdigest()


def test_an_interval_and_its_limit(tmp_path: Path) -> None:
    source = write_counter(tmp_path / "a.mp4", 100)
    cut(source, tmp_path / "b.mp4", start=1.0, end=2.0, clips=CLIPS)
    assert shown(tmp_path / "b.mp4") == list(range(25, 50))
    clips = Clips(short_side=64, max_seconds=0.4)
    assert cut(source, tmp_path / "c.mp4", start=1.0, end=None, clips=clips).frames == 10
    # The list may ask for more than there is.
    assert cut(source, tmp_path / "d.mp4", start=3.0, end=13.0, clips=CLIPS).frames == 25


def test_the_same_bytes_again(tmp_path: Path) -> None:
    source = write_counter(tmp_path / "a.mp4", 30)
    first, second = (cut(source, tmp_path / name, start=0, end=None, clips=CLIPS) for name in ("b.mp4", "c.mp4"))
    assert first == second


@pytest.mark.parametrize(
    ("width", "height", "rotation", "size"),
    [(128, 96, 0, (86, 64)), (96, 128, 0, (64, 86)), (128, 96, 90, (64, 86)), (128, 96, 180, (86, 64))],
)
def test_short_side_and_rotation(tmp_path: Path, width: int, height: int, rotation: int, size: tuple[int, int]) -> None:
    source = write_counter(tmp_path / "a.mov", 8, width=width, height=height, rotation=rotation)
    clip = cut(source, tmp_path / "b.mp4", start=0, end=None, clips=CLIPS)
    assert (clip.width, clip.height) == size


def test_other_codecs_and_pixel_formats(tmp_path: Path) -> None:
    for name, codec, pix_fmt in (
        ("a.avi", "mpeg4", "yuv420p"),
        ("b.webm", "libvpx-vp9", "yuv420p"),
        ("c.mp4", "libx264", "yuv444p"),
        ("d.mp4", "libx264", "gray"),
        ("e.mp4", "libx264", "yuv420p10le"),
    ):
        source = write_counter(tmp_path / name, 10, codec=codec, pix_fmt=pix_fmt)
        cut(source, tmp_path / "z.mp4", start=0, end=None, clips=CLIPS)
        assert shown(tmp_path / "z.mp4") == list(range(10)), name
        with av.open(str(tmp_path / "z.mp4")) as container:
            assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_single_frame(tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [counter_frame(7)])
    assert cut(source, tmp_path / "b.mp4", start=0, end=None, clips=CLIPS).frames == 1
    assert failure(source, tmp_path / "c.mp4", Clips(short_side=64, min_frames=2)).status == "too_short"


@pytest.mark.parametrize(
    ("start", "end"), [(2.0, None), (9.0, 19.0), (1.0, 1.0), (1.0, 0.5), (-1.0, 1.0), (math.nan, None), (0, math.nan)]
)
def test_bad_intervals(tmp_path: Path, start: float, end: float | None) -> None:
    source = write_counter(tmp_path / "a.mp4", 50)
    assert failure(source, tmp_path / "b.mp4", start=start, end=end).status == "bad_interval"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_truncated_download_is_corrupt(tmp_path: Path, share: float) -> None:
    """Faults 42 and 50: the index is whole, so nothing but the decoded span tells."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    data = write_video(tmp_path / "a.mp4", list(noise)).read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[: int(len(data) * share)])
    assert failure(tmp_path / "b.mp4", tmp_path / "c.mp4").status == "corrupt"


def test_silence_about_missing_frames_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that ends well after 10 of 50 frames."""
    long, short = write_counter(tmp_path / "a.mp4", 50), write_counter(tmp_path / "b.mp4", 10)
    fake_ffmpeg(tmp_path, monkeypatch, f'for last; do :; done; for x; do [ "$x" = "-y" ] || out="$x"; done\n'
                f'cp "{short}" "${{out#file:}}"')  # fmt: skip
    error = failure(long, tmp_path / "c.mp4")
    assert (error.status, error.reason) == ("corrupt", "0.40 of 2.00 s can be decoded")


def test_a_hanging_ffmpeg_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_counter(tmp_path / "a.mp4", 5)
    fake_ffmpeg(tmp_path, monkeypatch, f"sleep 600 & echo $! > {tmp_path}/child; wait")
    error = failure(source, tmp_path / "b.mp4", Clips(timeout=0.5))
    assert error.status == "corrupt"
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("script", ["kill -SEGV $$", "echo broken >&2; exit 1", "exit 0"])
def test_a_failing_ffmpeg_is_the_videos_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    source = write_counter(tmp_path / "a.mp4", 5)
    fake_ffmpeg(tmp_path, monkeypatch, script)
    assert failure(source, tmp_path / "b.mp4").status == "corrupt"


def test_what_the_machine_kills_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 52: the kernel, short of memory, may have picked an innocent."""
    source, real = write_counter(tmp_path / "a.mp4", 5), ffmpeg_binary()
    fake_ffmpeg(tmp_path, monkeypatch, f'[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; kill -9 $$; }}\n'
                f'exec "{real}" "$@"')  # fmt: skip
    assert cut(source, tmp_path / "b.mp4", start=0, end=None, clips=CLIPS).frames == 5
    assert (tmp_path / "again").exists()


def test_ffmpegs_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_counter(tmp_path / "a.mp4", 5)
    fake_ffmpeg(tmp_path, monkeypatch, f"sleep 0.3; ulimit -v > {tmp_path}/limit; exit 1")
    assert failure(source, tmp_path / "b.mp4").status == "corrupt"
    assert int((tmp_path / "limit").read_text()) * 1024 == MEMORY


def test_a_full_disk_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_counter(tmp_path / "a.mp4", 5)
    fake_ffmpeg(tmp_path, monkeypatch, "echo 'x: No space left on device' >&2; exit 1")
    with pytest.raises(CpdError) as caught:
        cut(source, tmp_path / "b.mp4", start=0, end=None, clips=CLIPS)
    assert not isinstance(caught.value, VideoError)
    assert caught.value.exit_code == EX_TEMPFAIL


def test_hostile_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write_counter(tmp_path / "plain.mp4", 5)
    for name in ("-dash.mp4", "http:x.mp4", "a b'$(touch PWNED).mp4", "%d.mp4", "naïve 🐼.mp4", "a.b.c.mp4"):
        os.link(source, name)
        assert cut(Path(name), Path("out.mp4"), start=0, end=None, clips=CLIPS).frames == 5
    assert not Path("PWNED").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("zero_byte.mp4", "corrupt"),
        ("html_page.mp4", "not_video"),
        ("cut_moov_missing.mp4", "corrupt"),
        ("audio_only.mp4", "not_video"),
        ("one_frame.mp4", (1, 114, 64)),
        ("rotated90.mp4", (100, 64, 114)),
        ("portrait.mp4", (100, 64, 114)),
        ("gray.mp4", (100, 114, 64)),
        ("divx.avi", (100, 114, 64)),
        ("webm_named.mp4", (100, 114, 64)),
        ("vfr.mp4", (90, 114, 64)),
    ],
)
def test_odd_files(tmp_path: Path, name: str, expected: str | tuple[int, int, int]) -> None:
    source = SHARED / "videos/odd_made" / name
    if not source.exists():
        pytest.skip(f"{source} is not here (set CPD_SHARED)")
    if isinstance(expected, str):
        assert failure(source, tmp_path / "b.mp4").status == expected
    else:
        clip = cut(source, tmp_path / "b.mp4", start=0, end=None, clips=CLIPS)
        assert (clip.frames, clip.width, clip.height) == expected
