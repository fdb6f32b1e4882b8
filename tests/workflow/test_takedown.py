"""Fault 40 in the workflow: an id that is taken down makes its own chunk again, and no other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.workflow.workflow_copies import DEMO, planned, snakemake

R = "results/demo/sources/kinetics"
TARGETS = [f"{R}/shards/{chunk}.tar" for chunk in ("train-0000", "train-0001", "val-0000")]


@pytest.mark.slow
def test_a_takedown_makes_one_shard_again(clone: Path) -> None:
    snakemake(clone, "--", *TARGETS)
    for number, target in enumerate(TARGETS):
        plan = clone / R / "plan" / f"{Path(target).stem}.jsonl"
        before = plan.stat()
        plan.write_text(json.dumps({"id": f"id-{number}"}) + "\n")
        os.utime(plan, ns=(before.st_atime_ns, before.st_mtime_ns))
    (clone / "list").write_text("# nobody yet\n")
    (clone / "overlay.yaml").write_text("crawl: {takedown: list, sleep: 1.0, proxy: 'http://10.0.0.1:3128'}\n")
    configfiles = (*DEMO, "overlay.yaml")
    assert planned(clone, *TARGETS, configfiles=configfiles).get("crawl", 0) == 0  # a pace re-runs nothing
    (clone / "list").write_text("kinetics/id-1\nucf101/id-0\n")
    jobs = planned(clone, *TARGETS, configfiles=configfiles)
    assert (jobs["crawl"], jobs["clips"], jobs["shard"]) == (1, 1, 1)
    assert "plan_kinetics" not in jobs
