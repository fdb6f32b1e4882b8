"""What Snakemake needs before the first job: parsing the Snakefile, and planning the paper at full size."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from benchmarks.harness import Options, Way, gain, measure, median, ratios, row
from benchmarks.planning_limit import write_limit
from benchmarks.record import Findings, Row, Table, Target
from cpd.config import load_config

TITLE = "Planning: before the first job"
ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "config.demo.yaml", "workflow", "profiles", "envs", "cpd")
PLAN, BARE, LIMIT = "paper size, dry run", "the same, as Snakemake comes", "as many jobs and files, and nothing else"
PARSE, EMPTY = "the Snakefile parsed, rules listed", "an empty Snakefile parsed"
READ, SAFE = "config.yaml read and checked", "read alone, by PyYAML's own loader"
OURS = "from cpd.snakemake_cli import main; raise SystemExit(main())"
THEIRS = "from snakemake.cli import main; raise SystemExit(main())"
DRY = ("-n", "--quiet", "rules")
HEAVY = ("torch", "pandas", "stanza")
NOTEMP = re.compile(r"^notemp:.*\n", re.MULTILINE)
_TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)
_IMPORTED = re.compile(r"import time:.*\| +([\w.]+)$")


def run(options: Options) -> Findings:
    """CPU seconds of whole processes."""
    clone, bare, empty = cloned(options.work / "clone"), as_it_comes(options.work / "bare"), _empty(options.work)
    overlays = ["config.demo.yaml"] if options.quick else []
    words = ("--configfile", *overlays) if overlays else ()
    jobs = jobs_of(snakemake(clone, *DRY, *words))
    config = load_config(clone / "config.yaml", *(clone / name for name in overlays))
    limit = write_limit(options.work / "limit", config, jobs=jobs)
    assert jobs_of(snakemake(limit, *DRY)) == jobs
    ways = [
        Way(name=PLAN, side="ours", run=lambda number: snakemake(clone, *DRY, *words)),
        Way(name=BARE, side="obvious", run=lambda number: snakemake(bare, *DRY, *words, code=THEIRS)),
        Way(name=LIMIT, side="limit", run=lambda number: snakemake(limit, *DRY, "--notemp")),
        Way(name=PARSE, side="ours", run=lambda number: snakemake(clone, "--list-rules", *words)),
        Way(name=EMPTY, side="limit", run=lambda number: snakemake(empty, "--list-rules")),
    ]
    table = with_rates(measure("A process", ways, rounds=options.rounds(5), unit="CPU s", scale=1.0), jobs)
    reading = _reading(clone / "config.yaml", options)
    extra = imported(clone, "--list-rules", *words) - (alone := imported(empty, "--list-rules"))
    return Findings(
        title=TITLE,
        about=f"whole processes, python's start included; the plan has {jobs:,} jobs",
        tables=(table, reading),
        targets=(*_targets(table, jobs), _config_target(reading), _imports_target(extra, alone)),
        notes=(
            "The limit has the jobs of the data path with our inputs, outputs and logs, and as many others as ours has "
            "(benchmarks/planning_limit.py); it is planned as ours is. What Snakemake does for each of its jobs (the "
            "shell command formatted three times, every resource evaluated anew) no workflow can leave out.",
        ),
    )


def with_rates(table: Table, jobs: int) -> Table:
    """The table with jobs, and CPU seconds for 1000 of them, beside the ways that plan."""
    return msgspec.structs.replace(table, rows=tuple(_with_rate(one, jobs) for one in table.rows))


def _with_rate(one: Row, jobs: int) -> Row:
    if one.name not in (PLAN, BARE, LIMIT):
        return one
    columns = {"jobs": float(jobs), "CPU s / 1000 jobs": 1000 * median(one.values) / jobs}
    return msgspec.structs.replace(one, columns=columns)


def _targets(table: Table, jobs: int) -> tuple[Target, ...]:
    plan = row(table, PLAN).values
    parsing = _less(row(table, PARSE).values, row(table, EMPTY).values)
    return (
        _seconds("dry run at paper size", plan, at_most=10),
        gain(table, what="dry run at paper size", against=BARE, ours=PLAN, other=BARE, at_least=1.05),
        Target(what="dry run at paper size", against=f"{LIMIT} (Snakemake's own)", values=ratios(table, PLAN, LIMIT)),
        _seconds("1000 jobs planned", tuple(1000 * value / jobs for value in plan), at_most=None),
        _seconds("parsing, above an empty Snakefile", parsing, at_most=1),
    )


def _less(whole: Sequence[float], base: Sequence[float]) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(whole, base, strict=True))


def _seconds(what: str, values: tuple[float, ...], *, at_most: float | None) -> Target:
    return Target(what=what, against="CPU time", values=values, at_most=at_most, suffix=" s")


def _reading(path: Path, options: Options) -> Table:
    text = path.read_text()
    ways = [
        Way(name=READ, side="ours", run=lambda number: load_config(path)),
        Way(name=SAFE, side="obvious", run=lambda number: yaml.load(text, Loader=yaml.SafeLoader)),
    ]
    return measure("config.yaml, in every job", ways, rounds=options.rounds(9))


def _config_target(table: Table) -> Target:
    return gain(table, what=READ, against=SAFE, ours=READ, other=SAFE, at_least=1.05)


def _imports_target(extra: set[str], alone: set[str]) -> Target:
    heavy = [name for name in HEAVY if name in alone]
    return Target(
        what=f"of {', '.join(HEAVY)}: imported while parsing",
        against="an empty Snakefile",
        values=(float(sum(name in extra for name in HEAVY)),),
        at_most=0,
        suffix="",
        note=f"by Snakemake itself: {', '.join(heavy) or 'none'}",
    )


def jobs_of(printed: str) -> int:
    """The total that a dry run prints."""
    found = _TOTAL.search(printed)
    assert found is not None, printed[-2000:]
    return int(found[1])


def _empty(work: Path) -> Path:
    folder = work / "empty"
    folder.mkdir(exist_ok=True)
    (folder / "Snakefile").touch()
    return folder


def cloned(folder: Path) -> Path:
    """The workflow without anything that was made with it."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        (_copied if source.is_dir() else shutil.copy)(source, folder / part)
    return folder


def _copied(source: Path, target: Path) -> None:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


def as_it_comes(folder: Path) -> Path:
    """The plain twin: the workflow without the profile's line that only saves time."""
    profile = cloned(folder) / "profiles/default/config.yaml"
    text, found = NOTEMP.subn("", profile.read_text())
    assert found == 1, "profiles/default has no line `notemp`"
    profile.write_text(text)
    return folder


def snakemake(folder: Path, *words: str, code: str = OURS) -> str:
    """What it prints."""
    return python(code, "--cores", "2", *words, folder=folder)


def python(code: str, *words: str, folder: Path = ROOT, flags: tuple[str, ...] = ()) -> str:
    """Run a process; all that it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def imported(folder: Path, *words: str) -> set[str]:
    """Modules that parsing imports."""
    lines = python(OURS, "--cores", "2", *words, folder=folder, flags=("-X", "importtime")).splitlines()
    return {found[1] for line in lines if (found := _IMPORTED.match(line))}
