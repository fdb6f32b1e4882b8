"""The cells of a table: what was measured, from which files, beside what is published."""

from __future__ import annotations

import difflib
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.config import Column, Config, Row, Table
from cpd.errors import CpdError
from cpd.evaluate.result import Result, config_digest, leaves, model_path, read_result, result_path, run_name
from cpd.paper import NOT_PUBLISHED, published
from cpd.tables.command import command
from cpd.tables.draws import Draws, draws_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_COMPARABLE = "published on the full-size data: the delta is not comparable with this corpus"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell.

    Attributes:
        table: name of the table; `row` and `column` its names in the config.
        row: see `table`.
        column: see `table`.
        published: the paper's number, or None.
        measured: mean over splits, then over seeds; None if any file is missing.
        std: sample standard deviation over seeds; None for fewer than two.
        n: test items, over all splits of one seed; where classes are drawn, of a draw on average.
        seeds: seeds averaged.
        note: why something is missing, or cannot be compared.
        files: result files that exist.
        command: what makes the row; "" for rows that are not run.
        std_draws: where classes are drawn, sample standard deviation over the draws; None for fewer than two.
    """

    table: str
    row: str
    column: str
    published: float | None
    measured: float | None
    std: float | None
    n: int | None
    seeds: list[int]
    note: str
    files: list[str]
    command: str
    std_draws: float | None = None


class Found(msgspec.Struct, frozen=True):
    """The results behind a cell: by seed, then split; and the paths that are not there."""

    by_seed: dict[int, list[Result]]
    files: list[str]
    missing: list[str]


def inputs(config: Config, table: str) -> list[Path]:
    """Result files that a table needs, for every seed; external rows need none."""
    spec = find_table(config, table)
    return list(dict.fromkeys(path for row in spec.rows for path in row_inputs(config, spec, row)))


def row_inputs(config: Config, table: Table, row: Row) -> list[Path]:
    """Result files that a row of a table needs, for every seed."""
    paths = [
        path
        for seed in config.seeds
        for column in table.columns
        if is_measured(row, column)
        for path in _paths(config, row, column, seed)
    ]
    return list(dict.fromkeys(paths))


def build(config: Config, table: str, *, configfiles: Sequence[str] = ()) -> list[Cell]:
    """All cells of a table, row by row.

    Args:
        config: the merged config.
        table: name of the table.
        configfiles: what it was merged from, for the commands.

    Raises:
        CpdError: there is no such table; a result was measured with other settings than the config's, or the results
            of one run come from different weights (the files are named).
    """
    spec = find_table(config, table)
    weights: dict[str, tuple[str, str]] = {}
    commands = {row.name: command(row_inputs(config, spec, row), configfiles) for row in spec.rows}
    return [
        _cell(config, table, row, column, weights, commands[row.name]) for row in spec.rows for column in spec.columns
    ]


def check(config: Config) -> list[str]:
    """Problems: measurable cells without a value, and results that cannot be used. Empty if all is well."""
    problems: list[str] = []
    for name, spec in config.tables.items():
        try:
            cells = build(config, name)
        except CpdError as error:
            problems.append(f"{name}: {error.message}")
            continue
        measured = {(r.name, c.name) for r in spec.rows for c in spec.columns if is_measured(r, c)}
        bad = [cell for cell in cells if (cell.row, cell.column) in measured and not _is_answered(cell)]
        problems += [f"{name}: {cell.row} / {cell.column}: {cell.note}" for cell in bad]
    return problems + [problem for name in config.tables for problem in check_names(config, name)]


def check_names(config: Config, table: str) -> list[str]:
    """Problems of a table's own names: datasets and columns that do not exist, names that come twice."""
    spec = find_table(config, table)
    names = [column.name for column in spec.columns]
    problems = [f"{name!r} comes twice" for name in _twice(names) + _twice([row.name for row in spec.rows])]
    problems += [
        f"column {c.name!r}: no dataset {c.dataset!r}" for c in spec.columns if c.dataset not in config.datasets
    ]
    for row in spec.rows:
        problems += [f"row {row.name!r}: no column {name!r}" for name in row.columns if name not in names]
        if row.run and not row.feature and any("{feature}" in (row.metric or c.metric) for c in _columns(spec, row)):
            problems.append(f"row {row.name!r} needs `feature`")
    return [f"tables.{table}: {problem}" for problem in problems]


def error_of(problems: list[str]) -> CpdError:
    """One error that lists problems."""
    return CpdError(
        f"{len(problems)} problems\n" + "\n".join(f"  {p}" for p in problems), hint="mend them in the config"
    )


