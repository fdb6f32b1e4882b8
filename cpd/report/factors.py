"""Parts of a class told apart (motion and appearance in the demo), for every run that has them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpd.config import Config
    from cpd.evaluate.result import Result


@dataclass(frozen=True)
class Bars:
    """Shares of predictions with the right value of each factor, of one result: {factor: (percent, chance)}."""

    dataset: str
    protocol: str
    run: str
    factors: dict[str, tuple[float, float]]


def by_measurement(config: Config, found: Iterable[Result]) -> dict[str, list[Bars]]:
    """The factors' shares of every run, in the order of `run`, by "PROTOCOL on DATASET-SPLIT".

    Of several splits the first; of frozen features those of res5; parts of a data set (`fractions`) are left out.
    """
    order = {name: place for place, name in enumerate(config.run)}
    kept = [result for result in found if _is_shown(config, result)]
    kept.sort(key=lambda result: (order.get(result.experiment, len(order)), result.seed))
    bars = sorted(filter(None, map(_bars, kept)), key=lambda bar: (bar.dataset, bar.protocol))
    groups = groupby(bars, key=lambda bar: f"{bar.protocol} on {bar.dataset}")
    return {name: list(group) for name, group in groups}


def _is_shown(config: Config, result: Result) -> bool:
    spec = config.datasets[result.dataset]
    return not spec.fractions and (not spec.folds or result.split == str(spec.folds[0]))


def _bars(result: Result) -> Bars | None:
    values: dict[str, Any] = result.values.get("res5") or result.values.get("all") or result.values
    chance = values.get("chance", {})
    factors = {name: (values[name], chance[name]) for name in chance if name in values and name != "top1"}
    return Bars(f"{result.dataset}-{result.split}", result.protocol, result.run, factors) if factors else None
