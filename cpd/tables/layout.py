"""Cells laid out as a grid of texts: one line a cell, or one line a row where nothing is published to set beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cpd.paper import NOT_PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpd.tables.cells import Cell

HEAD = ("Row", "Column", "Published", "Measured", "Delta", "Seeds", "n", "Note")
NONE = "—"
MISSING = "missing"
LONG = (
    "Published: the paper's number. Measured: mean over splits, then over seeds, ± standard deviation over seeds "
    "(of one seed, over draws of classes where a note says so). Delta: measured - published. n: test items. "
    "Percent, except ranks. missing: not made yet. —: no value; the note says why."
)
WIDE = "Measured: mean over splits, then over seeds, ± standard deviation over seeds. Percent, except ranks."


class Grid(NamedTuple):
    """Texts, not escaped.

    Attributes:
        head: of every column.
        rows: as long as the head.
        left: how many columns at the left are words; those behind them are numbers.
        legend: what the columns are.
        notes: what (1), (2) ... stand for.
        commands: rows that one command makes, and the command.
    """

    head: list[str]
    rows: list[list[str]]
    left: int
    legend: str
    notes: list[str]
    commands: list[tuple[str, str]]

    def is_number(self, column: int) -> bool:
        """Whether a column is set to the right."""
        return column >= self.left and self.head[column] != "Note"


def lay_out(cells: list[Cell]) -> Grid:
    """The grid that reads best: `long`, or `wide` where several columns have no published value and nothing to note."""
    several = len({cell.column for cell in cells}) > 1
    plain = all(cell.published is None and cell.note in ("", NOT_PUBLISHED) for cell in cells)
    return wide(cells) if several and plain else long(cells)


def long(cells: list[Cell]) -> Grid:
    """One line a cell, everything beside it."""
    notes = list(dict.fromkeys(part for cell in cells for part in _parts(cell)))
    rows = []
    for before, cell in zip([None, *cells], cells, strict=False):
        same = before is not None and before.row == cell.row
        marks = "".join(f"({notes.index(part) + 1})" for part in _parts(cell))
        rows.append(["" if same else cell.row, cell.column, *_numbers(cell), marks])
    return Grid(list(HEAD), rows, 2, LONG, notes, commands(cells))


def wide(cells: list[Cell]) -> Grid:
    """One line a row, one column a column; only what was measured. Seeds, and n by column, stand in the legend."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    by_row: dict[str, dict[str, str]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, {})[cell.column] = measured(cell)
    rows = [[row, *(found.get(column, NONE) for column in columns)] for row, found in by_row.items()]
    counts = f"{_seeds(cells)} {_items(cells)}{_draws(cells)}"
    published = " The paper's text has no such numbers." if all(cell.note == NOT_PUBLISHED for cell in cells) else ""
    return Grid(["Row", *columns], rows, 1, f"{WIDE} {counts}{published}", [], commands(cells))


def commands(cells: list[Cell]) -> list[tuple[str, str]]:
    """(rows, command) for every command, in the order of the table; rows of one run share theirs."""
    rows: dict[str, list[str]] = {}
    for cell in cells:
        if cell.command and cell.row not in rows.setdefault(cell.command, []):
            rows[cell.command].append(cell.row)
    return [(", ".join(names), command) for command, names in rows.items()]


def measured(cell: Cell) -> str:
    """`50.0 ± 1.2`; "missing" where a file is; a dash where nothing is to be measured."""
    if cell.measured is None and any(part.startswith(MISSING) for part in _parts(cell)):
        return MISSING
    return NONE if cell.measured is None else f"{cell.measured:.1f}{spread(cell)}"


def spread(cell: Cell) -> str:
    """` ± 1.2`, over seeds; of one seed over draws of classes; "" where there is neither."""
    std = cell.std_draws if cell.std is None else cell.std
    return "" if std is None else f" ± {std:.1f}"


def delta_of(cell: Cell) -> float | None:
    """measured - published, where both are there."""
    return None if cell.measured is None or cell.published is None else cell.measured - cell.published


def _numbers(cell: Cell) -> list[str]:
    delta = delta_of(cell)
    return [
        NONE if cell.published is None else f"{cell.published:.1f}",
        measured(cell),
        NONE if delta is None else f"{delta:+.1f}",
        str(len(cell.seeds)) if cell.seeds else NONE,
        NONE if cell.n is None else str(cell.n),
    ]


def _seeds(cells: list[Cell]) -> str:
    """`Seeds: 3 (0, 1, 2).`: how many, and which."""
    seeds = sorted({seed for cell in cells for seed in cell.seeds})
    return f"Seeds: {len(seeds)} ({_listed(seeds)})." if seeds else "Seeds: none yet."


def _items(cells: list[Cell]) -> str:
    """`Test items: 120 (A, B); 48 (C).`: by column, or one number where all have the same."""
    of_column: dict[str, set[int]] = {}
    for cell in cells:
        if cell.n is not None:
            of_column.setdefault(cell.column, set()).add(cell.n)
    columns: dict[str, list[str]] = {}
    for column, numbers in of_column.items():
        columns.setdefault(_listed(sorted(numbers)), []).append(column)
    if len(columns) < 2:
        return f"Test items: {next(iter(columns), NONE)}."
    return f"Test items: {'; '.join(f'{items} ({_listed(names)})' for items, names in columns.items())}."


def _draws(cells: list[Cell]) -> str:
    """What ± and test items are of where classes are drawn: a wide table has no notes."""
    columns = list(dict.fromkeys(cell.column for cell in cells if cell.std_draws is not None))
    told = "test items are those of a draw; with one seed ± is over the draws"
    return f" Of drawn classes ({_listed(columns)}): {told}." if columns else ""


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _parts(cell: Cell) -> list[str]:
    return [part for part in cell.note.split("; ") if part]
