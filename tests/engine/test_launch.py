"""What is started for `--gpus N --nodes M`, on one node and on several."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from cpd.engine import launch
from cpd.errors import EX_REQUEUE, CpdError

# Stands for srun: writes down what it was asked for, and ends as it is told.
SRUN = """#!{python}
import json, os, sys
json.dump({{"words": sys.argv[1:], "nodes": os.environ.get("CPD_NODES")}}, open({told!r}, "w"))
sys.exit({code})
"""
SCONTROL = """#!/bin/sh
case "$2" in
  hostnames) echo n4; echo n5 ;;
  node) echo "NodeName=$3 NodeAddr=10.0.0.4 NodeHostName=$3" ;;
esac
"""


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NODEID", launch.NODES, "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


def script(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("gpus", "nodes", "several"), [(None, 1, False), (0, 1, False), (1, 1, False), (2, 1, True), (2, 2, True)]
)
def test_one_process_starts_no_others(gpus: int | None, nodes: int, several: bool) -> None:
    assert launch.launched(gpus, nodes) == several


def test_a_rank_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert not launch.launched(8, 2)


def test_several_nodes_need_a_job() -> None:
    with pytest.raises(CpdError, match="no Slurm job"):
        launch.launch(16, ["pretrain", "x"], nodes=2)


def test_gpus_divide_by_the_nodes() -> None:
    with pytest.raises(CpdError, match="7 GPUs on 2 nodes"):
        launch.launch(7, ["pretrain", "x"], nodes=2)


@pytest.mark.parametrize("code", [0, 1, EX_REQUEUE])
def test_each_node_of_the_job_gets_the_command_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    told = tmp_path / "told.json"
    script(tmp_path, "srun", SRUN.format(python=sys.executable, told=str(told), code=code), monkeypatch)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert launch.launch(16, ["pretrain", "x", "--gpus", "16"], nodes=2) == code
    asked = json.loads(told.read_text())
    assert asked["nodes"] == "2"
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--gpus-per-node=8"} <= set(asked["words"])
    assert asked["words"][-6:] == ["-m", "cpd", "pretrain", "x", "--gpus", "16"]


def test_ranks_meet_at_the_first_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "scontrol", SCONTROL, monkeypatch)
    for name, value in {launch.NODES: "2", "SLURM_JOB_ID": "31415", "SLURM_NODEID": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CpdError, match="allocation"):
        launch.rendezvous()
    monkeypatch.setenv("SLURM_STEP_NODELIST", "n[4-5]")
    assert launch.rendezvous() == ["--nnodes=2", "--node-rank=1", "--master-addr=10.0.0.4", "--master-port=21415"]


def test_one_node_needs_no_meeting_place() -> None:
    assert launch.rendezvous() == ["--standalone"]
