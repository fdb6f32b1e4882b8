"""The report: one self-contained page about a whole run, readable offline and on a phone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jinja2

from cpd.report import gather, plots
from cpd.report.template import PAGE, STYLE
from cpd.tables import render as render_table

if TYPE_CHECKING:
    from cpd.config import Config

SECTIONS = (
    ("data", "Data"),
    ("training", "Training"),
    ("tables", "Tables"),
    ("factors", "Motion and appearance"),
    ("titles", "Titles"),
    ("provenance", "Provenance"),
)


def render(config: Config) -> str:
    """The page as HTML. What is missing is named in its place; names and titles are escaped.

    Raises:
        CpdError: an index.json or a result file is damaged (it is named).
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(PAGE).render(_values(config))


def _values(config: Config) -> dict[str, Any]:
    attrition, curves, tables = gather.attrition(config), gather.curves(config), gather.all_tables(config)
    results = gather.results(tables)
    return {
        "title": f"Cross-modal pair discrimination: {config.corpus} corpus",
        "style": STYLE,
        "sections": SECTIONS,
        "corpus": config.corpus,
        "seeds": config.seeds,
        "n_runs": len(gather.runs(config)),
        "attrition": attrition,
        "attrition_figure": plots.attrition(attrition) if attrition else "",
        "curves": curves,
        "curves_figure": plots.curves(curves) if curves else "",
        "tables": [_table(table) for table in tables],
        "factor_figures": plots.factor_bars(gather.factor_bars(results)),
        "examples": gather.examples(config),
        "provenance": gather.provenance(config, results),
    }


def _table(table: gather.Table) -> dict[str, str]:
    html = "" if table.problem else render_table.fragment(table.cells, title=f"{table.name}: {table.title}")
    return {"title": f"{table.name}: {table.title}", "problem": table.problem, "html": html}
