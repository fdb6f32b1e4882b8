"""What Slurm says about the job that we are in. Outside a job, and without Slurm, every answer is empty."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from cpd.errors import CpdError

PATIENCE = 30.0  # seconds for an answer of the controller
OVER = (
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
)
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


def job_id() -> str:
    """The id of the job that this process belongs to; "" outside of any."""
    return os.environ.get("SLURM_JOB_ID", "")


def job_state(job: str) -> str | None:
    """State of a job, as RUNNING or PENDING; "GONE" when the controller has forgotten it, None without an answer."""
    told = _ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")
    if told is None:
        return None
    if told.returncode:
        return "GONE" if "Invalid job id" in told.stderr else None
    return told.stdout.strip() or "GONE"


def requeue() -> bool:
    """Ask Slurm to start this job again, when it is one and nobody has cancelled it; returns whether Slurm will.

    A job that Slurm itself ends (a time limit that comes near, preemption) then goes on under the same id, and whoever
    waits for it (Snakemake) sees it pending again.
    """
    job = job_id()
    if not job or job_state(job) != "RUNNING":
        return False
    told = _ask("scontrol", "requeue", job)
    if told is None or told.returncode:
        print(f"job {job} could not be requeued: {told.stderr.strip() if told else 'no answer'}", file=sys.stderr)
        return False
    return True


def first_address() -> str:
    """Address of the first node of this step, where ranks meet.

    Raises:
        CpdError: this is no step of a Slurm job, or Slurm does not tell.
    """
    nodes = os.environ.get("SLURM_STEP_NODELIST", "")
    names = _ask("scontrol", "show", "hostnames", nodes) if nodes else None
    if names is None or names.returncode or not names.stdout.split():
        raise CpdError("several nodes need a Slurm allocation", hint="use --nodes 1, or start it by srun in a job")
    first = names.stdout.split()[0]
    node = _ask("scontrol", "show", "node", first)
    fields = dict(field.partition("=")[::2] for field in node.stdout.split()) if node else {}
    return fields.get("NodeAddr") or first


def _ask(*command: str) -> subprocess.CompletedProcess[str] | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None