def find_table(config: Config, table: str) -> Table:
    """A table of the config.

    Raises:
        CpdError: there is none of this name.
    """
    if table not in config.tables:
        close = difflib.get_close_matches(table, config.tables, n=1) or sorted(config.tables)
        raise CpdError(f"tables has no {table!r}", hint=f"known: {', '.join(close)}")
    return config.tables[table]


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def is_measured(row: Row, column: Column) -> bool:
    """Whether the config asks for this cell to be measured."""
    return row.run is not None and (not row.columns or column.name in row.columns)


def _is_answered(cell: Cell) -> bool:
    """A value whose files are there, or the reason why this dataset cannot have one."""
    there = bool(cell.files) and all(Path(file).is_file() for file in cell.files)
    return there and (cell.measured is not None or "too few classes" in cell.note)


def _paths(config: Config, row: Row, column: Column, seed: int) -> list[Path]:
    run = run_name(str(row.run), seed)
    splits = column.splits or ("test",)
    protocol = row.protocol or column.protocol
    return [result_path(config, run, protocol=protocol, dataset=column.dataset, split=s) for s in splits]


def _columns(table: Table, row: Row) -> list[Column]:
    return [column for column in table.columns if is_measured(row, column)]


def _cell(
    config: Config, table: str, row: Row, column: Column, weights: dict[str, tuple[str, str]], made_by: str
) -> Cell:
    number = published(table, row.name, column.name)
    notes = [] if number is not None else [NOT_PUBLISHED]
    if number is not None and config.corpus != "full":
        notes.append(NOT_COMPARABLE)
    found = Found({}, [], [])
    if row.run is None:
        notes.append(f"not run: needs {row.external}")
    elif not is_measured(row, column):
        notes.append("not measured for this row")
    else:
        found = _find(config, row, column, weights)
    metric = (row.metric or column.metric).replace("{feature}", row.feature)
    values, reasons = _values(found, metric)
    draws = draws_of(found.by_seed, metric) if values else None
    if draws is not None:
        reasons = [draws.note(seeds=len(values))]
    return Cell(
        table=table,
        row=row.name,
        column=column.name,
        published=number,
        measured=statistics.fmean(values) if values else None,
        std=statistics.stdev(values) if len(values) > 1 else None,
        n=_items(found, draws) if values else None,
        seeds=list(found.by_seed) if values else [],
        note="; ".join(notes + reasons),
        files=found.files,
        command=made_by,
        std_draws=draws.std if draws is not None else None,
    )


def _items(found: Found, draws: Draws | None) -> int | None:
    """Test items over all splits of the first seed, or those of a draw of classes."""
    return sum(result.n for result in next(iter(found.by_seed.values()))) if draws is None else draws.n


def _find(config: Config, row: Row, column: Column, weights: dict[str, tuple[str, str]]) -> Found:
    """Read the results behind a cell."""
    by_seed: dict[int, list[Result]] = {}
    files, missing = [], []
    for seed in config.seeds:
        for path in _paths(config, row, column, seed):
            if not path.is_file():
                missing.append(str(path))
                continue
            result = read_result(path)
            _require_current(config, path, result, weights)
            by_seed.setdefault(seed, []).append(result)
            files.append(str(path))
    return Found(by_seed, files, missing)


def _require_current(config: Config, path: Path, result: Result, weights: dict[str, tuple[str, str]]) -> None:
    """A result must be of the config's settings, and all results of a run of the same weights."""
    if result.config_digest != config_digest(config, result.run, protocol=result.protocol, dataset=result.dataset):
        raise CpdError(f"{path}: measured with other settings than the config's", hint="run its protocol again")
    model = str(model_path(config, result.run))
    sha256, other = weights.setdefault(result.run, (result.inputs.get(model, ""), str(path)))
    if not sha256 or result.inputs.get(model) != sha256:
        raise CpdError(f"{path}: {model} was not the same as for {other}", hint="run both protocols again")


def _values(found: Found, metric: str) -> tuple[list[float], list[str]]:
    """One value a seed, and why there is none: a file is missing, or it has no such metric."""
    if found.missing:
        return [], [f"missing: {', '.join(found.missing)}"]
    values = []
    for results in found.by_seed.values():
        numbers = [leaves(result.values).get(metric) for result in results]
        if None in numbers:
            return [], [_why_absent(results[numbers.index(None)], metric)]
        values.append(statistics.fmean(number for number in numbers if number is not None))
    return values, []


def _why_absent(result: Result, metric: str) -> str:
    size, classes = metric.partition(".")[0], result.values.get("classes")
    if result.protocol == "zeroshot" and size.isdecimal() and classes is not None and int(size) >= classes:
        return f"too few classes: {result.dataset} has {classes:g}"
    return f"no {metric} in {result.run}'s {result.protocol} on {result.dataset}-{result.split}"
