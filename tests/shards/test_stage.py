"""Copies of shards on a disk of the node."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpd.errors import CpdError
from cpd.shards import stage
from cpd.shards.read import SampleTable
from tests.small_corpus import write_source

PARTS = [("pairs", "train")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_source(folder, "pairs", {"train": 10})  # two shards
    return folder


def videos(table: SampleTable) -> list[bytes]:
    return [table.video(i) for i in range(len(table))]


def test_without_a_scratch_disk_shards_are_read_in_place(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(stage.VARIABLE, raising=False)
    table = SampleTable.open(results, PARTS)
    assert all(shard.is_relative_to(results) for shard in table.store.shards)
    monkeypatch.setenv(stage.VARIABLE, "")
    assert SampleTable.open(results, PARTS).store.shards == table.store.shards


def test_copies_hold_the_same_and_are_made_once(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(stage.VARIABLE, raising=False)
    there = SampleTable.open(results, PARTS)
    monkeypatch.setenv("MY_DISK", str(tmp_path))
    monkeypatch.setenv(stage.VARIABLE, "$MY_DISK/mine")
    here = SampleTable.open(results, PARTS)
    assert all(shard.is_relative_to(tmp_path / "mine") for shard in here.store.shards)
    assert videos(here) == videos(there)
    assert here.keys == there.keys
    before = [shard.stat().st_mtime_ns for shard in here.store.shards]
    again = SampleTable.open(results, PARTS)
    assert [shard.stat().st_mtime_ns for shard in again.store.shards] == before


def test_a_variable_that_a_node_lacks_is_named(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stage.VARIABLE, "$NO_SUCH_DISK/x")
    with pytest.raises(CpdError, match="NO_SUCH_DISK"):
        SampleTable.open(results, PARTS)


def test_a_disk_that_is_too_small_is_told_before_copying(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stage.VARIABLE, str(tmp_path))
    monkeypatch.setattr(stage.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(CpdError, match="GB free") as told:
        SampleTable.open(results, PARTS)
    assert told.value.exit_code == 75
    assert not list((tmp_path / "cpd-shards").glob("*.tar"))


def test_a_shard_that_changed_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_source(tmp_path / "results", "pairs", {"train": 4})
    shard = next((tmp_path / "results").rglob("*.tar"))
    data = bytearray(shard.read_bytes())
    data[data.index(b"mdat") + 8] ^= 1  # a bit of a video
    shard.write_bytes(data)
    monkeypatch.setenv(stage.VARIABLE, str(tmp_path / "disk"))
    with pytest.raises(CpdError, match="not what the index says"):
        SampleTable.open(tmp_path / "results", PARTS)
    assert not list((tmp_path / "disk" / "cpd-shards").glob("*.tar"))


def test_ranks_of_a_node_wait_for_the_one_that_copies(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stage.VARIABLE, str(tmp_path))
    (tmp_path / "cpd-shards").mkdir()
    code = "import sys; from cpd.shards.read import SampleTable; SampleTable.open(sys.argv[1], [('pairs', 'train')])"
    with (tmp_path / "cpd-shards" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = subprocess.Popen([sys.executable, "-c", code, str(results)])
        time.sleep(1.5)
        assert other.poll() is None
        assert not list((tmp_path / "cpd-shards").glob("*.tar"))
    assert other.wait(60) == 0
    assert len(list((tmp_path / "cpd-shards").glob("*.tar"))) == 2
