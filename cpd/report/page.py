"""The report: one self-contained page about a whole run, readable offline, on paper and on a phone."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2

from cpd.profiling import STARVED
from cpd.report import curves, safe, template, template_results
from cpd.report.figures import draw
from cpd.report.provenance import duration
from cpd.report.retrieval import recalls
from cpd.report.style import STYLE

if TYPE_CHECKING:
    from cpd.report.content import Content
    from cpd.report.drawing import Drawing

SECTIONS = (
    ("data", "From ids to shards"),
    ("clips", "Clips and titles"),
    ("training", "Learning curves"),
    ("tables", "Tables"),
    ("retrieval", "Retrieval"),
    ("classes", "Classes"),
    ("map", "Embedding map"),
    ("factors", "Motion and appearance"),
    ("cost", "Cost"),
    ("provenance", "Provenance"),
)


@dataclass(frozen=True)
class Tile:
    """One number at the top, and the files it comes from (in the results folder)."""

    value: str
    label: str
    source: str


def render(content: Content, figures: dict[str, list[Drawing]] | None = None) -> str:
    """The page as HTML. What is missing is named in its place; names and titles are escaped.

    Args:
        content: what to show.
        figures: as `figures.draw` draws them.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=safe.finalize,
        loader=jinja2.DictLoader(template.TEMPLATES | template_results.TEMPLATES),
    )
    environment.filters |= {"count": safe.count, "percent": safe.percent, "duration": duration}
    return environment.get_template("page").render(_values(content, figures or draw(content)))


def policy() -> str:
    """Nothing is loaded, nothing runs; pictures are data, and the one style sheet is known by its digest."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _values(content: Content, figures: dict[str, list[Drawing]]) -> dict[str, Any]:
    has_factors = any(source.factors for source in content.config.sources.values())
    return {
        "title": f"Cross-modal pair discrimination: {content.config.corpus} corpus",
        "style": STYLE,
        "policy": policy(),
        "sections": [(key, name) for key, name in SECTIONS if key != "factors" or has_factors or content.factors],
        "c": content,
        "figures": figures,
        "tiles": tiles(content),
        "n_runs": len(curves.runs(content.config)),
        "starved": f"{100 * STARVED:g} %",
    }


def tiles(content: Content) -> list[Tile]:
    """The numbers at the top, of what there is."""
    listed, samples = (
        sum(values) for values in ([f.listed for f in content.flows], [f.samples for f in content.flows])
    )
    done = sum(cost.pretrain is not None for cost in content.costs)
    found = [
        Tile(
            f"{samples:,}",
            f"samples in shards, of {listed:,} listed ids ({safe.percent(samples, listed)})",
            "sources/*/*/*.jsonl",
        ),
        Tile(f"{done} of {len(curves.runs(content.config))}", "runs trained", "pretrain/*/metrics.json"),
        Tile(f"{content.measured[0]} of {content.measured[1]}", "table cells measured", "eval/*/*/*.json"),
    ]
    if content.costs:
        total = duration(sum(cost.total for cost in content.costs))
        files = "pretrain/*/metrics.json, benchmarks/features/*/*.tsv, eval/*/*/*.json"
        found.append(Tile(total, "computed, all runs together", files))
    return [*found, _retrieval_tile(content)] if content.retrievals else found


def _retrieval_tile(content: Content) -> Tile:
    found = content.retrievals[0]
    (own,) = recalls(found.ranks, [10])
    beside = f"{found.control} {recalls(found.control_ranks, [10])[0]:.1f}, " if found.control else ""
    chance = 100 * min(10, found.n) / found.n
    return Tile(f"{own:.1f} %", f"R@10 of {found.run} ({beside}chance {chance:.1f})", found.source)
