"""Faults around Snakemake itself: a second one, a stale lock, clocks that disagree, disks that cannot be written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpd.cli import main
from tests.mounts import NEEDS_MOUNTS, inside
from tests.workflow.workflow_copies import planned, snakemake

CRAWL = "results/demo/sources/kinetics/crawl/val-0000.jsonl"
PLAN = "results/demo/sources/kinetics/plan/val-0000.jsonl"
pytestmark = pytest.mark.slow


def test_a_second_snakemake_and_a_stale_lock(clone: Path) -> None:
    """Fault 80. The second is told how to go on, also after the first was killed; then all is well."""
    rules = clone / "workflow" / "rules" / "data.smk"
    slow = rules.read_text()
    crawl = slow.index("rule crawl:")
    rules.write_text(slow[:crawl] + slow[crawl:].replace('"touch {output:q}"', '"touch begun; sleep 600"', 1))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config.demo.yaml", "--", CRAWL]
    first = subprocess.Popen(
        command, cwd=clone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (clone / "begun").exists():
        assert first.poll() is None
        time.sleep(0.1)
    assert "--unlock" in snakemake(clone, "--", CRAWL, ok=False)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert "--unlock" in snakemake(clone, "--", CRAWL, ok=False)
    unlock = [sys.executable, "-m", "snakemake", "--unlock", "--configfile", "config.demo.yaml"]  # no --cores: as told
    subprocess.run(unlock, cwd=clone, check=True, capture_output=True)
    rules.write_text(slow)
    snakemake(clone, "--", CRAWL)
    assert (clone / CRAWL).exists()


def test_an_edited_rule_crawls_again_and_asks_for_nothing(clone: Path) -> None:
    """Fault 77, one half; `test_a_second_run_asks_for_nothing_and_changes_no_byte` is the other."""
    snakemake(clone, "--", CRAWL)
    assert not planned(clone, CRAWL)
    rules = clone / "workflow" / "rules" / "data.smk"
    text = rules.read_text()
    crawl = text.index("rule crawl:")
    rules.write_text(text[:crawl] + text[crawl:].replace('"touch ', '"touch  ', 1))
    assert planned(clone, CRAWL) == {"crawl": 1}


def test_a_clock_that_is_ahead(clone: Path) -> None:
    """Fault 87. An input from tomorrow is told as such. Ledgers go by `seq`, locks by the file server's clock."""
    snakemake(clone, "--", CRAWL)
    (clone / PLAN).write_text("another\n")
    tomorrow = time.time() + 86400
    os.utime(clone / PLAN, (tomorrow, tomorrow))
    assert "clock skew" in snakemake(clone, "--", CRAWL, ok=False)
    (clone / PLAN).touch()
    snakemake(clone, "--", CRAWL)
    assert not planned(clone, CRAWL)


@NEEDS_MOUNTS
def test_results_that_cannot_be_written(clone: Path) -> None:
    """Fault 88. One clear message, and no traceback."""
    (clone / "results").mkdir()
    lists = clone / "mine.csv"
    lists.write_text("file,title\na.mp4,one\nb.mp4,two\n")
    (clone / "mine.yaml").write_text(
        "sources: {mine: {kind: folder, lists: {train: mine.csv}, videos: ., pairs: {train: 2}}}\n"
    )
    command = [sys.executable, "-m", "cpd", "chunks", "--source", "mine", "--configfile", "config.yaml", "mine.yaml"]
    for mount, wanted in (("-o ro", "Read-only file system"), ("-o nr_inodes=3", "No space left")):
        done = inside(f"mount -t tmpfs {mount} none results", command, clone)
        assert done.returncode == 75, done.stderr
        assert wanted in done.stderr
        assert "results" in done.stderr
        assert "Traceback" not in done.stderr


@NEEDS_MOUNTS
def test_snakemake_without_space_for_its_own_files(clone: Path) -> None:
    """Fault 88. It fails and says so; with space it goes on."""
    (clone / ".snakemake").mkdir()
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config.demo.yaml", "--", CRAWL]
    done = inside("mount -t tmpfs -o size=8k none .snakemake", command, clone)
    assert done.returncode != 0
    assert "No space left on device" in done.stdout + done.stderr
    snakemake(clone, "--", CRAWL)
    assert (clone / CRAWL).exists()


def test_an_error_of_the_disk_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fault 88, for every command: the file, what the system says, exit code 75. Other errors stay loud."""
    from cpd.commands import status

    def full(args: object) -> int:
        raise OSError(28, "No space left on device", str(tmp_path / "results" / "x"))

    monkeypatch.setattr(status, "run", full)
    assert main(["status"]) == 75
    told = capsys.readouterr().err
    assert re.search(r"error: .*results/x: No space left on device", told)

    def broken(args: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(status, "run", broken)
    with pytest.raises(OSError, match="Input/output"):
        main(["status"])
    shutil.rmtree(tmp_path, ignore_errors=True)
