"""What a protocol said of every test item, beside its result: for accuracy by class, confusions and examples.

Tables read the result alone. Classes and items are named once and numbered from 0 by their place in that list.
Shapes: Q test items, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cpd.errors import CpdError
from cpd.evaluate.factors import Factors, classification_scores
from cpd.fileio import read_json, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TOP = 5
SUFFIX = ".predictions.json"
AGAIN = "delete it and run its protocol again"


class Classified(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Classes of Q test items.

    Attributes:
        classes: K names, those of the training items too.
        keys: of the Q items.
        labels: number of each item's true class.
        top5: by feature ("emb", "res5", or "all"), per item the numbers of its best classes, best first: at most 5, and
            fewer where there are fewer classes, or where only fewer have a neighbour.
    """

    classes: list[str]
    keys: list[str]
    labels: list[int]
    top5: dict[str, list[list[int]]]


class Ranked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One direction of a retrieval.

    Attributes:
        rank: of the right item, 1 is best, per query.
        top5: numbers of the best (at most 5) items per query, best first.
    """

    rank: list[int]
    top5: list[list[int]]


class Retrieved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ranks of Q pairs: titles that look for their video (`t2v`), videos that look for their title (`v2t`).

    Attributes:
        keys: of the Q pairs; query i looks for item i.
        t2v: queries are titles, items are videos.
        v2t: the other way round.
    """

    keys: list[str]
    t2v: Ranked
    v2t: Ranked


Predictions = Classified | Retrieved


@dataclass(frozen=True)
class Measured:
    """What a protocol's `evaluate` gives: `values` for the result file, and the predictions that they sum up."""

    values: dict[str, Any]
    predictions: Predictions

    def __len__(self) -> int:
        return len(self.predictions.keys)


def predictions_path(result: str | Path) -> Path:
    """Where the predictions of a result file stand: `ucf101-1.json` -> `ucf101-1.predictions.json`."""
    return Path(result).with_suffix("").with_name(Path(result).name.removesuffix(".json") + SUFFIX)


def scored(
    ranked: Mapping[str, Sequence[Sequence[str]]],
    truth: Sequence[str],
    keys: Sequence[str],
    *,
    classes: Iterable[str],
    factors: Factors | None = None,
) -> Measured:
    """Scores of every feature, and the predictions they sum up.

    Args:
        ranked: by feature, per item its best classes by name, best first.
        truth: Q true classes; one that training never saw gets a number, too.
        keys: of the Q items.
        classes: all names that may be predicted.
        factors: as for `factor_scores`.

    Returns:
        Values {feature: {"top1", "top5", "chance", ...}}, in percent.
    """
    values = {feature: classification_scores(rows, truth, factors) for feature, rows in ranked.items()}
    return Measured(values, classified(ranked, truth, keys, classes=classes))


def classified(
    ranked: Mapping[str, Sequence[Sequence[str]]],
    truth: Sequence[str],
    keys: Sequence[str],
    *,
    classes: Iterable[str],
) -> Classified:
    """Number the classes; the arguments are those of `scored`."""
    names = sorted({*classes, *truth})
    number = {name: position for position, name in enumerate(names)}
    top5 = {feature: [[number[name] for name in best[:TOP]] for best in rows] for feature, rows in ranked.items()}
    return Classified(classes=names, keys=list(keys), labels=[number[name] for name in truth], top5=top5)


def write_predictions(path: str | Path, predictions: Predictions) -> None:
    """Write predictions as one line of JSON, whole or not at all.

    Raises:
        CpdError: as `read_predictions` would.
    """
    _check(path, predictions)
    write_bytes(path, msgspec.json.encode(predictions) + b"\n")


def read_predictions(path: str | Path) -> Predictions:
    """Read predictions; `Retrieved` where the file has no classes.

    Raises:
        CpdError: the file is missing, not JSON, lacks a key, its lists differ in length, or a number has no name.
    """
    raw = read_json(path)
    kind: type[Predictions] = Classified if isinstance(raw, dict) and "classes" in raw else Retrieved
    try:
        found: Predictions = msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise CpdError(f"{path}: {error}", hint=AGAIN) from None
    _check(path, found)
    return found


def _check(path: str | Path, predictions: Predictions) -> None:
    n = len(predictions.keys)
    if isinstance(predictions, Classified):
        rows = {"labels": predictions.labels} | {f"top5.{name}": best for name, best in predictions.top5.items()}
        _check_lengths(path, rows, n)
        _check_numbers(path, "labels", [predictions.labels], len(predictions.classes))
        for name, best in predictions.top5.items():
            _check_numbers(path, f"top5.{name}", best, len(predictions.classes))
        return
    for way, ranked in (("t2v", predictions.t2v), ("v2t", predictions.v2t)):
        _check_lengths(path, {f"{way}.rank": ranked.rank, f"{way}.top5": ranked.top5}, n)
        _check_numbers(path, f"{way}.top5", ranked.top5, n)
        _check_numbers(path, f"{way}.rank", [[rank - 1 for rank in ranked.rank]], n)


def _check_lengths(path: str | Path, rows: Mapping[str, Sequence[Any]], n: int) -> None:
    for name, values in rows.items():
        if len(values) != n:
            raise CpdError(f"{path}: {name} has {len(values)} rows for {n} keys", hint=AGAIN)


def _check_numbers(path: str | Path, name: str, rows: Sequence[Sequence[int]], n: int) -> None:
    outside = [number for row in rows for number in row if not 0 <= number < n]
    if outside:
        raise CpdError(f"{path}: {name} speaks of number {outside[0]} of {n}", hint=AGAIN)
