"""Cells as csv, md, tex and html. Names and notes are hostile: every format escapes them."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cpd.tables.cells import Cell

HEAD = ("Row", "Column", "Published", "Measured", "Delta", "Seeds", "n", "Note")
NONE = "—"
LEGEND = (
    "Published: the paper's number. Measured: mean over splits, then over seeds, ± standard deviation over seeds. "
    "Delta: measured - published. n: test items. Percent, except ranks. —: no value; the note says why."
)
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:1rem}.wide{overflow-x:auto}table{border-collapse:collapse}"
    "td,th{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}"
    "td:nth-child(n+3):nth-child(-n+7),th:nth-child(n+3):nth-child(-n+7){text-align:right}"
)
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "—": "---", "±": r"$\pm$", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip


class Line(NamedTuple):
    """One cell as texts, not escaped."""

    row: str
    column: str
    published: str
    measured: str
    delta: str
    seeds: str
    n: str
    note: str


def lines(cells: list[Cell]) -> tuple[list[Line], list[str]]:
    """Cells as texts, and the notes that their numbers (1), (2) ... stand for."""
    notes = list(dict.fromkeys(part for cell in cells for part in _parts(cell)))
    rows = []
    for before, cell in zip([None, *cells], cells, strict=False):
        same = before is not None and before.row == cell.row
        marks = "".join(f"({notes.index(part) + 1})" for part in _parts(cell))
        rows.append(_line(cell, row="" if same else cell.row, note=marks))
    return rows, notes


def to_csv(cells: list[Cell]) -> str:
    """One line a cell, with full notes; a text that a spreadsheet would run as a formula gets a leading quote."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([name.lower() for name in ("Table", *HEAD[:4], "Std", *HEAD[4:], "Files")])
    for cell in cells:
        numbers = [_rounded(v) for v in (cell.published, cell.measured, cell.std, delta_of(cell))]
        texts = [cell.table, cell.row, cell.column]
        ends = [
            " ".join(map(str, cell.seeds)),
            "" if cell.n is None else cell.n,
            *map(_guard, (cell.note, " ".join(cell.files))),
        ]
        writer.writerow([*map(_guard, texts), *numbers, *ends])
    return out.getvalue()


def to_md(cells: list[Cell], *, title: str) -> str:
    """A Markdown table, padded so that it reads well in a terminal, and its legend."""
    rows, notes = lines(cells)
    table = [list(HEAD)] + [[_md(text) for text in line] for line in rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    texts = [
        "| " + " | ".join(_pad(text, width, i) for i, (text, width) in enumerate(zip(row, widths, strict=True))) + " |"
        for row in table
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if _is_number(i) else "-") for i, w in enumerate(widths)) + "|"
    legend = [LEGEND, *(f"({number}) {note}" for number, note in enumerate(notes, start=1))]
    return "\n".join(
        [f"# {_md(title)}", "", texts[0], rule, *texts[1:], "", *("- " + _md(text) for text in legend), ""]
    )


def to_compact(cells: list[Cell]) -> str:
    """A Markdown table of the measured values alone: a line a row, a column a column; seeds and n below it."""
    columns = list(dict.fromkeys(cell.column for cell in cells))
    by_row: dict[str, dict[str, str]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, {})[cell.column] = _line(cell, row="", note="").measured
    head = "| | " + " | ".join(map(_md, columns)) + " |"
    body = [
        f"| {_md(row)} | " + " | ".join(found.get(column, NONE) for column in columns) + " |"
        for row, found in by_row.items()
    ]
    seeds = sorted({seed for cell in cells for seed in cell.seeds})
    items = sorted({cell.n for cell in cells if cell.n is not None})
    legend = (
        f"Mean ± standard deviation over seeds {', '.join(map(str, seeds))}; {', '.join(map(str, items))} test items."
    )
    return "\n".join([head, "|---|" + "---:|" * len(columns), *body, "", legend, ""])


def to_tex(cells: list[Cell], *, title: str) -> str:
    """A booktabs table."""
    rows, notes = lines(cells)
    body = [" & ".join(map(_tex, line)) + r" \\" for line in rows]
    head = " & ".join(HEAD) + r" \\"
    legend = [LEGEND, *(f"({number}) {note}" for number, note in enumerate(notes, start=1))]
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            r"\begin{table}",
            rf"\caption{{{_tex(title)}}}",
            r"\begin{tabular}{llrrrrrl}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_tex(text)}" for text in legend),
            r"\end{table}",
            "",
        ]
    )


def to_html(cells: list[Cell], *, title: str) -> str:
    """A whole page that holds one table."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    style = f"<style>{STYLE}</style><title>{_html(title)}</title>"
    body = fragment(cells, title=title)
    return f'<!doctype html>\n<html lang="en"><head>{head}{style}</head>\n<body>\n{body}\n</body></html>\n'


def fragment(cells: list[Cell], *, title: str) -> str:
    """One table with its legend, to stand in a page."""
    rows, notes = lines(cells)
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    body = "\n".join("<tr>" + "".join(f"<td>{_html(text)}</td>" for text in line) + "</tr>" for line in rows)
    legend = "".join(f"<li>{_html(note)}</li>" for note in notes)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return f'<h3>{_html(title)}</h3>\n<div class="wide">{table}</div>\n<p>{_html(LEGEND)}</p>\n<ol>{legend}</ol>'


def delta_of(cell: Cell) -> float | None:
    """measured - published, where both are there."""
    return None if cell.measured is None or cell.published is None else cell.measured - cell.published


def _line(cell: Cell, *, row: str, note: str) -> Line:
    delta = delta_of(cell)
    spread = f" ± {cell.std:.1f}" if cell.std is not None else ""
    return Line(
        row=row,
        column=cell.column,
        published=NONE if cell.published is None else f"{cell.published:.1f}",
        measured=NONE if cell.measured is None else f"{cell.measured:.1f}{spread}",
        delta=NONE if delta is None else f"{delta:+.1f}",
        seeds=str(len(cell.seeds)) if cell.seeds else NONE,
        n=NONE if cell.n is None else str(cell.n),
        note=note,
    )


def _parts(cell: Cell) -> list[str]:
    return [part for part in cell.note.split("; ") if part]


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 4)


def _guard(text: str) -> str:
    """Spreadsheets run what begins with = + - @ or a control character."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def _is_number(column: int) -> bool:
    return 2 <= column <= 6


def _pad(text: str, width: int, column: int) -> str:
    return text.rjust(width) if _is_number(column) else text.ljust(width)


def _md(text: str) -> str:
    """Markdown's own signs, HTML and line ends as text."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*_|{}<>#~\[\]&])", r"\\\1", flat)


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in " ".join(text.split()))


def _html(text: str) -> str:
    return html.escape(text)
