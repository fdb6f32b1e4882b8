"""The very command of the README, from nothing to a table, on a Slurm."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.slurm_run import TABLE, Cluster, clone, finish, start, table

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
LOCAL = {"plan_kinetics", "index", "table"}


def submitted(log: str) -> Counter[str]:
    """Jobs that went to Slurm, by rule."""
    return Counter(re.findall(r"submitted with SLURM jobid \d+ \(log: \S+/rule_(\w+)/", log))


def test_the_whole_on_slurm_equals_a_local_run(slurm: Cluster, quiet: Path, tmp_path: Path) -> None:
    folder = clone(tmp_path / "cpd")
    finish(start(folder, "--", TABLE, on=slurm), folder)
    assert table(folder) == table(quiet)
    log = (folder / "snakemake.log").read_text()
    jobs = submitted(log)
    assert jobs == {
        "demo_corpus": 1,
        "demo_stanza": 1,
        "demo_encoder": 1,
        **dict.fromkeys(["crawl", "title_clean", "title_tree", "clips", "shard"], 3),
        **dict.fromkeys(["pretrain", "knn", "retrieval"], 2),
        "features": 4,
    }
    assert set(re.findall(r"^localrule (\w+):", log, re.M)) == LOCAL
    assert slurm.job(slurm.jobs("pretrain", state="all")[-1])["Partition"] == "gpus"
    assert slurm.job(slurm.jobs("knn", state="all")[-1])["Partition"] == "cpus"

    finish(start(folder, "--", TABLE, on=slurm), folder)
    again = (folder / "snakemake.log").read_text().removeprefix(log)
    assert "Nothing to be done" in again
