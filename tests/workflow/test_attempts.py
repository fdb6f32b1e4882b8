"""Who sends a failed job again: the profile alone, and with more time unless the job goes on where it was."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent.parent
GO_ON = {"crawl", "clips", "features", "finetune", "pretrain"}  # these keep what they have done


def rules() -> dict[str, str]:
    """The text of each rule with a name of its own."""
    texts = [path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
    blocks = [block for text in texts for block in re.split(r"(?m)^\s*(?=rule \w+:)", text)]
    return {found[1]: block for block in blocks if (found := re.match(r"rule (\w+):", block))}


def test_only_local_rules_have_retries_of_their_own() -> None:
    """On a cluster each job is a Snakemake of its own, which would try so often again, times the profile's number."""
    found = {name: block for name, block in rules().items() if re.search(r"(?m)^\s+retries:", block)}
    assert found
    assert [name for name, block in found.items() if "localrule: True" not in block] == []


def test_the_workflow_s_profile_leaves_the_number_to_the_cluster_s() -> None:
    default, slurm = (
        yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text()) for name in ("default", "slurm")
    )
    assert slurm["retries"] > 0
    assert not {"retries", "default-resources", "set-resources"} & default.keys()


def test_a_job_that_begins_anew_gets_more_time() -> None:
    fixed = {name for name, block in rules().items() if re.search(r"(?m)^\s+runtime=\"", block)}
    assert fixed == GO_ON
