"""A Snakefile that plans as many jobs and files as ours, with nothing in it but them: what Snakemake itself costs.

No function, no settings, no config, no environment: each job of the data path has our inputs, outputs and log, and one
rule makes up the number. What ours costs above it is ours, and what it costs nobody who uses Snakemake can save.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from cpd.config import Config
from cpd.sources.plan import chunk_names

STAGES = ("crawl", "clips", "shard")  # jobs of every chunk
TITLES = ("title_clean", "title_tree")  # of a chunk that has titles
SNAKEFILE = """
import json

PLAN = json.load(open("plan.json"))
S = "results/sources/{source}"
ROWS = [
    f"results/sources/{source}/{stage}/{chunk}.jsonl"
    for source, chunks in PLAN["chunks"].items()
    for stage in ["plan", "crawl", "clips"] + ["tree"] * (source in PLAN["titled"])
    for chunk in chunks
]


wildcard_constraints:
    source="|".join(PLAN["chunks"]),
    chunk=r"[a-z]+-[0-9]+",


rule all:
    default_target: True
    input: "results/report.html",


for name, chunks in PLAN["chunks"].items():
    rule:
        name: f"plan_{name}"
        output: expand(f"results/sources/{name}/plan/{{chunk}}.jsonl", chunk=chunks)
        log: f"logs/plan/{name}.log"
        shell: "make plan > {log}"
    rule:
        name: f"index_{name}"
        input: expand(f"results/sources/{name}/shards/{{chunk}}.json", chunk=chunks)
        output: f"results/sources/{name}/shards/index.json"
        log: f"logs/index/{name}.log"
        shell: "make index > {log}"


rule crawl:
    input: f"{S}/plan/{{chunk}}.jsonl"
    output: f"{S}/crawl/{{chunk}}.jsonl"
    log: "logs/crawl/{source}/{chunk}.log"
    shell: "make crawl {wildcards.source} {wildcards.chunk} > {log}"


rule title_clean:
    input: f"{S}/crawl/{{chunk}}.jsonl"
    output: f"{S}/clean/{{chunk}}.jsonl"
    log: "logs/title-clean/{source}/{chunk}.log"
    shell: "make title-clean {wildcards.source} {wildcards.chunk} > {log}"


rule title_tree:
    input: f"{S}/clean/{{chunk}}.jsonl"
    output: f"{S}/tree/{{chunk}}.jsonl"
    log: "logs/title-tree/{source}/{chunk}.log"
    shell: "make title-tree {wildcards.source} {wildcards.chunk} > {log}"


rule clips:
    input: f"{S}/crawl/{{chunk}}.jsonl"
    output: f"{S}/clips/{{chunk}}.jsonl"
    log: "logs/clips/{source}/{chunk}.log"
    shell: "make clips {wildcards.source} {wildcards.chunk} > {log}"


for name in PLAN["chunks"]:
    rule:
        name: f"shard_{name}"
        input:
            f"results/sources/{name}/plan/{{chunk}}.jsonl",
            f"results/sources/{name}/crawl/{{chunk}}.jsonl",
            f"results/sources/{name}/clips/{{chunk}}.jsonl",
            [f"results/sources/{name}/tree/{{chunk}}.jsonl"] * (name in PLAN["titled"]),
        output:
            f"results/sources/{name}/shards/{{chunk}}.tar",
            f"results/sources/{name}/shards/{{chunk}}.json",
            f"results/sources/{name}/shards/{{chunk}}.ledger.jsonl",
        log: f"logs/shard/{name}/{{chunk}}.log"
        shell: "make shard {wildcards.chunk} > {log}"


rule other:
    input: expand(f"{S}/shards/index.json", source=PLAN["chunks"])
    output: "results/other/{number}.json"
    log: "logs/other/{number}.log"
    shell: "make other {wildcards.number} > {log}"


rule report:
    input:
        expand("results/other/{number}.json", number=range(PLAN["others"])),
        expand(f"{S}/shards/index.json", source=PLAN["chunks"]),
        ROWS,
    output: "results/report.html"
    log: "logs/report.log"
    shell: "make report > {log}"
"""


def write_limit(folder: Path, config: Config, *, jobs: int) -> Path:
    """The Snakefile for the sources of a config, with `jobs` jobs in all; returns its folder."""
    folder.mkdir(exist_ok=True)
    chunks = {name: list(chain(*chunk_names(source).values())) for name, source in config.sources.items()}
    titled = [name for name, source in config.sources.items() if source.text]
    plan = {"chunks": chunks, "titled": titled, "others": jobs - _data_jobs(chunks, titled)}
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "Snakefile").write_text(SNAKEFILE)
    return folder


def _data_jobs(chunks: Mapping[str, Sequence[str]], titled: Sequence[str]) -> int:
    """Jobs that the Snakefile has before any are made up: stages, plans and indices, the report and `all`."""
    stages = {name: len(STAGES) + len(TITLES) * (name in titled) for name in chunks}
    return sum(len(chunks[name]) * stages[name] + 2 for name in chunks) + 2
