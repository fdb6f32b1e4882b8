"""Parts of a class told apart: what moves, and how it looks.

A class such as "slide left, red disc" has a motion and an appearance. A prediction that is wrong as a class may still
have the right motion; chance is what always guessing the commonest value would score.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.errors import CpdError
from cpd.fileio import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

Factors = dict[str, dict[str, str]]


def load_factors(path: str | Path) -> Factors:
    """Read json {class: {factor: value}}.

    Raises:
        CpdError: the file is missing, of another form, or a class lacks a factor that another has.
    """
    try:
        factors = msgspec.convert(read_json(path), Factors)
    except msgspec.ValidationError as error:
        raise CpdError(f"{path}: {error}", hint="write {class: {factor: value}}") from None
    names = {name for values in factors.values() for name in values}
    for label, values in factors.items():
        if set(values) != names:
            raise CpdError(f"{path}: class {label!r} lacks {sorted(names - set(values))}", hint="give every factor")
    return factors


def factor_scores(predicted: Sequence[str], truth: Sequence[str], factors: Factors | None) -> dict[str, Any]:
    """Share of predictions whose class has the right value of each factor, in percent, and chance.

    Args:
        predicted: N predicted classes.
        truth: N true classes.
        factors: {class: {factor: value}}, or None for a source without.

    Returns:
        {factor: percent, ..., "chance": {factor: percent, ...}}, or {} without factors.

    Raises:
        CpdError: a class is not among the factors, or there are no items.
    """
    if factors is None:
        return {}
    unknown = sorted({*predicted, *truth} - set(factors))
    if unknown:
        raise CpdError(
            f"factors say nothing of the classes {unknown[:5]}", hint="add them to the source's factors file"
        )
    if len(predicted) != len(truth) or not truth:
        raise CpdError(
            f"{len(predicted)} predictions for {len(truth)} items", hint="one prediction an item, at least 1"
        )
    names = sorted(factors[truth[0]])
    pairs = list(zip(predicted, truth, strict=True))
    right = {name: percent(factors[p][name] == factors[t][name] for p, t in pairs) for name in names}
    return right | {"chance": {name: commonest_share([factors[t][name] for t in truth]) for name in names}}


def commonest_share(values: Sequence[str]) -> float:
    """What always guessing the commonest value scores, in percent."""
    return 100.0 * Counter(values).most_common(1)[0][1] / len(values)


def percent(hits: Any) -> float:
    """Share of true values, in percent."""
    held = [bool(hit) for hit in hits]
    return 100.0 * sum(held) / len(held)


def classification_scores(
    ranked: Sequence[Sequence[str]], truth: Sequence[str], factors: Factors | None = None
) -> dict[str, Any]:
    """top1, top5, the factors' shares, and chance.

    Args:
        ranked: for each of N items its best classes, best first (at most 5 count).
        truth: N true classes.
        factors: as for `factor_scores`.
    """
    scores = factor_scores([best[0] for best in ranked], truth, factors)
    chance = {"top1": commonest_share(truth)} | scores.pop("chance", {})
    top1 = percent(best[0] == t for best, t in zip(ranked, truth, strict=True))
    top5 = percent(t in best[:5] for best, t in zip(ranked, truth, strict=True))
    return {"top1": top1, "top5": top5, "chance": chance} | scores
