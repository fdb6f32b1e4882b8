"""What Snakemake needs before the first job: parsing the Snakefile, and planning the paper at full size."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import Options, Way, measure, row
from benchmarks.record import Findings, Target

TITLE = "Planning: before the first job"
ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "config.demo.yaml", "workflow", "profiles", "envs", "cpd")
PARSE, PLAN = "the Snakefile parsed, rules listed", "paper size, dry run"
EMPTY = "an empty Snakefile parsed"
DRY = ("-n", "--quiet", "rules")
HEAVY = ("torch", "pandas", "stanza")
_TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)
_IMPORTED = re.compile(r"import time:.*\| +([\w.]+)$")


def run(options: Options) -> Findings:
    """CPU seconds of whole processes."""
    clone = cloned(options.work / "clone")
    config = ("--configfile", "config.demo.yaml") if options.quick else ()
    plans: list[str] = []
    ways = [
        Way(name=PARSE, side="ours", run=lambda number: snakemake(clone, "--list-rules", *config)),
        Way(name=PLAN, side="ours", run=lambda number: plans.append(snakemake(clone, *DRY, *config))),
        Way(name=EMPTY, side="limit", run=lambda number: snakemake(_empty(options.work), "--list-rules")),
    ]
    table = measure("A process", ways, rounds=options.rounds(3), unit="CPU s", scale=1.0)
    own = tuple(a - b for a, b in zip(row(table, PARSE).values, row(table, EMPTY).values, strict=True))
    found = imported(clone, "--list-rules", *config) - imported(_empty(options.work), "--list-rules")
    return Findings(
        title=TITLE,
        about=f"whole processes, python's start included; the plan has {_jobs(plans[0]):,} jobs",
        tables=(table,),
        targets=(
            _seconds("dry run at paper size", row(table, PLAN).values, at_most=10),
            _seconds("parsing, above an empty Snakefile", own, at_most=1),
            Target(
                what=f"of {', '.join(HEAVY)}: imported while parsing",
                against="an empty Snakefile",
                values=(float(sum(name in found for name in HEAVY)),),
                at_most=0,
                suffix="",
            ),
        ),
    )


def _jobs(printed: str) -> int:
    found = _TOTAL.search(printed)
    assert found is not None, printed[-2000:]
    return int(found[1])


def _empty(work: Path) -> Path:
    folder = work / "empty"
    folder.mkdir(exist_ok=True)
    (folder / "Snakefile").touch()
    return folder


def _seconds(what: str, values: tuple[float, ...], *, at_most: float) -> Target:
    return Target(what=what, against="CPU time", values=values, at_most=at_most, suffix=" s")


def cloned(folder: Path) -> Path:
    """The workflow without anything that was made with it."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    return folder


def snakemake(folder: Path, *words: str) -> str:
    """What it prints."""
    return python("from cpd.snakemake_cli import main; raise SystemExit(main())", "--cores", "2", *words, folder=folder)


def python(code: str, *words: str, folder: Path = ROOT, flags: tuple[str, ...] = ()) -> str:
    """Run a process; all that it prints."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def imported(folder: Path, *words: str) -> set[str]:
    """Modules that parsing imports."""
    code = "from cpd.snakemake_cli import main; raise SystemExit(main())"
    lines = python(code, "--cores", "2", *words, folder=folder, flags=("-X", "importtime")).splitlines()
    return {found[1] for line in lines if (found := _IMPORTED.match(line))}
