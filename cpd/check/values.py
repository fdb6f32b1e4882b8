"""What a result's numbers must be whatever was measured: percents, ranks, and an order among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cpd.evaluate.result import Result

COUNTS = {"classes", "draws", "failed"}
RANKS = {"median_rank"}
RISING = (("top1", "top5"), ("r1", "r5"), ("r5", "r10"))  # a hit within k is one within more than k


def problems_of_values(result: Result) -> list[str]:
    """What no protocol can have measured."""
    found = [] if result.n > 0 else [f"n is {result.n}"]
    for path, group in _groups(result.values, ""):
        found += [problem for name, value in group.items() if (problem := _problem(f"{path}{name}", value, n=result.n))]
        found += [
            f"{path}{low} {group[low]} is above {path}{high} {group[high]}"
            for low, high in RISING
            if _are_numbers(group.get(low), group.get(high)) and group[low] > group[high]
        ]
    return found


def _groups(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every mapping of numbers in nested values, with its path."""
    yield path, {name: value for name, value in values.items() if not isinstance(value, dict)}
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _groups(value, f"{path}{name}.")


def _problem(path: str, value: Any, *, n: int) -> str:
    name = path.rpartition(".")[2]
    if not _are_numbers(value) or not math.isfinite(value):
        return f"{path} is {value!r}, not a number"
    if name in COUNTS:
        return "" if value >= 0 and value == int(value) else f"{path} is {value}, not a count"
    if name in RANKS:
        return "" if 1 <= value <= n else f"{path} is {value}, not a rank among {n}"
    return "" if 0 <= value <= 100 else f"{path} is {value}, not a percentage"


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
