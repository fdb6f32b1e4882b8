"""Hostile names stay text in every format."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from cpd.paper import NOT_PUBLISHED
from cpd.tables import Cell, layout, render

NAMES = [
    "=cmd()|' /C calc'!A0",
    "+1",
    "@SUM(A1)",
    "-2+3",
    "\tx",
    "<script>alert(1)</script>",
    "a | b \\ c",
    r"$\frac{1}{2}$ 50 % & _x_ #1 ~^",
    "日本 🎉",
    "line\nend",
    "**bold** [link](http://x) `code`",
    '"quote", comma',
]


def make(row: str, *, column: str = "top-1", measured: float | None = 50.0, note: str = "") -> Cell:
    found: dict[str, Any] = {
        "measured": measured,
        "std": None,
        "n": 3,
        "seeds": [0],
        "files": ["f.json"],
        "command": f"make {row}",
    }
    return Cell(table="t", row=row, column=column, published=49.0, note=note, **found)


@pytest.mark.parametrize("name", NAMES)
def test_csv_runs_nothing_and_loses_nothing(name: str) -> None:
    head, row = csv.reader(io.StringIO(render.to_csv([make(name, note=name)])))
    assert row[head.index("row")].removeprefix("'") == name
    texts = [row[head.index(key)] for key in ("table", "row", "column", "note", "files", "command")]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert float(row[head.index("delta")]) == 1.0


class Texts(HTMLParser):
    """Tags and cell texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


@pytest.mark.parametrize("name", NAMES)
def test_html_shows_the_name_and_adds_no_tag(name: str) -> None:
    page, plain = (Texts(render.to_html([make(n, note=n)], title=n)) for n in (name, "name"))
    assert name in page.texts
    assert page.tags == plain.tags


@pytest.mark.parametrize("name", NAMES)
def test_markdown_rows_keep_their_columns(name: str) -> None:
    rows = [line for line in render.to_md([make(name, note=name)], title=name).splitlines() if line.startswith("|")]
    counts = [len(re.sub(r"\\.", "", row).split("|")) for row in rows]
    assert counts == [len(layout.HEAD) + 2] * 3
    assert len({len(row) for row in rows}) == 1, "padded"
    assert "<script" not in re.sub(r"\\.", "", "".join(rows))


@pytest.mark.parametrize("name", NAMES)
def test_tex_has_no_bare_special_sign(name: str) -> None:
    tex = render.to_tex([make(name)], title="t")
    row = next(line for line in tex.splitlines() if line.endswith(r"\\") and "49.0" in line)
    bare = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}", "", row.removesuffix(r"\\"))
    assert bare.count("&") == len(layout.HEAD) - 1
    assert not set("$%#_{}~^") & set(bare)


def test_lines_show_delta_spread_and_notes_once() -> None:
    cells = [make("a", measured=50.25, note="x; y"), make("a", column="top-5", measured=None, note="y"), make("b")]
    grid = layout.lay_out(cells)
    assert grid.notes == ["x", "y"]
    assert [row[0] for row in grid.rows] == ["a", "", "b"]
    assert [row[-1] for row in grid.rows] == ["(1)(2)", "(2)", ""]
    assert (grid.rows[0][4], grid.rows[1][3], grid.rows[1][4]) == ("+1.2", "—", "—")


def test_tables_name_their_legend() -> None:
    for text in (render.to_md([make("a")], title="T"), render.to_html([make("a")], title="T")):
        assert "Measured: mean over splits" in text
    assert r"\toprule" in render.to_tex([make("a")], title="T")


def test_compact_has_a_line_a_row_and_a_column_a_column() -> None:
    cells = [make("a|b", column="x"), make("a|b", column="y", measured=None), make("c", column="y", measured=7.25)]
    lines = render.to_compact(cells).splitlines()
    assert [text.strip() for text in lines[0].split("|")] == ["", "Row", "x", "y", ""]
    assert lines[2].split() == ["|", r"a\|b", "|", "50.0", "|", "—", "|"]
    assert lines[3].split() == ["|", "c", "|", "—", "|", "7.2", "|"]
    assert "Seeds: 1 (0). Test items: 3." in lines[-1]


