"""One writer a run folder: who may go on, who waits, and which locks no longer count."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from cpd.engine import runlock
from cpd.engine.runlock import Holder, held, myself, stale
from cpd.engine.signals import Requeue
from cpd.errors import CpdError

ELSEWHERE = Holder(host="other", space="pid:[1]", pid=7, started=1, job="41", token="t")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "RANK", runlock.HELD):
        monkeypatch.delenv(name, raising=False)


def ended_process() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def write(folder: Path, holder: Holder) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / runlock.NAME
    path.write_bytes(msgspec.json.encode(holder))
    return path


@pytest.mark.parametrize(
    ("state", "counts"),
    [("RUNNING", True), ("COMPLETING", True), ("PENDING", False), ("GONE", False), ("TIMEOUT", False)],
)
def test_slurm_tells_whether_a_job_still_writes(state: str, counts: bool) -> None:
    """Whatever the clock says."""
    for silent in (1.0, 1e6):
        assert (stale(ELSEWHERE, silent, me=myself(), state=lambda job: state) == "") == counts


def test_without_an_answer_silence_decides() -> None:
    me = myself()
    assert stale(ELSEWHERE, 10.0, me=me, state=lambda job: None) == ""
    assert "no sign of life" in stale(ELSEWHERE, 1000.0, me=me, state=lambda job: None)


def test_an_earlier_start_of_the_same_job_is_over() -> None:
    me = msgspec.structs.replace(myself(), job="41")
    assert "earlier start" in stale(ELSEWHERE, 1.0, me=me, state=lambda job: "RUNNING")


def test_on_one_host_the_process_itself_is_looked_at() -> None:
    me = myself()
    alive = msgspec.structs.replace(me, token="other")
    assert stale(alive, 1e6, me=me, state=lambda job: "GONE") == ""
    assert stale(msgspec.structs.replace(alive, pid=ended_process()), 0.0, me=me, state=lambda job: None)
    assert stale(msgspec.structs.replace(alive, started=1), 0.0, me=me, state=lambda job: None)  # its id given again


def test_the_lock_is_there_within_and_gone_after(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with held(folder):
        holder = runlock.read(folder / runlock.NAME)
        assert holder is not None
        assert holder.pid == os.getpid()
        with held(folder):  # a rank of the same run
            runlock.check()
    assert not folder.exists()  # nothing was written, so nothing is left


def test_a_dead_process_leaves_a_lock_that_is_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, msgspec.structs.replace(myself(), pid=ended_process()))
    with held(tmp_path):
        assert runlock.read(tmp_path / runlock.NAME).pid == os.getpid()
    told = capsys.readouterr().err
    assert "has ended" in told
    assert "taken over" in told


def test_a_torn_lock_is_taken_over_when_nobody_finishes_it(tmp_path: Path) -> None:
    path = tmp_path / runlock.NAME
    path.write_bytes(b'{"host": "n')
    os.utime(path, (1, 1))
    with held(tmp_path):
        assert runlock.read(path) is not None


def test_a_second_one_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys, time; from pathlib import Path; from cpd.engine.runlock import held\n"
    code += (
        "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read(); Path(sys.argv[1], 'done').touch()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        threading.Timer(1.0, first.stdin.close).start()
        with held(tmp_path):
            assert (tmp_path / "done").exists()
    assert f"held by process {first.pid}" in capsys.readouterr().err


def test_who_waits_gives_up_when_asked(tmp_path: Path) -> None:
    write(tmp_path, msgspec.structs.replace(myself(), token="other"))
    with pytest.raises(Requeue), held(tmp_path, stop=lambda: "SIGTERM"):
        pytest.fail("entered")
    assert (tmp_path / runlock.NAME).exists()


def test_of_two_that_find_a_stale_lock_one_takes_it(tmp_path: Path) -> None:
    """Many at once, again and again: never two within."""
    code = """
import os, sys, time
from pathlib import Path
from cpd.engine import runlock
runlock.LOOK = 0.01
folder = Path(sys.argv[1])
for turn in range(5):
    with runlock.held(folder):
        with open(folder / "inside", "x"):
            time.sleep(0.002)
        (folder / "inside").unlink()
        if os.getpid() % 2:
            left = folder / f"left.{os.getpid()}"
            left.write_bytes(Path(sys.argv[2]).read_bytes())
            os.replace(left, folder / runlock.NAME)  # as a killed one leaves it
"""
    dead = write(tmp_path / "dead", msgspec.structs.replace(myself(), pid=ended_process(), token="dead"))
    write(tmp_path / "run", runlock.read(dead))
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(dead)]
    racers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    for racer in racers:
        _, told = racer.communicate(timeout=60)
        assert racer.returncode == 0, told


def test_who_lost_the_lock_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was cut off comes back: another has gone on meanwhile."""
    with held(tmp_path):
        stop = runlock.checked(lambda: "")
        assert stop() == ""
        write(tmp_path, ELSEWHERE)
        assert stop() == ""  # looked at every few seconds only
        monkeypatch.setattr(runlock, "BEAT", 0.0)
        with pytest.raises(CpdError, match="taken over by job 41") as told:
            stop()
        assert told.value.exit_code == 75
        asked = runlock.checked(lambda: "SIGTERM")  # stopping saves: it looks first
        with pytest.raises(CpdError, match="without writing"):
            asked()
    assert runlock.read(tmp_path / runlock.NAME) == ELSEWHERE  # and its lock is left alone


def test_the_holder_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlock, "BEAT", 0.05)
    path = tmp_path / runlock.NAME
    with held(tmp_path):
        os.utime(path, (1, 1))
        end = time.monotonic() + 20
        while runlock.silence(path) > 1000:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_ages_need_no_clock_but_the_file_server_s(tmp_path: Path) -> None:
    """Fault 87: a node whose clock is hours off sees the same age."""
    path = tmp_path / "lock"
    path.touch()
    code = "import sys, time; time.time = lambda: 0.0; from pathlib import Path; from cpd.engine import runlock\n"
    code += "print(runlock.silence(Path(sys.argv[1])))"
    told = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert 0 <= float(told.stdout) < 60
