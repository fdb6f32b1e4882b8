"""Figures of classes: accuracy by class, confusions, factors, the map of embeddings."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from cpd.report.drawing import DASHES, label, svg, xy
from cpd.report.embedding import OTHER
from cpd.report.palette import BLUE, GREY, INK, LIGHT, MARKERS, ORANGE, SERIES
from cpd.report.safe import shorten

if TYPE_CHECKING:
    from cpd.report.classes import ByClass
    from cpd.report.embedding import Map
    from cpd.report.factors import Bars

MANY = 500  # points from which on they are drawn as pixels


def accuracy(found: ByClass) -> str:
    """A class a line: a dot for the run, a ring for its control."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        places = list(range(len(found.scores)))
        for place, score in enumerate(found.scores):
            if score.control is not None:
                axes.plot([score.control, score.accuracy], [place, place], color=LIGHT, linewidth=3, zorder=1)
        has = [(place, score.control) for place, score in enumerate(found.scores) if score.control is not None]
        if has:
            axes.scatter([x for _, x in has], [y for y, _ in has], s=56, facecolors="none", edgecolors=ORANGE, lw=1.6,
                         label=label(found.control or ""), zorder=2)  # fmt: skip
        values = [score.accuracy for score in found.scores]
        axes.scatter(values, places, s=24, color=BLUE, label=label(found.run), zorder=3)
        if len(found.scores) < found.classes:
            axes.axhline(len(found.scores) / 2 - 0.5, color=INK, linewidth=0.8, linestyle=DASHES[2])
        axes.set_yticks(places, [shorten(score.name, 24) for score in found.scores])
        axes.set_ylim(len(places) - 0.4, -0.6)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("% right")
        figure.legend(*axes.get_legend_handles_labels(), ncols=2, loc="outside lower center", fontsize=8)

    return svg(draw, height=1.1 + 0.19 * len(found.scores))


def confusion(found: ByClass) -> str:
    """Rows are true classes, columns what they were taken for; shades are shares of the row, numbers are items."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        size = len(found.names)
        items = {score: sum(row) for score, row in zip(found.names, found.matrix, strict=True)}
        shares = [[n / max(items[name], 1) for n in row] for name, row in zip(found.names, found.matrix, strict=True)]
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1.15, edgecolors="white", linewidth=0.5)
        for i, j in itertools.product(range(size), range(size)):
            if n := found.matrix[i][j]:
                colour = "white" if shares[i][j] > 0.6 else INK
                axes.text(j + 0.5, i + 0.5, str(n), ha="center", va="center", fontsize=6.5, color=colour)
        names = [shorten(name, 24) for name in found.names]
        axes.set_yticks([i + 0.5 for i in range(size)], names, fontsize=7)
        axes.set_xticks([i + 0.5 for i in range(size)], names, rotation=90, fontsize=7)
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.grid(visible=False)
        axes.set_ylabel("true class")
        axes.set_xlabel("taken for")

    return svg(draw, width=2.4 + 0.21 * len(found.names), height=2.1 + 0.21 * len(found.names))


def embedding(found: Map) -> str:
    """One run's map, with its legend."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        colours = {name: SERIES[i % len(SERIES)] for i, name in enumerate(sorted(set(found.colour)))}
        shapes = {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(sorted(set(found.marker)))}
        if not any(found.marker):  # classes alone: shapes go round with the colours
            order = sorted(set(found.colour))
            shapes = {name: MARKERS[i // len(SERIES) % len(MARKERS)] for i, name in enumerate(order)}
        for name, colour in colours.items():
            for shape_name, shape in shapes.items():
                own = _own(found, name, shape_name)
                faint = name == OTHER
                axes.scatter(*xy(own), s=8 if faint else 18, color=LIGHT if faint else colour, marker=shape, lw=0,
                             alpha=0.85, zorder=1 if faint else 2, rasterized=len(found.xy) > MANY)  # fmt: skip
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal")
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        handles = _map_legend(found, colours, shapes)
        figure.legend(handles=handles, ncols=2, loc="outside lower center", fontsize=7.5, handletextpad=0.1)

    return svg(draw, width=4.0, height=3.9 + 0.085 * len({*found.colour, *found.marker}))


def _own(found: Map, colour: str, shape: str) -> list[tuple[float, float]]:
    has_shapes = any(found.marker)
    rows = zip(found.xy, found.colour, found.marker, strict=True)
    return [xy for xy, c, m in rows if c == colour and (m == shape if has_shapes else c == shape)]


def _map_legend(found: Map, colours: dict[str, str], shapes: dict[str, str]) -> list[Any]:
    from matplotlib.lines import Line2D

    def mark(name: str, colour: str, shape: str) -> Any:
        return Line2D([], [], color=colour, marker=shape, linestyle="", markersize=5, label=label(shorten(name, 22)))

    if any(found.marker):
        return [mark(name, colour, "o") for name, colour in colours.items()] + [
            mark(name, GREY, shape) for name, shape in shapes.items()
        ]
    return [mark(name, colour, shapes[name]) for name, colour in colours.items() if name]


def factors(rows: list[Bars]) -> str:
    """A run a line, a dot a factor: the share of predictions with the right value; dotted lines are chance."""
    names = sorted({name for row in rows for name in row.factors})

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for number, name in enumerate(names):
            colour, shape = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
            have = [(place, row.factors[name]) for place, row in enumerate(rows) if name in row.factors]
            places = [place for place, _ in have]
            axes.scatter(
                [share for _, (share, _) in have], places, color=colour, marker=shape, s=28, label=name, zorder=3
            )
            chance = have[0][1][1]
            axes.axvline(chance, color=colour, linestyle=DASHES[2], label=f"chance {chance:.0f} %", lw=1)
        axes.set_yticks(range(len(rows)), [label(row.run) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        axes.set_xlabel("% with the right value")
        figure.legend(*axes.get_legend_handles_labels(), ncols=2, loc="outside lower center", fontsize=8)

    return svg(draw, height=1.3 + 0.22 * len(rows))
