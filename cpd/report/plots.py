"""Figures as SVG inside data addresses: sharp on a phone, and no script in them can run.

Texts are drawn as they are (`text.parse_math` is off): a `$` in a name is no formula.
"""

from __future__ import annotations

import base64
import io
from itertools import groupby
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpd.report.gather import Attrition, Bars, Curve

STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "cpd",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
OK, LOST = "#2a9d8f", ("#e76f51", "#f4a261", "#e9c46a", "#b56576", "#6d597a", "#8d99ae", "#adb5bd")


def attrition(rows: list[Attrition]) -> str:
    """One bar a split: the share of ids by what became of them."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        statuses = sorted({status for row in rows for status in row.counts} - {"ok"})
        colours = {"ok": OK} | {status: LOST[i % len(LOST)] for i, status in enumerate(statuses)}
        left = [0.0] * len(rows)
        for status, colour in colours.items():
            share = [100 * row.counts.get(status, 0) / max(row.planned, 1) for row in rows]
            axes.barh([f"{row.source} {row.split}" for row in rows], share, left=left, color=colour, label=status)
            left = [a + b for a, b in zip(left, share, strict=True)]
        axes.invert_yaxis()
        axes.set_xlabel("% of ids")
        figure.legend(*axes.get_legend_handles_labels(), ncols=4, loc="outside lower center")

    return _svg(draw, height=1.6 + 0.4 * len(rows))


def curves(rows: list[Curve]) -> str:
    """Training loss and validation retrieval by epoch."""

    def draw(figure: Any) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        for row in rows:
            for axes, points in ((above, row.loss), (below, row.r10)):
                mark = "." if len(points) < 2 else None
                axes.plot([x for x, _ in points], [y for _, y in points], label=_label(row.run), marker=mark)
        above.set_ylabel("training loss")
        below.set_ylabel("validation R@10, %")
        below.set_xlabel("epoch")
        figure.legend(*below.get_legend_handles_labels(), ncols=2, loc="outside lower center")

    return _svg(draw, height=4.6 + 0.1 * len(rows))


def factor_bars(rows: list[Bars]) -> list[tuple[str, str]]:
    """One figure a dataset and protocol: (caption, address); a dotted line marks each factor's chance."""
    figures = []
    for (dataset, protocol), group in groupby(rows, key=lambda row: (row.dataset, row.protocol)):
        figures.append((f"{protocol} on {dataset}", _factor_figure(list(group))))
    return figures


def _factor_figure(rows: list[Bars]) -> str:
    names = sorted({name for row in rows for name in row.factors})

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        width = 0.8 / len(names)
        for number, name in enumerate(names):
            colour = f"C{number}"
            have = [(place, row.factors[name]) for place, row in enumerate(rows) if name in row.factors]
            places = [place + width * number for place, _ in have]
            axes.barh(places, [share for _, (share, _) in have], height=width, color=colour, label=name)
            chance = have[0][1][1]
            axes.axvline(chance, color=colour, linestyle=":", label=f"{name}: chance {chance:.0f} %")
        middle = width * (len(names) - 1) / 2
        axes.set_yticks([place + middle for place in range(len(rows))], [row.run for row in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of predictions with the right value")
        figure.legend(*axes.get_legend_handles_labels(), ncols=2, loc="outside lower center")

    return _svg(draw, height=1.8 + 0.35 * len(rows))


def _label(run: str) -> str:
    """Matplotlib leaves out of the legend what begins with an underscore."""
    return run.lstrip("_") or run


def _svg(draw: Callable[[Any], None], *, height: float) -> str:
    """Address of a figure 6.4 inches wide."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, height), layout="constrained")
        draw(figure)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(out.getvalue()).decode()}"
