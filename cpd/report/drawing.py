"""How figures are drawn: as SVG text, sharp on a phone and in print, the same whenever they are drawn.

Texts are drawn as they are (`text.parse_math` is off): a `$` in a name is no formula.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

from cpd.report.palette import GREY, INK, LIGHT
from cpd.report.safe import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "cpd",
    "font.size": 9,
    "font.family": ["DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "axes.grid": True,
    "grid.color": LIGHT,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
}
WIDTH = 3.4  # inches
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        name: of its file, without suffix.
        svg: the picture as text.
        alt: what it shows, in words.
        caption: what stands above it.
        source: the files that it shows.
    """

    name: str
    svg: str
    alt: str
    caption: str
    source: str

    @property
    def address(self) -> str:
        """As a data address: in an `img` no script of an SVG can run."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg.encode()).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        found = re.search(r'<svg[^>]* viewBox="0 0 ([0-9.]+) ([0-9.]+)"', self.svg)
        width, height = map(float, found.groups()) if found else (0.0, 0.0)
        return round(width * 4 / 3), round(height * 4 / 3)


def svg(draw: Callable[[Any], None], *, height: float, width: float = WIDTH) -> str:
    """A figure as SVG text, the same whenever it is drawn."""
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The browser has fonts for what DejaVu lacks: texts stay texts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", dpi=200, metadata={"Date": None})
    return out.getvalue()


def label(run: str) -> str:
    """Matplotlib leaves out of the legend what begins with an underscore."""
    return shorten(run, 40).lstrip("_") or shorten(run, 40)


def xy(points: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Points as their x and their y."""
    return [x for x, _ in points], [y for _, y in points]
