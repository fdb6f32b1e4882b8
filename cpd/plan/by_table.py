"""What each table takes on its own, in Markdown (docs/cluster.md holds it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.plan.build import build
from cpd.plan.show import assumed, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpd.config import Config
    from cpd.plan.build import Plan

HEAD = (
    "table",
    "experiments",
    "GPU-hours: training",
    "evaluation",
    "GB on disk",
    "downloads",
    "hours of crawl",
    "jobs",
)


def by_table(config: Config, names: Sequence[str] = ()) -> str:
    """One row a table (default: every one), and one for all together, where what they share is counted once.

    Raises:
        CpdError: there is no such table.
    """
    rows = [_row(f"`{name}`", build(config, [name])) for name in names or config.tables]
    whole = build(config, names)
    lines = [HEAD, ("---", *["---:"] * (len(HEAD) - 1)), *rows, _row("all together", whole)]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in lines), "", f"{assumed(whole)}."])


def _row(name: str, plan: Plan) -> tuple[str, ...]:
    total = plan.total
    return (
        name,
        str(len(plan.experiments)),
        number(total.pretrain_gpu_hours),
        number(total.evaluate_gpu_hours),
        number(total.storage_bytes / 1e9),
        f"{total.downloads:,}",
        number(total.crawl_hours),
        f"{sum(total.jobs.values()):,}",
    )
