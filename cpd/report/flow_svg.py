"""The flow of ids as a picture: a band from top to bottom, as wide as there are ids, and what leaves it to the right.

Drawn with ElementTree, which escapes every text; upright, so that it reads the same on a phone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from cpd.report.flow import WAITING
from cpd.report.palette import BLUE, GREY, INK, ORANGE, PALE
from cpd.report.safe import count, percent, printable, shorten

if TYPE_CHECKING:
    from cpd.report.flow import Flow, Stage

LEFT, BAND, LABEL = 68, 120, 214  # pixels: where the band begins, its width, where reasons stand
LETTER = 6.7  # pixels of a letter, about
STEP, BAR, GAP = 15, 16, 22  # height of a reason's line, of a stage's bar, around the lines
MOST = 7  # reasons drawn apart at one stage


@dataclass(frozen=True)
class _Lost:
    label: str
    count: int
    colour: str


def draw(flow: Flow) -> str:
    """One flow as an SVG element."""
    height, width = BAR + 8 + sum(_height(stage) for stage in flow.stages), _width(flow)
    root = Xml.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {height}", role="img")
    root.set("width", f"{width}")
    root.set("height", f"{height}")
    root.set("font-family", "system-ui, sans-serif")
    root.set("font-size", "12")
    root.set("aria-label", printable(describe(flow)))
    y = 4.0
    _bar(root, y, flow.listed, flow.listed, label="listed", width=float(BAND if flow.listed else 0))
    for stage in flow.stages:
        _stage(root, stage, flow.listed, top=y + BAR)
        y += _height(stage)
    return Xml.tostring(root, encoding="unicode")


def describe(flow: Flow) -> str:
    """The picture in words."""
    stages = [f"{stage.passed} {stage.name}" for stage in flow.stages]
    lost = [f"{reason} {n}" for stage in flow.stages for reason, n in stage.lost.items()]
    return f"{flow.source} {flow.split}: {flow.listed} listed, {', '.join(stages)}. Left: {', '.join(lost) or 'none'}."


def _width(flow: Flow) -> int:
    """As wide as the longest reason needs."""
    labels = [f"{lost.label} {count(lost.count)}" for stage in flow.stages for lost in _reasons(stage)]
    return round(LABEL + LETTER * max(map(len, labels))) if labels else LEFT + BAND + 8


def _height(stage: Stage) -> int:
    return BAR + GAP + max(STEP * len(_reasons(stage)), STEP)


def _reasons(stage: Stage) -> list[_Lost]:
    """What is drawn apart: the commonest reasons, the rest as one, and who waits."""
    gone = [(reason, n) for reason, n in stage.lost.items() if reason != WAITING]
    shown, rest = gone[:MOST], gone[MOST:]
    lines = [_Lost(shorten(reason, 18), n, ORANGE) for reason, n in shown]
    if rest:
        lines.append(_Lost(f"{len(rest)} other reasons", sum(n for _, n in rest), ORANGE))
    if WAITING in stage.lost:
        lines.append(_Lost(WAITING, stage.lost[WAITING], GREY))
    return lines


def _stage(root: Xml.Element, stage: Stage, listed: int, *, top: float) -> None:
    """Bands from the bar above to this stage's bar, and to the reasons."""
    bottom = top + _height(stage) - BAR
    kept = _scaled(stage.passed, listed)
    _path(root, _ribbon(LEFT, LEFT, kept, top, bottom), PALE, f"{count(stage.passed)} {stage.name}")
    at = LEFT + kept
    for line, lost in enumerate(_reasons(stage)):
        width = _scaled(lost.count, listed)
        y = top + GAP / 2 + STEP * line
        title = f"{lost.label}: {count(lost.count)} of {count(listed)} ids ({percent(lost.count, listed)})"
        _path(root, _leaving(at, width, top, y), lost.colour, title)
        _text(root, LABEL, y + 10, f"{lost.label} {count(lost.count)}")
        at += width
    _bar(root, bottom, stage.passed, listed, label=stage.name, width=kept)


def _scaled(number: int, listed: int) -> float:
    return BAND * number / listed if listed else 0.0


def _bar(root: Xml.Element, y: float, number: int, listed: int, *, label: str, width: float) -> None:
    Xml.SubElement(
        root, "rect", x=f"{LEFT}", y=f"{y:.1f}", width=f"{max(width, 1):.1f}", height=f"{BAR}", fill=BLUE
    ).append(_title(f"{count(number)} {label} ({percent(number, listed)} of the list)"))
    _text(root, LEFT - 8, y + 12, label, anchor="end")
    inside = width > LETTER * len(count(number)) + 8
    _text(root, LEFT + (5 if inside else width + 5), y + 12, count(number), colour="#fff" if inside else INK, bold=True)


def _ribbon(above: float, below: float, width: float, top: float, bottom: float) -> str:
    return f"M{above:.1f} {top:.1f}H{above + width:.1f}L{below + width:.1f} {bottom:.1f}H{below:.1f}Z"


def _leaving(x: float, width: float, top: float, y: float) -> str:
    """A band that turns right; hair-thin ones are drawn so that they can be seen."""
    thick = max(min(width, STEP - 4), 1.5)
    end, middle = LABEL - 4, y + 6
    upper, lower = middle - thick / 2, middle + thick / 2
    right = x + max(width, 1.5)
    return (
        f"M{x:.1f} {top:.1f}H{right:.1f}C{right:.1f} {upper:.1f} {right:.1f} {upper:.1f} {end} {upper:.1f}"
        f"V{lower:.1f}C{x:.1f} {lower:.1f} {x:.1f} {lower:.1f} {x:.1f} {top:.1f}Z"
    )


def _path(root: Xml.Element, d: str, colour: str, title: str) -> None:
    Xml.SubElement(root, "path", d=d, fill=colour).append(_title(title))


def _title(text: str) -> Xml.Element:
    element = Xml.Element("title")
    element.text = printable(text)
    return element


def _text(
    root: Xml.Element, x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK, bold: bool = False
) -> None:
    element = Xml.SubElement(root, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "fill": colour})
    if bold:
        element.set("font-weight", "600")
    element.text = printable(text)
