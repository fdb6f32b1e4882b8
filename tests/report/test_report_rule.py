"""The rule asks for nothing that the tables do not need, and runs again only when what it shows has changed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PARTS = ("Snakefile", "config.yaml", "config.demo.yaml", "workflow", "profiles", "envs", "cpd")
PAGE = "results/demo/report.html"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the workflow."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    return tmp_path


def snakemake(folder: Path, *args: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "--configfile", "config.demo.yaml", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def planned(folder: Path, *args: str) -> Counter[str]:
    """Jobs by rule that a dry run would start."""
    output = snakemake(folder, *args)
    stats = re.search(r"Job stats:\n.*?\n-[- ]*\n(.*?)\ntotal", output, re.S)
    if stats is None:
        assert "Nothing to be done" in output, output[-2000:]
        return Counter()
    return Counter({line.split()[0]: int(line.split()[1]) for line in stats[1].splitlines()})


@pytest.mark.slow
def test_the_report_needs_what_the_tables_need(clone: Path) -> None:
    jobs = planned(clone, "-n", "--", PAGE)
    assert jobs.pop("report") == 1
    tables = planned(clone, "-n", "--", "tables")
    tables.pop("tables")
    assert jobs == tables


def pretend(folder: Path) -> None:
    """Everything is made, and Snakemake has written down how."""
    files = [
        line.split("\t")[0] for line in snakemake(folder, "--summary", "--", PAGE).splitlines() if "\tmissing" in line
    ]
    assert len(files) > 200
    for path in (folder / name for name in files):
        (path if path.name == "figures" else path.parent).mkdir(parents=True, exist_ok=True)
        if path.name != "figures":
            path.touch()
    snakemake(folder, "--touch", "--", PAGE)


@pytest.mark.slow
def test_the_report_is_made_once(clone: Path) -> None:
    pretend(clone)
    assert not planned(clone, "-n", "--", PAGE)
    (clone / "over.yaml").write_text("report: {control: random-r34}\n")
    assert planned(clone, "over.yaml", "-n", "--", PAGE) == Counter({"report": 1})
