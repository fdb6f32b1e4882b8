"""docs/benchmarks.md and its plots, from the JSONs of the benchmarks: every number comes out of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import NAMES, plots
from benchmarks.harness import median
from benchmarks.record import Chart, Result, Row, Table, Target
from cpd.fileio import write_bytes, write_text

INTRO = Path(__file__).with_name("intro.md")
RATES = (500, 1500)  # clips a second of one GPU
GPU = Path(__file__).with_name("gpu.md")


def write(results: Mapping[str, Result], docs: Path) -> Path:
    """Write `{docs}/benchmarks.md` and `{docs}/benchmarks/*.svg`; returns the page.

    Raises:
        SystemExit: there are no results.
    """
    if not results:
        raise SystemExit("error: no results. Hint: `python -m benchmarks run`")
    results = {name: results[name] for name in sorted(results, key=_place)}
    parts = [INTRO.read_text().strip(), *_machines(results), *_targets(results)]
    for name, result in results.items():
        parts += _section(name, result, docs)
    parts += [GPU.read_text().strip(), *_cores(results)]
    page = docs / "benchmarks.md"
    write_text(page, "\n\n".join(parts) + "\n")
    return page


def _place(name: str) -> int:
    return NAMES.index(name) if name in NAMES else len(NAMES)


def _machines(results: Mapping[str, Result]) -> list[str]:
    """The machine, or the machines where they differ; smoke runs are told."""
    machines = {tuple(item for item in r.machine.items() if item[0] != "commit") for r in results.values()}
    lines = [", ".join(f"{key} {value}" for key, value in machine) for machine in sorted(machines)]
    lines.append(f"commit {', '.join(sorted({result.machine['commit'] for result in results.values()}))}")
    quick = [name for name, result in results.items() if result.quick]
    warning = [f"**Smoke run, these numbers mean nothing: {', '.join(quick)}.**"] if quick else []
    seconds = sum(result.wall_seconds for result in results.values())
    return [*warning, "\n".join(f"* {line}" for line in lines), f"All of it took {seconds / 60:.0f} minutes."]


def _targets(results: Mapping[str, Result]) -> list[str]:
    head = "| what | against | target | reached (lowest to highest round) | |\n|---|---|---:|---:|---|"
    rows = [_target_row(target) for result in results.values() for target in result.found.targets]
    return ["## Targets", "\n".join([head, *rows])]


def _target_row(target: Target) -> str:
    asked, reached = "none", ""
    if target.at_least is not None:
        asked = f"at least {_number(target.at_least)}{target.suffix}"
    if target.at_most is not None:
        asked = f"at most {_number(target.at_most)}{target.suffix}"
    if not target.values:
        return f"| {target.what} | {target.against} | {asked} | - | {target.note} |"
    if target.at_least is not None or target.at_most is not None:
        reached = "reached" if is_reached(target) else "**missed**"
    value, low, high = median(target.values), min(target.values), max(target.values)
    spread = f" ({_number(low)} to {_number(high)})" if len(target.values) > 1 else ""
    told = "; ".join(filter(None, (reached, target.note)))
    return f"| {target.what} | {target.against} | {asked} | {_number(value)}{target.suffix}{spread} | {told} |"


def is_reached(target: Target) -> bool:
    """Whether the median is where it should be; without a bound it is."""
    value = median(target.values)
    above = target.at_least is None or value >= target.at_least
    return above and (target.at_most is None or value <= target.at_most)


def _cores(results: Mapping[str, Result]) -> list[str]:
    """How many cores feed a GPU, by the loader's measured cost."""
    if "loader" not in results:
        return []
    head = "| loader | CPU ms a clip | " + " | ".join(f"cores for {rate} clips/s" for rate in RATES) + " |"
    lines = [head, "|---|---:|" + "---:|" * len(RATES)]
    for row in results["loader"].found.tables[0].rows:
        if row.values and row.side != "limit":
            ms = median(row.values)
            cells = [f"{ms * rate / 1000:.1f}" for rate in RATES]
            lines.append(f"| {row.name} | {_number(ms)} | {' | '.join(cells)} |")
    return ["Cores that keep one GPU busy, by the loader's cost on the processor above:", "\n".join(lines)]


def _section(name: str, result: Result, docs: Path) -> list[str]:
    found = result.found
    parts = [f"## {found.title}", f"{found.about}. (`python -m benchmarks run {name}`)"]
    for number, table in enumerate(found.tables):
        picture = f"benchmarks/{name}-{number}.svg"
        write_bytes(docs / picture, plots.bars(table))
        parts += [f"### {table.title}", "\n".join(table_lines(table)), f"![{table.title}]({picture})"]
    for number, chart in enumerate(found.charts):
        picture = f"benchmarks/{name}-growth-{number}.svg"
        write_bytes(docs / picture, plots.growth(chart))
        parts += [f"### {chart.title}", "\n".join(chart_lines(chart)), f"![{chart.title}]({picture})"]
    return [*parts, *found.notes]


def table_lines(table: Table) -> list[str]:
    """A table in Markdown: medians with the lowest and highest round, and how many times the reference's cost."""
    columns = list(dict.fromkeys(column for row in table.rows for column in row.columns))
    head = ["way", "", table.unit, "lowest to highest", "times the first", *columns]
    lines = [f"| {' | '.join(head)} |", "|---|---|" + "---:|" * (len(head) - 2)]
    reference = next(row for row in table.rows if row.name == table.reference)
    lines += [_table_row(row, reference, columns) for row in table.rows]
    return [*lines, *(["", table.note] if table.note else [])]


def _table_row(row: Row, reference: Row, columns: Sequence[str]) -> str:
    extra = [_number(row.columns[column]) if column in row.columns else "" for column in columns]
    if not row.values:
        cells = [row.name, row.side, "-", row.absent, "", *extra]
    else:
        ratio = median([a / b for a, b in zip(row.values, reference.values, strict=True)])
        spread = f"{_number(min(row.values))} to {_number(max(row.values))}"
        cells = [row.name, row.side, _number(median(row.values)), spread, _number(ratio), *extra]
    return f"| {' | '.join(cells)} |"


def chart_lines(chart: Chart) -> list[str]:
    """First and last point of every line, and its exponent."""
    lines = [f"| {chart.y} | at {chart.x} | value | at | value | exponent |", "|---|---:|---:|---:|---:|---:|"]
    for line in chart.lines:
        ends = [_number(v) for v in (line.x[0], line.y[0], line.x[-1], line.y[-1])]
        lines.append(f"| {line.name} | {' | '.join(ends)} | {line.exponent:.2f} |")
    return lines


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
