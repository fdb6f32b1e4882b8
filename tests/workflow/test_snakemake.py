"""What re-runs, and what does not: the real rules, with commands that only touch their outputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cpd.config import load_config
from tests.workflow.workflow_copies import ROOT, planned, snakemake


@pytest.mark.slow
def test_paper_size_dry_run_holds_every_stage(clone: Path) -> None:
    jobs = planned(clone, configfiles=())
    assert jobs["crawl"] == 494 + 40 + 119 + 300 + 27 + 14
    config = load_config(ROOT / "config.yaml")
    assert jobs["table"] == len(config.tables)
    assert jobs["pretrain"] == len({row.run for table in config.tables.values() for row in table.rows} - {None})
    assert (jobs["given"], jobs["check"], jobs["report"]) == (2, 1, 1)
    stages = {"plan_kinetics", "title_clean", "title_tree", "clips", "shard", "index", "features", "finetune"}
    assert stages <= set(jobs)


def test_one_table_needs_only_its_own_runs(clone: Path) -> None:
    jobs = planned(clone, "results/demo/tables/table1.md")
    assert jobs["table"] == 1
    assert jobs["pretrain"] == jobs["finetune"] == 6
    assert not {"knn", "linear", "zeroshot", "retrieval", "features"} & set(jobs)
    assert "plan_hmdb51" not in jobs


def test_a_target_may_stand_behind_the_config_file(clone: Path) -> None:
    """The environment's `snakemake`, word for word as a user types it."""
    code = "import sys; from cpd.snakemake_cli import main; sys.exit(main())"
    words = ["--cores", "all", "--configfile", "config.demo.yaml", "results/demo/tables/table1.md", "-n"]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^pretrain +6$", done.stdout + done.stderr, re.M)
    assert not re.search(r"^knn ", done.stdout + done.stderr, re.M)


@pytest.mark.parametrize(("words", "cores"), [([], len(os.sched_getaffinity(0))), (["--cores", "1"], 1)])
def test_without_cores_all_are_used(clone: Path, words: list[str], cores: int) -> None:
    """Not a dry run, which needs none: Snakemake itself stops where nothing says how many."""
    command = [sys.executable, "-m", "snakemake", "data/demo/corpus.json", "--configfile", "config.demo.yaml", *words]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Provided cores: {cores}" in done.stdout + done.stderr
    assert (clone / "data/demo/corpus.json").is_file()


def test_lint_is_clean() -> None:
    snakemake(ROOT, "--lint", configfiles=())
    snakemake(ROOT, "--lint")


@pytest.mark.slow
def test_what_reruns(clone: Path) -> None:
    target = "results/demo/tables/table1.md"
    snakemake(clone, "--", target)
    assert not planned(clone, target)

    over = clone / "over.yaml"
    over.write_text("experiments: {ranking-r34: {objective: {delta: 0.3}}}\n")
    jobs = planned(clone, target, configfiles=("config.demo.yaml", "over.yaml"))
    assert (jobs["pretrain"], jobs["finetune"], jobs["table"], jobs.total()) == (1, 1, 1, 3)

    loss = clone / "cpd" / "objectives" / "cross_pair.py"
    original = loss.read_text()
    loss.write_text("# a comment\n" + original + "\n\n# another\n")
    assert not planned(clone, target)

    loss.write_text(original + "\n\nNEW = 1\n")
    jobs = planned(clone, target)
    assert jobs["pretrain"] == 6
    assert not {"crawl", "clips", "shard", "index", "title_clean"} & set(jobs)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("crawl: {sleeep: 1}", "did you mean 'sleep'?"),
        ("evaluate: {linear: {lr: 1e-4}}", "write 1.0e-4"),
        ("seeds: [0]\nseeds: [1]", "duplicate key 'seeds'"),
    ],
)
def test_a_bad_config_stops_before_any_job(clone: Path, text: str, wanted: str) -> None:
    (clone / "bad.yaml").write_text(text)
    output = snakemake(clone, configfiles=("config.demo.yaml", "bad.yaml"), ok=False)
    assert wanted in output
    assert "Traceback" not in output
    assert not (clone / "results").exists()


def test_nested_config_values_are_refused(clone: Path) -> None:
    output = snakemake(clone, "--config", "seeds=[1]", "-n", ok=False)
    assert "overlay file" in output
