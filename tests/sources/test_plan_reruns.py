"""What a list that changes makes run again: the real plan under the real rules; other commands touch their outputs."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "cpd")
SHELL = re.compile(r'shell:\n( +)"([^\n]*)"\n(?:\1"[^\n]*"\n)*')
TARGET = "results/sources/web/shards/index.json"
HOSTILE = ["$(touch PWNED)", "`touch PWNED`", "../../../PWNED", "{output}", "'; touch PWNED; '"]


def touch_unless_plan(rule: re.Match[str]) -> str:
    return rule[0] if "cpd chunks" in rule[2] else f'shell:\n{rule[1]}"touch {{output:q}}"\n'


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / part)
    for rules in (tmp_path / "workflow" / "rules").glob("*.smk"):
        rules.write_text(SHELL.sub(touch_unless_plan, rules.read_text()))
    return tmp_path


def write_list(folder: Path, ids: list[str], *, slots: int) -> None:
    with open(folder / "list.csv", "w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["label", "youtube_id", "time_start", "time_end", "split"])
        rows.writerows(["jumping", identity, 0, 10, "train"] for identity in ids)
    source = {
        "kind": "kinetics",
        "lists": {"train": "list.csv"},
        "pairs": {"train": slots},
        "chunk_size": 2,
        "url": "https://www.youtube.com/watch?v={id}",
    }
    (folder / "over.yaml").write_text(json.dumps({"sources": {"web": source}}))


def snakemake(folder: Path, *args: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "over.yaml", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def crawled_after_planning(folder: Path) -> Counter[str]:
    """Plan for real, then count by rule what a dry run would start; checked chunks of the crawl among it."""
    snakemake(folder, "--", "plan_web")
    stats = re.search(r"Job stats:\n.*?\n-[- ]*\n(.*?)\ntotal", snakemake(folder, "-n", "--", TARGET), re.S)
    return Counter({line.split()[0]: int(line.split()[1]) for line in stats[1].splitlines()} if stats else {})


@pytest.mark.slow
def test_only_what_changed_runs_again(clone: Path) -> None:
    """Faults 1, 8, 9: hostile ids are rows; ids in front open new chunks; a removed id touches its own chunk."""
    plan = clone / "results" / "sources" / "web" / "plan"
    ids = [f"video{n:06d}" for n in range(4)]
    write_list(clone, [*HOSTILE, *ids], slots=9)
    snakemake(clone, "--", TARGET)
    old = {path.name: path.read_bytes() for path in plan.iterdir()}
    assert len(old) == 5
    assert not [path for path in (*clone.rglob("*"), *clone.parent.iterdir()) if "PWNED" in path.name]

    write_list(clone, ["newid000001", *HOSTILE, *ids, "newid000002"], slots=11)
    jobs = crawled_after_planning(clone)
    assert (jobs["crawl"], jobs["shard"], jobs["plan_web"]) == (2, 2, 0)
    unchanged = [name for name, data in old.items() if (plan / name).read_bytes() == data]
    assert len(unchanged) == 4, "the last chunk had a free slot; all others are the same bytes"
    snakemake(clone, "--", TARGET)

    write_list(clone, ["newid000001", *HOSTILE, *ids[1:], "newid000002"], slots=11)
    jobs = crawled_after_planning(clone)
    assert (jobs["crawl"], jobs["shard"]) == (1, 1)
    assert json.loads((plan / "train-0002.jsonl").read_text().splitlines()[1])["url"] == ""
