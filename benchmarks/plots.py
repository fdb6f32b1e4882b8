"""The plots of docs/benchmarks.md, as small SVG files that are the same whenever they are drawn again."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.harness import median
from benchmarks.record import Chart, Table

COLOURS = {"ours": "#1b7837", "obvious": "#b2182b", "peer": "#2166ac", "limit": "#555555", "other": "#bbbbbb"}
FAR = 20  # times the shortest bar: below it lengths can be compared as they are
LINES = ("#1b7837", "#b2182b", "#2166ac", "#762a83", "#e08214", "#555555", "#35978f", "#c51b7d")


def bars(table: Table) -> bytes:
    """A bar a way; the whisker runs from the lowest to the highest round. Far apart, they need a logarithmic axis."""
    rows = [row for row in table.rows if row.values][::-1]
    middle = [median(row.values) for row in rows]
    spread = [[m - min(row.values) for m, row in zip(middle, rows, strict=True)],
              [max(row.values) - m for m, row in zip(middle, rows, strict=True)]]  # fmt: skip
    figure, axes = _figure(height=0.6 + 0.28 * len(rows))
    axes.barh([row.name for row in rows], middle, xerr=spread, color=[COLOURS[row.side] for row in rows], height=0.7)
    if max(middle, default=1.0) > FAR * min(middle, default=1.0):
        axes.set_xscale("log")
    axes.set_xlabel(table.unit)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return _svg(figure)


def growth(chart: Chart) -> bytes:
    """A line a way, on logarithmic axes; the legend tells the exponent."""
    figure, axes = _figure(height=3.2)
    for line, colour in zip(chart.lines, LINES * 3, strict=False):
        floor = [max(value, 1e-9) for value in line.y]
        axes.plot(line.x, floor, "o-", color=colour, markersize=3, label=f"{line.name} ({line.exponent:.2f})")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(chart.x)
    axes.set_ylabel(chart.y)
    figure.legend(fontsize=7, frameon=False, loc="outside right center")
    return _svg(figure)


def _figure(*, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(axis="both", linewidth=0.3)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure) -> bytes:
    """Text stays text, and nothing in the file tells when it was made."""
    with mpl.rc_context({"svg.hashsalt": "cpd", "svg.fonttype": "none"}):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
