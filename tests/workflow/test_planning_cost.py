"""What makes planning cheap changes no plan, and parsing imports nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.planning import (
    BARE,
    DRY,
    HEAVY,
    LIMIT,
    PLAN,
    THEIRS,
    as_it_comes,
    cloned,
    imported,
    jobs_of,
    python,
    snakemake,
    with_rates,
)
from benchmarks.planning_limit import write_limit
from benchmarks.record import Row, Table
from cpd.config import load_config

ROOT = Path(__file__).parents[2]
DEMO = ("--configfile", "config.demo.yaml")
OF_JOBS = re.compile(
    r"(local)?rule |    (input|output|log|benchmark|reason|wildcards|threads): |python -m cpd|\w+ +\d+$"
)
ANYWHERE = re.compile(r"\btemp(orary)?\(")


def test_no_output_is_temporary_so_that_none_need_be_looked_for() -> None:
    rules = [ROOT / "Snakefile", *sorted((ROOT / "workflow").rglob("*.smk"))]
    found = [path.name for path in rules if ANYWHERE.search(path.read_text())]
    assert not found, f"{found}: take `notemp` out of profiles/default/config.yaml"
    assert "\nnotemp: true" in (ROOT / "profiles/default/config.yaml").read_text()


@pytest.mark.slow
def test_the_plain_twin_plans_the_same(tmp_path: Path) -> None:
    """Snakemake as it comes, without our line in its profile: the same jobs for the same reasons."""
    clone, bare = cloned(tmp_path / "clone"), as_it_comes(tmp_path / "bare")
    ours, plain = snakemake(clone, "-n", *DEMO), snakemake(bare, "-n", *DEMO, code=THEIRS)
    assert jobs_of(ours) > 100
    assert sorted(_jobs(ours)) == sorted(_jobs(plain))
    assert len(_jobs(ours)) > 5 * jobs_of(ours)


def _jobs(printed: str) -> list[list[str]]:
    """The words of every line that tells of a job, in no order."""
    return [sorted(re.split("[ ,;]+", line)) for line in printed.splitlines() if OF_JOBS.match(line)]


@pytest.mark.slow
def test_parsing_imports_nothing_heavy_of_ours(tmp_path: Path) -> None:
    clone, empty = cloned(tmp_path / "clone"), tmp_path / "empty"
    empty.mkdir()
    (empty / "Snakefile").touch()
    found = imported(clone, "--list-rules", *DEMO)
    assert "cpd.config" in found
    assert not (found - imported(empty, "--list-rules")) & set(HEAVY)
    assert not found & {"torch", "stanza"}


@pytest.mark.slow
def test_the_limit_has_as_many_jobs(tmp_path: Path) -> None:
    config = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    wanted = jobs_of(snakemake(cloned(tmp_path / "clone"), *DRY, *DEMO))
    limit = write_limit(tmp_path / "limit", config, jobs=wanted)
    printed = snakemake(limit, *DRY)
    assert jobs_of(printed) == wanted
    assert int(re.search(r"^other +(\d+)$", printed, re.M)[1]) > 0  # type: ignore[index]


def test_cost_of_a_thousand_jobs() -> None:
    rows = [Row(name=name, side="ours", values=(4.0, 3.0, 2.0)) for name in (PLAN, BARE, LIMIT, "parsing")]
    table = with_rates(Table(title="", unit="", reference=PLAN, rows=tuple(rows)), 2000)
    assert [row.columns.get("CPU s / 1000 jobs") for row in table.rows] == [1.5, 1.5, 1.5, None]


def test_memory_is_swept_less_before_snakemake_is_imported(tmp_path: Path) -> None:
    (tmp_path / "snakemake").mkdir()
    (tmp_path / "snakemake/__init__.py").touch()
    (tmp_path / "snakemake/cli.py").write_text("import gc\nprint(gc.get_threshold())\ndef main(words): return 0\n")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from cpd.snakemake_cli import SWEEPS, main; main(); print(SWEEPS)"
    )
    before, after = python(code, str(tmp_path)).splitlines()
    assert before == after