def test_wide_tables_tell_the_test_items_of_each_column() -> None:
    own = {"one": 120, "two": 48, "three": 120, "none": None}
    cells = [
        msgspec.structs.replace(make(row, column=name), published=None, note=NOT_PUBLISHED, n=n, seeds=[0, 2])
        for row in "ab"
        for name, n in own.items()
    ]
    wanted = "Seeds: 2 (0, 2). Test items: 120 (one, three); 48 (two)."
    for text in (to(cells, title="T") for to in (render.to_md, render.to_tex, render.to_html)):
        assert wanted in text
    other = [*cells, msgspec.structs.replace(cells[0], row="c", n=119)]
    assert "Test items: 119, 120 (one); 48 (two); 120 (three)." in layout.wide(other).legend
    empty = [msgspec.structs.replace(cell, n=None, seeds=[], measured=None) for cell in cells]
    assert "Seeds: none yet. Test items: —." in layout.wide(empty).legend


def test_wide_tables_tell_which_columns_draw_classes() -> None:
    cells = [make("a", column="all"), msgspec.structs.replace(make("a", column="5 classes"), std_draws=12.5)]
    assert "50.0 ± 12.5" in render.to_compact(cells)
    assert "Of drawn classes (5 classes): test items are those of a draw" in render.to_compact(cells)
    assert "drawn" not in render.to_compact(cells[:1])


def test_a_table_without_published_values_is_wide_in_every_format() -> None:
    unpublished = {"published": None, "note": NOT_PUBLISHED}
    cells = [
        msgspec.structs.replace(make(row, column=column), **unpublished) for row in "ab" for column in ("one", "two")
    ]
    assert layout.lay_out(cells).head == ["Row", "one", "two"]
    assert layout.lay_out(cells[:1]).head == list(layout.HEAD), "one column: nothing is gained"
    assert layout.lay_out([*cells, make("c")]).head == list(layout.HEAD), "one published value is enough"
    other = msgspec.structs.replace(cells[0], note="not run: needs a GPU", measured=None)
    assert layout.lay_out([other, *cells[1:]]).head == list(layout.HEAD), "a note must be seen"
    assert render.to_html(cells, title="T").count("<tr>") == 3
    assert r"\begin{tabular}{lrr}" in render.to_tex(cells, title="T")
    assert "The paper's text has no such numbers" in render.to_md(cells, title="T")
    assert len(render.to_csv(cells).splitlines()) == 5


def test_each_command_stands_once_below_the_rows_it_makes() -> None:
    one, two, three = make("a"), msgspec.structs.replace(make("b"), command="make a"), make("c")
    external = msgspec.structs.replace(make("d"), command="")
    assert layout.lay_out([one, two, three, external]).commands == [("a, b", "make a"), ("c", "make c")]
    assert render.to_md([one, two, three], title="T").splitlines()[-2:] == ["- a, b: `make a`", "- c: `make c`"]
    assert r"\par\footnotesize a, b: \texttt{make a}" in render.to_tex([one, two], title="T")
    assert "<li>c: <code>make c</code></li>" in render.to_html([three], title="T")


@pytest.mark.parametrize("name", NAMES)
def test_tex_is_balanced_and_booktabs(name: str) -> None:
    """No compiler is at hand: what would stop one is looked for instead."""
    tex = render.to_tex([make(name, note=name), make("b")], title=name)
    lines = tex.splitlines()
    rules = [line for line in lines if line in (r"\toprule", r"\midrule", r"\bottomrule")]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    for part in ("table", "tabular"):
        assert tex.count(rf"\begin{{{part}}}") == tex.count(rf"\end{{{part}}}") == 1
    plain = re.sub(r"\\[{}]", "", tex)
    assert plain.count("{") == plain.count("}")
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", tex)
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    for row in (line for line in body if line != r"\midrule"):
        assert row.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
    outside = "\n".join(line for line in lines[1:] if line not in body)
    assert not re.search(r"(?<!\\)[%#&_^~]|(?<!\\)\$(?!\\pm\$)(?<!pm\$)", outside)


def test_the_tables_own_note_stands_first_below_it() -> None:
    note = "50 % of <b>what</b> the study did"
    md, tex, html = (to([make("a")], title="T", note=note) for to in (render.to_md, render.to_tex, render.to_html))
    assert md.splitlines()[6].startswith("- 50 % of")
    assert r"50 \% of" in tex
    assert "50 % of &lt;b&gt;what&lt;/b&gt;" in html
