"""Accuracy by class and what is taken for what, of the shown run beside its control."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cpd.evaluate.predictions import Classified, predictions_path
from cpd.report.choose import Measurement, predicted, shown
from cpd.report.predictions import beside_control, read_current

if TYPE_CHECKING:
    from cpd.config import Config

ENDS, CONFUSED, PAIRS = 20, 20, 8  # classes shown of the best and of the worst, in the matrix, pairs in the list
PROTOCOLS = ("linear", "zeroshot", "finetune", "knn")  # one panel for each of the first three that there are
PANELS = 3


@dataclass(frozen=True)
class Score:
    """One class: its test items, and the share that was right, in percent; `control` is None without predictions."""

    name: str
    n: int
    accuracy: float
    control: float | None


@dataclass(frozen=True)
class ByClass:
    """One classification of the shown run.

    Attributes:
        run: which run; `control` the one beside it, None where it has no predictions.
        control: see `run`.
        protocol: linear, zeroshot, finetune or knn.
        dataset: on which dataset; `split` which split of it.
        split: see `dataset`.
        source: the predictions shown.
        feature: "res5", or "all" where there is only one.
        n: test items.
        classes: number of classes with test items.
        accuracy: top-1 over all items, in percent.
        scores: of the classes shown, best first: all, or the best and the worst.
        names: of the classes in the matrix: all, or those with most mistakes, in the order of their names.
        matrix: items of class `names[i]` that were taken for `names[j]`.
        pairs: the commonest mistakes, as (true, predicted, items).
    """

    run: str
    control: str | None
    protocol: str
    dataset: str
    split: str
    source: str
    feature: str
    n: int
    classes: int
    accuracy: float
    scores: tuple[Score, ...]
    names: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[str, str, int], ...]


def by_class(config: Config) -> tuple[list[ByClass], list[str]]:
    """One classification for each of a few protocols, and what is missing."""
    rows = [r for r in predicted(config) if r.protocol in PROTOCOLS and not config.datasets[r.dataset].fractions]
    own = [row for row in rows if row.run == shown(config).run]
    first = [next((row for row in own if row.protocol == protocol), None) for protocol in PROTOCOLS]
    shown_rows = [row for row in first if row is not None][:PANELS]
    return beside_control(config, shown_rows, rows, Classified, _by_class)


def _by_class(config: Config, row: Measurement, beside: Classified | None, *, control: str | None) -> ByClass:
    own = read_current(config, row, Classified)
    feature = "res5" if "res5" in own.top5 else next(iter(own.top5))
    truth = [own.classes[label] for label in own.labels]
    guess = _guesses(own, feature)
    scores = _scores(truth, guess, _control(beside, feature))
    mistakes = Counter((t, g) for t, g in zip(truth, guess, strict=True) if t != g)
    names = _most_confused(sorted(set(truth)), mistakes)
    taken = Counter(zip(truth, guess, strict=True))
    return ByClass(
        run=row.run,
        control=control if any(score.control is not None for score in scores) else None,
        protocol=row.protocol,
        dataset=row.dataset,
        split=row.split,
        source=str(predictions_path(row.path)),
        feature=feature,
        n=len(truth),
        classes=len(scores),
        accuracy=100.0 * sum(t == g for t, g in zip(truth, guess, strict=True)) / len(truth),
        scores=tuple(scores if len(scores) <= 2 * ENDS else scores[:ENDS] + scores[-ENDS:]),
        names=tuple(names),
        matrix=tuple(tuple(taken[t, g] for g in names) for t in names),
        pairs=tuple((t, g, n) for (t, g), n in sorted(mistakes.items(), key=lambda item: (-item[1], item[0]))[:PAIRS]),
    )


def _guesses(found: Classified, feature: str) -> list[str]:
    """The first guess of every item; "" where there is none."""
    return [found.classes[best[0]] if best else "" for best in found.top5[feature]]


def _control(found: Classified | None, feature: str) -> dict[str, float]:
    """Accuracy by class of the control run; {} where it has no predictions."""
    if found is None or feature not in found.top5:
        return {}
    truth = [found.classes[label] for label in found.labels]
    return {score.name: score.accuracy for score in _scores(truth, _guesses(found, feature), {})}


def _scores(truth: list[str], guess: list[str], control: dict[str, float]) -> list[Score]:
    """Best first; of equal ones in the order of their names."""
    items = Counter(truth)
    right = Counter(t for t, g in zip(truth, guess, strict=True) if t == g)
    scores = [Score(name, n, 100.0 * right[name] / n, control.get(name)) for name, n in items.items()]
    return sorted(scores, key=lambda score: (-score.accuracy, score.name))


def _most_confused(names: list[str], mistakes: Counter[tuple[str, str]]) -> list[str]:
    """All names, or those that take part in most mistakes, in the order of the names."""
    if len(names) <= CONFUSED + 5:
        return names
    part: Counter[str] = Counter()
    for (truth, guess), n in mistakes.items():
        part.update({truth: n, guess: n})
    return sorted(sorted(names, key=lambda name: (-part[name], name))[:CONFUSED])
