"""Classes drawn at random (zero-shot on subsets): how far the draws differ, and how many items one scores."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, NamedTuple

from cpd.evaluate.result import leaves

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cpd.evaluate.result import Result


class Draws(NamedTuple):
    """The draws behind a cell.

    Attributes:
        number: of draws, in the first result.
        std: sample standard deviation over the draws, in the metric's unit: mean over splits and seeds; None for one.
        n: test items of a draw, mean over the draws, over all splits of the first seed; None where a result of an
            older version does not say.
    """

    number: int
    std: float | None
    n: int | None

    def note(self, *, seeds: int) -> str:
        """What the cell's deviation and n are of: its own ± is over seeds where there are several."""
        items = "how many test items in each is not recorded"
        if self.n is not None:
            items = f"{self.n} test items in each on average"
        if self.std is None:
            return f"over 1 draw of classes, {items}"
        if seeds == 1:
            return f"± over {self.number} draws of classes, {items}"
        return f"over {self.number} draws of classes, ± {self.std:.1f} among them, {items}"


def draws_of(by_seed: dict[int, list[Result]], metric: str) -> Draws | None:
    """The draws that a metric is the mean of; None where it is not of draws.

    Args:
        by_seed: results by seed, then split.
        metric: such as "20.top1"; "20.std", "20.draws" and "20.share" stand beside it.
    """
    group = metric.rpartition(".")[0]
    results = [result for results in by_seed.values() for result in results]
    found: list[dict[str, Any]] = [_beside(leaves(result.values), group) for result in results]
    if not found or any(values["std"] is None or values["draws"] is None for values in found):
        return None
    first = next(iter(by_seed.values()))
    shares = [(values["share"], result.n) for values, result in zip(found, first, strict=False)]
    known = [share * n / 100.0 for share, n in shares if share is not None]
    number = int(found[0]["draws"])
    return Draws(
        number=number,
        std=statistics.fmean(values["std"] for values in found) if number > 1 else None,
        n=round(sum(known)) if len(known) == len(first) else None,
    )


def _beside(values: Mapping[str, Any], group: str) -> dict[str, Any]:
    return {key: values.get(f"{group}.{key}") for key in ("std", "draws", "share")}
