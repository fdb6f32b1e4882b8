"""Cells as csv, md, tex and html. Names and notes are hostile: every format escapes them."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING

from cpd.tables.layout import HEAD, Grid, delta_of, lay_out, wide

if TYPE_CHECKING:
    from cpd.tables.cells import Cell

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:1rem}.wide{overflow-x:auto}table{border-collapse:collapse}"
    "td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}"
    "td.n,th.n{text-align:right}"
)
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "—": "---", "±": r"$\pm$", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip


def to_csv(cells: list[Cell]) -> str:
    """One line a cell, with full notes; a text that a spreadsheet would run as a formula gets a leading quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name.lower() for name in ("Table", *HEAD[:4], "Std", *HEAD[4:], "Files", "Command", "Std_draws")])
    for cell in cells:
        numbers = [_rounded(v) for v in (cell.published, cell.measured, cell.std, delta_of(cell))]
        texts = [cell.table, cell.row, cell.column]
        ends = [
            " ".join(map(str, cell.seeds)),
            "" if cell.n is None else cell.n,
            *map(_guard, (cell.note, " ".join(cell.files), cell.command)),
            _rounded(cell.std_draws),
        ]
        writer.writerow([*map(_guard, texts), *numbers, *ends])
    return out.getvalue()


def to_md(cells: list[Cell], *, title: str, note: str = "") -> str:
    """A Markdown table under its title, with the table's own note, its legend and the cells' notes."""
    grid = lay_out(cells)
    notes = [f"({number}) {note}" for number, note in enumerate(grid.notes, start=1)]
    legend = [f"- {_md(text)}" for text in filter(None, (note, grid.legend, *notes))]
    legend += [f"- {_md(rows)}: {_md_code(command)}" for rows, command in grid.commands]
    return "\n".join([f"# {_md(title)}", "", _md_grid(grid), "", *legend, ""])


def to_compact(cells: list[Cell]) -> str:
    """The measured values alone, to stand in a page."""
    grid = wide(cells)
    return f"{_md_grid(grid)}\n\n{_md(grid.legend)}\n"


def _md_grid(grid: Grid) -> str:
    """Padded so that it reads well in a terminal."""
    table = [[_md(text) for text in row] for row in (grid.head, *grid.rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(grid.head))]
    texts = [
        "| " + " | ".join(_pad(row[i], width, right=grid.is_number(i)) for i, width in enumerate(widths)) + " |"
        for row in table
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if grid.is_number(i) else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def to_tex(cells: list[Cell], *, title: str, note: str = "") -> str:
    """A booktabs table."""
    grid = lay_out(cells)
    columns = "".join("r" if grid.is_number(i) else "l" for i in range(len(grid.head)))
    notes = [f"({number}) {note}" for number, note in enumerate(grid.notes, start=1)]
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{_tex(title)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _tex_row(grid.head),
            r"\midrule",
            *map(_tex_row, grid.rows),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_tex(text)}" for text in filter(None, (note, grid.legend, *notes))),
            *(rf"\par\footnotesize {_tex(rows)}: \texttt{{{_tex(command)}}}" for rows, command in grid.commands),
            r"\end{table}",
            "",
        ]
    )


def to_html(cells: list[Cell], *, title: str, note: str = "") -> str:
    """A whole page that holds one table."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    style = f"<style>{STYLE}</style><title>{_html(title)}</title>"
    body = _fragment(cells, title=title, note=note)
    return f'<!doctype html>\n<html lang="en"><head>{head}{style}</head>\n<body>\n{body}\n</body></html>\n'


def _fragment(cells: list[Cell], *, title: str, note: str) -> str:
    """The table under its title, with its notes; cells of class `n` are numbers."""
    grid = lay_out(cells)
    body = "\n".join(_html_row(grid, row, tag="td") for row in grid.rows)
    notes = "".join(f"<li>{_html(note)}</li>" for note in grid.notes)
    table = f"<table>\n<thead>{_html_row(grid, grid.head, tag='th')}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    made_by = "".join(f"<li>{_html(rows)}: <code>{_html(command)}</code></li>" for rows, command in grid.commands)
    above = f"<p>{_html(note)}</p>\n" if note else ""
    below = f"{above}<p>{_html(grid.legend)}</p>\n<ol>{notes}</ol>\n<ul>{made_by}</ul>"
    return f'<h3>{_html(title)}</h3>\n<div class="wide">{table}</div>\n{below}'


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)


def _guard(text: str) -> str:
    """Spreadsheets run what begins with = + - @ or a control character."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _pad(text: str, width: int, *, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _md(text: str) -> str:
    """Markdown's own signs, HTML and line ends as text."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*_|{}<>#~\[\]&])", r"\\\1", flat)


def _md_code(text: str) -> str:
    """A code span, in which nothing is escaped; a text with backticks is plain instead."""
    flat = " ".join(text.split())
    return _md(flat) if "`" in flat else f"`{flat}`"


def _tex_row(texts: list[str]) -> str:
    return " & ".join(map(_tex, texts)) + r" \\"


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))


def _html_row(grid: Grid, texts: list[str], *, tag: str) -> str:
    cells = (
        f"<{tag}{' class=n' if grid.is_number(column) else ''}>{_html(text)}</{tag}>"
        for column, text in enumerate(texts)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _html(text: str) -> str:
    return html.escape(text)
