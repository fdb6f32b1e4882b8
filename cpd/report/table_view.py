"""The tables as the page shows them: a row a method, the paper's number beside each measured one, and its origin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpd import tables
from cpd.errors import CpdError
from cpd.evaluate.result import Result, read_result
from cpd.paper import NOT_PUBLISHED
from cpd.report.provenance import Origin, origin
from cpd.tables.cells import NOT_COMPARABLE
from cpd.tables.layout import spread

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.tables import Cell

DASH = "—"
COMPLETE = "full"  # the corpus whose numbers may be set against the paper's


@dataclass(frozen=True)
class CellView:
    """One measured cell and the published number beside it.

    Attributes:
        id: of its popover.
        column: its name.
        text: what was measured, or a dash.
        value: the same as a number.
        published: the paper's number, or a dash.
        delta: measured - published where the corpus is the paper's; else "".
        why: reasons of a dash, and other notes, but those of the whole row.
        origins: the result files behind it.
        summary: all of that in words, for the tooltip.
    """

    id: str
    column: str
    text: str
    value: float | None
    published: str
    delta: str
    why: list[str]
    origins: list[Origin]
    summary: str


@dataclass(frozen=True)
class RowView:
    """One row; `note` holds of all its cells."""

    name: str
    note: str
    cells: list[CellView]


@dataclass(frozen=True)
class TableView:
    """One table; `problem` says why there are no rows.

    Attributes:
        name: in the config; `title` likewise.
        title: see `name`.
        columns: their names, and whether any cell of it has a published number.
        rows: see `RowView`.
        seeds: of the cells.
        draws: whether a cell's ± is over draws of classes.
        is_comparable: whether the corpus is the paper's.
        note: of the table.
        problem: why there are no rows.
    """

    name: str
    title: str
    columns: list[tuple[str, bool]]
    rows: list[RowView]
    seeds: list[int]
    draws: bool
    is_comparable: bool
    note: str
    problem: str = ""

    @property
    def has_gaps(self) -> bool:
        """Whether a dash stands under a published column."""
        published = [has for _, has in self.columns]
        return any(
            cell.published == DASH for row in self.rows for cell, has in zip(row.cells, published, strict=True) if has
        )

    @property
    def heading(self) -> str:
        """`Table 1. TITLE` of `table1`; of other names the title."""
        number = self.name.removeprefix("table")
        return f"Table {number}. {self.title}" if number.isdecimal() else self.title


def read_tables(config: Config) -> dict[str, list[Cell] | CpdError]:
    """Cells of every table, or why there are none."""
    found: dict[str, list[Cell] | CpdError] = {}
    for name in config.tables:
        try:
            found[name] = tables.build(config, name)
        except CpdError as error:
            found[name] = error
    return found


def read_results(found: dict[str, list[Cell] | CpdError]) -> dict[str, Result]:
    """Every result file behind the cells, by path.

    Raises:
        CpdError: one of them is damaged.
    """
    cells = [cell for value in found.values() if not isinstance(value, CpdError) for cell in value]
    return {path: read_result(path) for path in sorted({path for cell in cells for path in cell.files})}


def view(config: Config, name: str, found: list[Cell] | CpdError, results: dict[str, Result]) -> TableView:
    """One table."""
    spec, is_comparable = config.tables[name], config.corpus == COMPLETE
    if isinstance(found, CpdError):
        return TableView(name, spec.title, [], [], [], False, is_comparable, spec.note, problem=str(found))
    names = list(dict.fromkeys(cell.column for cell in found))
    columns = [(column, any(c.published is not None for c in found if c.column == column)) for column in names]
    numbered = list(enumerate(found))
    rows = [
        _row(config, row, [(f"{name}-{i}", cell) for i, cell in numbered if cell.row == row], results)
        for row in dict.fromkeys(cell.row for cell in found)
    ]
    seeds = sorted({seed for cell in found for seed in cell.seeds})
    draws = any(cell.std is None and cell.std_draws is not None for cell in found)
    return TableView(name, spec.title, columns, rows, seeds, draws, is_comparable, spec.note)


def measured(config: Config, found: dict[str, list[Cell] | CpdError]) -> tuple[int, int]:
    """How many cells hold a value, of those that are to be measured; those of a table that fails hold none."""
    cells = [cell for value in found.values() if not isinstance(value, CpdError) for cell in value]
    rows = [(table, row) for table in config.tables.values() for row in table.rows if row.run]
    wanted = sum(not row.columns or column.name in row.columns for table, row in rows for column in table.columns)
    return sum(cell.measured is not None for cell in cells), wanted


def _row(config: Config, name: str, cells: list[tuple[str, Cell]], results: dict[str, Result]) -> RowView:
    reasons = [_reasons(cell) for _, cell in cells]
    shared = [reason for reason in reasons[0] if all(reason in other for other in reasons)]
    return RowView(name, "; ".join(shared), [_cell(config, *pair, results, shared=shared) for pair in cells])


def _cell(config: Config, identity: str, cell: Cell, results: dict[str, Result], *, shared: list[str]) -> CellView:
    text = DASH if cell.measured is None else f"{cell.measured:.1f}{spread(cell)}"
    delta = ""
    if config.corpus == COMPLETE and cell.measured is not None and cell.published is not None:
        delta = f"{cell.measured - cell.published:+.1f}"
    origins = [origin(config, path, results[path]) for path in cell.files]
    why = [reason for reason in _reasons(cell) if reason not in shared]
    head = f"{cell.row}, {cell.column}: {text}"
    return CellView(
        id=identity,
        column=cell.column,
        text=text,
        value=cell.measured,
        published=DASH if cell.published is None else f"{cell.published:.1f}",
        delta=delta,
        why=why,
        origins=origins,
        summary="\n".join([head, *why, *(found.line() for found in origins)]),
    )


def _reasons(cell: Cell) -> list[str]:
    """The notes of a cell but those that the table's caption gives."""
    said = (NOT_PUBLISHED, NOT_COMPARABLE)
    return [_short(note) for note in cell.note.split("; ") if note and note not in said]


def _short(note: str) -> str:
    """Of many missing files, the first."""
    if not note.startswith("missing: ") or ", " not in note:
        return note
    first, *rest = note.removeprefix("missing: ").split(", ")
    return f"missing: {Path(first)} and {len(rest)} more"
