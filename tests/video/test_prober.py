"""Fault 52: a file that crashes its reader is quarantined, and the batch goes on."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import pytest

from cpd.config import Clips
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import read_jsonl, sha256_file, write_jsonl
from cpd.video import prober
from cpd.video.chunk import Job, cut_chunk
from cpd.video.probe import VideoError, probe
from cpd.video.prober import Probers
from tests.video.counter_video import write_counter

CLIPS = Clips(short_side=64)
DEADLY = """
import os, signal, sys, time
from pathlib import Path
from cpd.config import Clips
from cpd.video import prober
plain = prober.probe
def deadly(path, clips):
    folder, name = Path(path).parent, Path(path).name
    with (folder / f"{name}.tries").open("a") as tries:
        print(os.getpid(), file=tries)
    if name == "segv.mp4" or (name == "once.mp4" and len((folder / "once.mp4.tries").read_text().split()) == 1):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "hang.mp4":
        time.sleep(600)
    if name == "memory.mp4":
        bytearray(prober.MEMORY)
    return plain(path, clips)
prober.probe = deadly
prober._serve(Clips(timeout=2.0))
"""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Children that die over some names, as a decoder with a defect would."""
    import subprocess

    def start(clips: Clips) -> object:
        return subprocess.Popen([sys.executable, "-c", DEADLY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(prober, "_start", start)
    return tmp_path


def tries(path: Path) -> int:
    return len((path.parent / f"{path.name}.tries").read_text().split())


def test_answers_are_those_of_probe(tmp_path: Path) -> None:
    """Names are data, refusals are the same, and one process serves them all."""
    paths = [write_counter(tmp_path / "a 'b\n🐼.mp4", 12), tmp_path / "absent.mp4", tmp_path / "page.mp4"]
    paths[2].write_text("<html>")
    with Probers(1, CLIPS) as probers:
        assert probers.probe(paths[0]) == probe(paths[0], CLIPS)
        for path, status in zip(paths[1:], ("gone", "not_video"), strict=True):
            with pytest.raises(VideoError) as caught:
                probers.probe(path)
            assert caught.value.status == status
        pid = probers._all[0]._process.pid  # type: ignore[union-attr]
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert f"{prober.MEMORY}" in limits.split("Max address space")[1].splitlines()[0]
    assert not Path(f"/proc/{pid}").exists()


def test_limits_reach_the_child(tmp_path: Path) -> None:
    with Probers(1, Clips(max_source_pixels=100)) as probers, pytest.raises(VideoError, match="too_large"):
        probers.probe(write_counter(tmp_path / "a.mp4", 2))


def test_a_batch_survives_what_kills_its_reader(deadly: Path) -> None:
    names = ["good.mp4", "segv.mp4", "once.mp4", "memory.mp4", "last.mp4"]
    paths = [write_counter(deadly / name, 12) for name in names]
    rows = [
        {"id": p.stem, "status": "ok", "path": str(p), "sha256": sha256_file(p), "start": 0.0, "end": None}
        for p in paths
    ]
    write_jsonl(deadly / "crawl.jsonl", rows)
    cut_chunk(deadly / "crawl.jsonl", deadly / "clips.jsonl", Job(deadly / "store", CLIPS, str))
    cut = {row["id"]: (row["status"], row["frames"]) for row in read_jsonl(deadly / "clips.jsonl")}
    assert cut == {
        "good": ("ok", 12),
        "segv": ("corrupt", 0),
        "once": ("ok", 12),
        "memory": ("corrupt", 0),
        "last": ("ok", 12),
    }
    assert tries(deadly / "segv.mp4") == tries(deadly / "once.mp4") == 2


def test_a_hang_ends(deadly: Path) -> None:
    path = write_counter(deadly / "hang.mp4", 2)
    started = time.monotonic()
    with Probers(1, Clips(timeout=1.5)) as probers, pytest.raises(VideoError, match="crashed or hung, twice"):
        probers.probe(path)
    assert time.monotonic() - started < 60
    for pid in (deadly / "hang.mp4.tries").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_this_process_keeps_its_limits() -> None:
    with Probers(1, CLIPS) as probers, pytest.raises(VideoError):
        probers.probe("/nowhere")
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != prober.MEMORY


def test_a_disk_that_cannot_be_read_is_not_the_videos_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: str, clips: Clips) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(prober, "probe", broken)
    with pytest.raises(CpdError, match="Input/output error") as caught:
        prober._unpack(prober._answer("a.mp4", CLIPS))
    assert not isinstance(caught.value, VideoError)
    assert caught.value.exit_code == EX_TEMPFAIL
