"""Figures of runs: learning curves and retrieval ranks."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from cpd.report.drawing import DASHES, WIDTH, label, svg, xy
from cpd.report.palette import BLUE, GREY, INK, ORANGE, SERIES
from cpd.report.retrieval import recalls

if TYPE_CHECKING:
    from cpd.report.curves import Curve, Point
    from cpd.report.retrieval import Retrieval
POINTS = 400  # of a line that has one for every rank


def overview(groups: dict[str, list[Curve]]) -> str:
    """Validation retrieval of every experiment in one picture; seeds are lines of the same look."""
    shown = {name: found for name, found in groups.items() if any(curve.r10 for curve in found)}

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for number, (name, found) in enumerate(shown.items()):
            look = {"color": SERIES[number % len(SERIES)], "linestyle": DASHES[number // len(SERIES) % len(DASHES)]}
            for place, curve in enumerate(found):
                text = label(name) if place == 0 else "_"
                axes.plot(*xy(curve.r10), label=text, marker="." if len(curve.r10) < 40 else None, **look)
                _mark_switches(axes, curve, curve.r10, look["color"])
        axes.set_ylabel("validation R@10, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylim(bottom=0)
        figure.legend(*axes.get_legend_handles_labels(), ncols=2, loc="outside lower center", fontsize=8)

    return svg(draw, width=1.6 * WIDTH, height=3.3 + 0.09 * len(shown))


def experiment(found: list[Curve], *, best: float) -> str:
    """Loss and validation of one experiment, a line a seed; the scale of R@10 reaches to `best`, top-1's to its own."""
    scores = [curve.r10 or curve.top1 for curve in found]
    name, top = ("R@10, %", best) if any(curve.r10 for curve in found) else ("top-1, %", _highest(scores))

    def draw(figure: Any) -> None:
        panels = figure.subplots(2 if any(scores) else 1, 1, sharex=True, squeeze=False)[:, 0]
        for number, (curve, score) in enumerate(zip(found, scores, strict=True)):
            colour = SERIES[number % len(SERIES)]
            for axes, points in zip(panels, (curve.loss, score), strict=False):
                axes.plot(*xy(points), color=colour, marker="." if len(points) < 10 else None)
        for axes, epoch in itertools.product(panels, {e for curve in found for e in curve.switches}):
            axes.axvline(epoch - 0.5, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        _name_stages(panels[0], found)
        panels[0].set_ylabel("loss")
        if any(scores):
            panels[1].set_ylabel(name)
            panels[1].set_ylim(0, 1.1 * top)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.align_ylabels()

    return svg(draw, height=2.5)


def ranks(found: Retrieval) -> str:
    """R@k over k: the run, its control, and chance."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        ks = _places(found.n)
        lines = [(found.run, found.ranks, BLUE, "-"), (found.control, found.control_ranks, ORANGE, DASHES[1])]
        for name, values, colour, dash in lines:
            if name and values:
                axes.step(ks, recalls(values, ks), where="post", label=label(name), color=colour, ls=dash)
        axes.plot(ks, [100 * k / found.n for k in ks], color=GREY, linestyle=DASHES[2], label="chance")
        axes.set_xscale("log")
        axes.set_xlim(1, found.n)
        axes.set_ylim(0, 100)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.set_xlabel(f"k, of {found.n:,} videos")
        axes.set_ylabel("R@k, %")
        axes.legend(loc="upper left", fontsize=8)

    return svg(draw, height=2.6)


def _places(n: int) -> list[int]:
    """1 to n, or as many of them as a line can show, evenly spread over their logarithms."""
    return sorted({round(k) for k in np.geomspace(1, n, min(n, POINTS))} | set(range(1, min(n, 50) + 1)))


def _highest(scores: list[list[Point]]) -> float:
    return max([10.0, *(y for points in scores for _, y in points)])


def _mark_switches(axes: Any, curve: Curve, points: list[Any], colour: str) -> None:
    """A diamond where the next stage begins, on the line between the points around it."""
    for epoch in (epoch for epoch in curve.switches if points):
        height = np.interp(epoch - 0.5, *xy(points))
        axes.plot(epoch - 0.5, height, marker="D", markersize=7, mfc="white", mec=colour, mew=2, ls="", zorder=4)


def _name_stages(axes: Any, found: list[Curve]) -> None:
    """Roman numbers above the stages."""
    ends = sorted({e for curve in found for e in curve.switches})[:3]
    for number, epoch in enumerate(ends):
        axes.annotate(
            f"stage {('II', 'III', 'IV')[number]}", (epoch - 0.5, 1), xycoords=("data", "axes fraction"),
            xytext=(3, -1), textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip
