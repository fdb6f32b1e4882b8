"""What may happen to a training on a cluster. Whatever it is, the table is that of an undisturbed local run.

The training is frozen (SIGSTOP) at its first checkpoints, so that each fault strikes in mid-training however fast or
slow the machine is.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from cpd.fileio import read_json
from tests.cluster.slurm_run import (
    RUN,
    TABLE,
    Cluster,
    change_profile,
    checkpoints,
    finish,
    freeze,
    start,
    table,
    thaw,
    trainers,
    until,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


def in_mid_training(folder: Path, slurm: Cluster) -> tuple[subprocess.Popen, list[int], str]:
    """Start the workflow; it stands still after a few checkpoints. Snakemake, the frozen processes, the job's id."""
    snakemake = start(folder, "--", TABLE, on=slurm)
    until(lambda: len(checkpoints(folder)) >= 2, what="two checkpoints", process=snakemake)
    frozen = freeze(folder)
    (job,) = [job for job in slurm.jobs("pretrain") if slurm.job(job)["Comment"].endswith("cpd-r34")]
    return snakemake, frozen, job


def first_row(folder: Path) -> str:
    """The first row of the training's log. It holds seconds, so that a training begun anew has another one."""
    return (folder / RUN / "metrics.jsonl").read_text().splitlines()[0]


def starts_again(slurm: Cluster, job: str) -> bool:
    """Whether Slurm has begun a job a second time."""
    told = slurm.job(job)
    return told["Restarts"] == "1" and told["JobState"] in ("RUNNING", "COMPLETED")


def texts_of(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("cpd-r34.log"))


def log_of(folder: Path) -> str:
    return (folder / "snakemake.log").read_text()


@pytest.mark.slow
def test_a_cancelled_job_is_sent_again_and_goes_on(slurm: Cluster, quiet: Path, ready: Path) -> None:
    snakemake, frozen, job = in_mid_training(ready, slurm)
    first = first_row(ready)
    slurm.ask("scancel", job)
    thaw(frozen)
    finish(snakemake, ready)
    assert slurm.job(job)["JobState"] == "CANCELLED"  # what saves at SIGTERM does not bring itself back
    assert "Error in rule pretrain" in log_of(ready)
    assert first_row(ready) == first
    assert table(ready) == table(quiet)


def test_a_node_that_dies_costs_what_was_not_saved(slurm: Cluster, quiet: Path, ready: Path) -> None:
    snakemake, _, job = in_mid_training(ready, slurm)
    first, node = first_row(ready), slurm.job(job)["NodeList"]
    slurm.tool("node-dies", node)
    try:
        until(lambda: starts_again(slurm, job), what="the job begins again", process=snakemake)
        assert slurm.job(job)["NodeList"] != node
        finish(snakemake, ready)
    finally:
        slurm.tool("node-returns", node)
    assert "Error in rule" not in log_of(ready)  # Slurm brought it back; no attempt was used up
    assert "taken over" in (ready / "logs" / "pretrain" / "cpd-r34.log").read_text()
    assert first_row(ready) == first
    assert table(ready) == table(quiet)


def test_before_a_time_limit_a_run_saves_and_is_requeued(slurm: Cluster, quiet: Path, ready: Path) -> None:
    snakemake, frozen, job = in_mid_training(ready, slurm)
    first = first_row(ready)
    ran = slurm.job(job)["RunTime"].split(":")
    slurm.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={int(ran[-2]) + 2}")  # one to two minutes are left
    until(lambda: was_told(frozen, slurm, job), what="the signal", process=snakemake)
    thaw(frozen)
    until(lambda: starts_again(slurm, job), what="the job begins again", process=snakemake)
    slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    finish(snakemake, ready)
    assert slurm.job(job)["JobState"] == "COMPLETED"
    assert "Error in rule" not in log_of(ready)  # no attempt was used up: a run may take any number of jobs
    assert first_row(ready) == first
    assert table(ready) == table(quiet)


def was_told(frozen: list[int], slurm: Cluster, job: str) -> bool:
    """Whether the signal waits for a stopped process. Slurm may wake what it signals: then the job begins again."""
    return any(pending(pid, signal.SIGTERM) for pid in frozen) or starts_again(slurm, job)


def pending(pid: int, number: int) -> bool:
    """Whether a signal waits for a process that is stopped."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


@pytest.mark.slow
def test_who_needs_more_memory_gets_it_at_the_next_attempt(slurm: Cluster, quiet: Path, ready: Path) -> None:
    """Slurm kills a job above its request; the next attempt asks for more."""
    change_profile(ready, "  finetune: *gpu", '  finetune: *gpu\n  knn: {mem_mb: "100 * 20 ** (attempt - 1)"}')
    finish(start(ready, "--", TABLE, on=slurm), ready)
    log = log_of(ready)
    assert "Error in rule knn" in log
    assert re.search(r"rule knn:(?:\n .*)*mem_mb=2000,", log)
    assert table(ready) == table(quiet)


@pytest.mark.slow
def test_an_interrupted_snakemake_goes_on(slurm: Cluster, quiet: Path, ready: Path) -> None:
    """Ctrl-C ends its jobs; the same command goes on from the checkpoint."""
    snakemake, frozen, job = in_mid_training(ready, slurm)
    first = first_row(ready)
    os.kill(snakemake.pid, signal.SIGINT)
    thaw(frozen)
    assert snakemake.wait(120) != 0
    slurm.ask("scancel", "--name", slurm.job(job)["JobName"])  # in the middle of a status query Ctrl-C leaves jobs
    finish(start(ready, "--", TABLE, on=slurm), ready)
    assert first_row(ready) == first
    assert table(ready) == table(quiet)


def test_two_jobs_never_write_one_run(slurm: Cluster, quiet: Path, ready: Path) -> None:
    """Faults 33, 80. Snakemake is killed, and started again while its job still trains: the second job waits."""
    snakemake, frozen, job = in_mid_training(ready, slurm)
    first = first_row(ready)
    os.kill(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    assert start(ready, "--", TABLE, on=slurm).wait(120) != 0
    assert "--unlock" in log_of(ready)
    assert start(ready, "--unlock", "--", TABLE, on=slurm).wait(120) == 0
    second = start(ready, "--", TABLE, on=slurm)
    until(lambda: len(slurm.jobs("pretrain")) == 2, what="a second job", process=second)
    told = ready / "logs" / "pretrain"  # Snakemake removes the first job's log, and the second begins its own
    until(lambda: f"held by job {job}" in texts_of(told), what="the second waits", process=second)
    assert read_json(ready / RUN / "run.lock")["job"] == job
    thaw(frozen)
    finish(second, ready)
    assert slurm.job(job)["JobState"] == "COMPLETED"
    assert first_row(ready) == first
    assert table(ready) == table(quiet)
    assert not trainers(ready)


@pytest.mark.slow
def test_a_preempted_job_goes_on(slurm: Cluster, quiet: Path, ready: Path) -> None:
    """A job with more right to the nodes takes them; Slurm brings the training back when it is done."""
    change_profile(ready, 'slurm_partition: "gpus"', 'slurm_partition: "spot"')
    snakemake, frozen, job = in_mid_training(ready, slurm)
    first = first_row(ready)
    slurm.ask("sbatch", "--partition=cpus", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 1")
    thaw(frozen)
    until(lambda: starts_again(slurm, job), what="the job begins again", process=snakemake)
    finish(snakemake, ready)
    assert "Error in rule" not in log_of(ready)
    assert first_row(ready) == first
    assert table(ready) == table(quiet)
