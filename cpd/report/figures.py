"""The figures of the page, by section: what is drawn, what it is called, what stands below it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cpd.report import curves, flow_svg, plots, plots_classes
from cpd.report.drawing import Drawing
from cpd.report.embedding import NEIGHBOURS

if TYPE_CHECKING:
    from cpd.report.classes import ByClass
    from cpd.report.content import Content
    from cpd.report.embedding import Map
    from cpd.report.factors import Bars
    from cpd.report.flow import Flow
    from cpd.report.retrieval import Retrieval

FEATURE = {"all": "", "emb": " (embedding)", "res5": " (res5)"}


def draw(content: Content) -> dict[str, list[Drawing]]:
    """Every figure that there is something to draw for."""
    return {
        "flow": [_flow(flow) for flow in content.flows],
        "overview": _overview(content),
        "curves": _experiments(content),
        "ranks": [_ranks(found) for found in content.retrievals],
        "accuracy": [_accuracy(found) for found in content.classes],
        "confusion": [_confusion(found) for found in content.classes],
        "map": [_map(found) for found in content.maps],
        "factors": [_factors(name, rows) for name, rows in content.factors.items()],
    }


def _drawing(name: str, svg: str, *, alt: str, caption: str, source: str) -> Drawing:
    """Names become names of files."""
    return Drawing(re.sub(r"[^A-Za-z0-9._+@-]+", "-", name), svg, alt, caption, source)


def _flow(flow: Flow) -> Drawing:
    return _drawing(
        f"flow-{flow.source}-{flow.split}",
        flow_svg.draw(flow),
        alt=flow_svg.describe(flow),
        caption=f"{flow.source}, {flow.split}",
        source=f"sources/{flow.source}/*/{flow.split}-*.jsonl",
    )


def _overview(content: Content) -> list[Drawing]:
    groups = curves.by_experiment(content.curves)
    if not any(curve.r10 for found in groups.values() for curve in found):
        return []
    last = {name: [curve.r10[-1][1] for curve in found if curve.r10] for name, found in groups.items()}
    words = "; ".join(f"{name} {values[0]:.1f} %" for name, values in last.items() if values)
    return [
        _drawing(
            "curves",
            plots.overview(groups),
            alt=f"validation R@10 by epoch. Last: {words}",
            caption="Held-out text-to-video retrieval by epoch. A diamond: there its next stage begins.",
            source="pretrain/*/metrics.json",
        )
    ]


def _experiments(content: Content) -> list[Drawing]:
    drawings = []
    best = max([10.0, *(y for curve in content.curves for _, y in curve.r10)])
    for name, found in curves.by_experiment(content.curves).items():
        drawn = [curve for curve in found if curve.loss]
        if drawn:
            drawings.append(
                _drawing(
                    f"curves-{name}",
                    plots.experiment(drawn, best=best),
                    alt=f"{name}: training loss from {drawn[0].loss[0][1]:.2f} to {drawn[0].loss[-1][1]:.2f}",
                    caption=name + (f", {len(drawn)} seeds" if len(drawn) > 1 else ""),
                    source=", ".join(f"pretrain/{curve.run}/metrics.json" for curve in drawn),
                )
            )
    return drawings


def _ranks(found: Retrieval) -> Drawing:
    return _drawing(
        f"retrieval-{found.dataset}-{found.split}",
        plots.ranks(found),
        alt=f"share of titles whose video is among the first k, on {found.dataset}, by k",
        caption=f"Titles that find their video, {found.dataset}",
        source=found.source,
    )


def _accuracy(found: ByClass) -> Drawing:
    shown = "" if len(found.scores) == found.classes else f"; the best and the worst of {found.classes} classes"
    what = f"{found.protocol}{FEATURE.get(found.feature, '')} on {found.dataset}-{found.split}"
    return _drawing(
        f"classes-{found.protocol}-{found.dataset}",
        plots_classes.accuracy(found),
        alt=f"accuracy by class, {what}: " + ", ".join(f"{s.name} {s.accuracy:.0f} %" for s in found.scores),
        caption=f"Accuracy by class, {what}: {found.accuracy:.1f} % of {found.n}{shown}",
        source=found.source,
    )


def _confusion(found: ByClass) -> Drawing:
    shown = "" if len(found.names) == found.classes else f"; the {len(found.names)} most confused of {found.classes}"
    worst = "; ".join(f"{truth} taken for {guess} {n} times" for truth, guess, n in found.pairs)
    return _drawing(
        f"confusion-{found.protocol}-{found.dataset}",
        plots_classes.confusion(found),
        alt=f"confusion matrix. Commonest mistakes: {worst or 'none'}",
        caption=f"What is taken for what, {found.protocol} on {found.dataset}-{found.split}{shown}",
        source=found.source,
    )


def _map(found: Map) -> Drawing:
    drawn = "" if len(found.xy) == found.total else f", {len(found.xy):,} of {found.total:,} videos"
    purity = "" if found.purity is None else f": {found.purity:.0f} % of the {NEIGHBOURS} nearest are of the same class"
    chance = "" if found.chance is None else f" (chance {found.chance:.0f} %)"
    return _drawing(
        f"map-{found.run}",
        plots_classes.embedding(found),
        alt=f"t-SNE of {found.run}'s embeddings on {found.dataset}",
        caption=f"{found.run}{purity}{chance}{drawn}",
        source=found.source,
    )


def _factors(name: str, rows: list[Bars]) -> Drawing:
    shares = [f"{row.run} {factor} {share:.0f} %" for row in rows for factor, (share, _) in row.factors.items()]
    return _drawing(
        f"factors-{name}",
        plots_classes.factors(rows),
        alt=f"share of predictions with the right value, {name}: {', '.join(shares)}",
        caption=name,
        source=f"eval/*/{rows[0].protocol}/{rows[0].dataset}.json",
    )
