"""What we ask Slurm, with scripts in its place; tests/cluster asks a real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cpd import slurm
from cpd.cli import main


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a shell script in the place of a Slurm command; what it is asked goes to `asked`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, body: str) -> None:
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n{body}\n')
        path.chmod(0o755)

    return put


def asked(folder: Path) -> list[str]:
    path = folder / "asked"
    return path.read_text().splitlines() if path.exists() else []


def test_without_slurm_there_are_no_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert slurm.job_id() == ""
    assert slurm.job_state("1") is None
    assert not slurm.requeue()


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ("echo RUNNING", "RUNNING"),
        ("true", "GONE"),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", "GONE"),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", None),
    ],
)
def test_state_of_a_job(tools, body: str, state: str | None) -> None:
    tools("squeue", body)
    assert slurm.job_state("5") == state


@pytest.mark.parametrize(("state", "again"), [("RUNNING", True), ("CANCELLED", False), ("COMPLETING", False)])
def test_only_a_running_job_is_requeued(
    tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, again: bool
) -> None:
    """`scancel` must end a job for good."""
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    tools("squeue", f"echo {state}")
    tools("scontrol", "true")
    assert slurm.requeue() == again
    assert ("scontrol requeue 5" in asked(tmp_path)) == again


def test_a_refusal_is_told(tools, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    tools("squeue", "echo RUNNING")
    tools("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    assert not slurm.requeue()
    assert "presently disabled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inside", "again"), [({}, True), ({"TORCHELASTIC_RUN_ID": "x"}, False), ({"CPD_NODES": "2"}, False)]
)
def test_a_command_that_saved_and_stopped_asks_once(
    tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: dict[str, str], again: bool
) -> None:
    """The outermost process of a job does, and none of its ranks."""
    from cpd.commands import pretrain
    from cpd.engine.signals import Requeue

    def stopped(args: object) -> int:
        raise Requeue("SIGTERM", step=3)

    monkeypatch.setattr(pretrain, "run", stopped)
    for name, value in {"SLURM_JOB_ID": "5", **inside}.items():
        monkeypatch.setenv(name, value)
    tools("squeue", "echo RUNNING")
    tools("scontrol", "true")
    assert main(["pretrain", "cpd-r34"]) == 85
    assert ("scontrol requeue 5" in asked(tmp_path)) == again
