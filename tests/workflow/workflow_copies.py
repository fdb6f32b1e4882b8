"""Copies of the workflow whose rules touch their outputs, and what Snakemake would run in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PARTS = (
    "Snakefile",
    "config.yaml",
    "config.demo.yaml",
    "config.demo-seeds.yaml",
    "config.demo-rho.yaml",
    "workflow",
    "profiles",
    "envs",
    "cpd",
)
SHELL = re.compile(r'shell:\n( +)(?:["#][^\n]*\n)(?:\1["#][^\n]*\n)*')
DEMO = ("config.demo.yaml",)


def copy_workflow(folder: Path) -> None:
    """A copy of the workflow whose rules touch their outputs instead of running their commands."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part)
    for rules in (folder / "workflow" / "rules").glob("*.smk"):
        rules.write_text(SHELL.sub(r'shell:\n\1"touch {output:q}"\n', rules.read_text()))


def snakemake(folder: Path, *args: str, configfiles: tuple[str, ...] = DEMO, ok: bool = True) -> str:
    files = ["--configfile", *configfiles] if configfiles else []
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *files, *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, output[-4000:]
    return output


def planned(folder: Path, *targets: str, configfiles: tuple[str, ...] = DEMO) -> Counter[str]:
    """Jobs by rule that a dry run would start."""
    output = snakemake(folder, "-n", "--", *targets, configfiles=configfiles)
    stats = re.search(r"Job stats:\n.*?\n-[- ]*\n(.*?)\ntotal", output, re.S)
    if stats is None:
        assert "Nothing to be done" in output, output[-2000:]
        return Counter()
    return Counter({line.split()[0]: int(line.split()[1]) for line in stats[1].splitlines()})
