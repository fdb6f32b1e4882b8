"""The picture of `cpd profile`: every step as a bar of its phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cpd.report.drawing import svg
from cpd.report.palette import GREY, SERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

WAITING = "data"


def picture(title: str, phases: Sequence[tuple[str, tuple[float, ...]]], *, note: str) -> str:
    """A bar a step, its phases on top of each other, waiting for data in grey; and the median step beside them.

    Args:
        title: what was measured.
        phases: name and seconds, one value a step.
        note: below the picture.
    """
    steps = range(1, len(phases[0][1]) + 1)
    colours = iter(SERIES)

    def draw(figure: Any) -> None:
        bars, shares = figure.subplots(1, 2, width_ratios=(3, 1.4))
        floor = [0.0] * len(steps)
        for place, (name, seconds) in enumerate(phases):
            colour = GREY if name == WAITING else next(colours)
            ms = [1000 * value for value in seconds]
            bars.bar(steps, ms, bottom=floor, color=colour, width=1.0, linewidth=0, label=name)
            floor = [low + high for low, high in zip(floor, ms, strict=True)]
            middle = sorted(ms)[len(ms) // 2]
            shares.barh(place, middle, color=colour, label="_")
            shares.annotate(f" {middle:.1f}", (middle, place), va="center", fontsize=7)
        bars.set_xlabel("step")
        bars.set_ylabel("ms")
        bars.set_title(title, fontsize=9, loc="left")
        shares.set_yticks(range(len(phases)), [name for name, _ in phases])
        shares.invert_yaxis()
        shares.set_xlabel("median, ms")
        figure.supxlabel(note, fontsize=7, color=GREY, wrap=True)

    return svg(draw, width=7.5, height=3.2)
