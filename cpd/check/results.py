"""Every check over every result and table of a config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd import tables
from cpd.check.counts import problems_of_counts, samples
from cpd.check.provenance import Digests, problems_of_inputs, problems_of_result, problems_of_run
from cpd.check.values import problems_of_values
from cpd.errors import CpdError
from cpd.evaluate.result import read_result
from cpd.fileio import read_json

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.evaluate.result import Result
    from cpd.tables import Cell


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, and what is wrong with it.

    Attributes:
        tables: their number; `cells` the measured ones of them.
        cells: see `tables`.
        results: result files behind them.
        runs: trainings behind those.
        problems: each names a file, or a cell.
    """

    tables: int
    cells: int
    results: int
    runs: int
    problems: list[str]


def check(config: Config) -> Checked:
    """Hold tables, results and runs against the config and against each other."""
    samples.cache_clear()
    results, problems = _read(config)
    digests = Digests()
    for path, result in results.items():
        own = problems_of_result(config, path, result, digests) + problems_of_values(result)
        problems += [f"{path}: {problem}" for problem in own + problems_of_counts(config, result)]
    runs = list(dict.fromkeys(result.run for result in results.values()))
    problems += problems_of_inputs(results)
    problems += [problem for run in runs for problem in problems_of_run(config, run)]
    problems += tables.check(config)
    cells = [cell for name in config.tables for cell in _cells(config, name)]
    problems += [problem for cell in cells for problem in problems_of_cell(config, cell)]
    problems += [problem for name in config.tables for problem in problems_of_table(config, name)]
    measured = sum(cell.measured is not None for cell in cells)
    return Checked(
        tables=len(config.tables),
        cells=measured,
        results=len(results),
        runs=len(runs),
        problems=list(dict.fromkeys(problems)),
    )


def problems_of_cell(config: Config, cell: Cell) -> list[str]:
    """A measured cell has every seed, and files that it can be traced to."""
    if cell.measured is None:
        return []
    where = f"{cell.table}: {cell.row} / {cell.column}"
    found = []
    if cell.seeds != list(config.seeds):
        found.append(f"{where}: measured over seeds {cell.seeds}, the config has {list(config.seeds)}")
    if not cell.files or not cell.command:
        found.append(f"{where}: no provenance")
    return found


def problems_of_table(config: Config, name: str) -> list[str]:
    """A table that was built says what the results say now. The command alone may name other config files."""
    path = Path(config.results) / "tables" / f"{name}.json"
    if not path.is_file():
        return [f"{path} is not there"]
    try:
        written = msgspec.convert(read_json(path), list[tables.Cell])
    except msgspec.ValidationError as error:
        return [f"{path}: {error}"]
    if [_bare(cell) for cell in written] != [_bare(cell) for cell in _cells(config, name)]:
        return [f"{path} is not what the results say"]
    return []


def _bare(cell: Cell) -> Cell:
    return msgspec.structs.replace(cell, command="")


def _cells(config: Config, name: str) -> list[Cell]:
    """Cells of a table; none where it cannot be built, which `tables.check` tells."""
    try:
        return tables.build(config, name)
    except CpdError:
        return []


def _read(config: Config) -> tuple[dict[Path, Result], list[str]]:
    """Every result that a table wants and that is there; and those that cannot be read."""
    found, problems = {}, []
    for path in dict.fromkeys(path for name in config.tables for path in tables.inputs(config, name)):
        try:
            if path.is_file():
                found[path] = read_result(path)
        except CpdError as error:
            problems.append(error.message)
    return found, problems
