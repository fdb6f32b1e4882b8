"""Learning curves: loss and validation retrieval by epoch, and where the curriculum changed its stage."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.engine.log import epochs_of
from cpd.errors import CpdError
from cpd.evaluate.result import parse_run, run_name
from cpd.fileio import read_json

if TYPE_CHECKING:
    from cpd.config import Config

Point = tuple[int, float]


@dataclass(frozen=True)
class Curve:
    """One run's epochs.

    Attributes:
        run: which one.
        loss: (epoch, training loss).
        r10: (epoch, validation R@10 in percent); `top1` likewise of a run that learns from labels.
        top1: see `r10`.
        switches: first epochs of the stages after the first.
        note: what is wrong with the log.
    """

    run: str
    loss: list[Point] = field(default_factory=list)
    r10: list[Point] = field(default_factory=list)
    top1: list[Point] = field(default_factory=list)
    switches: list[int] = field(default_factory=list)
    note: str = ""


def curves(config: Config) -> list[Curve]:
    """Curves of the selected runs that have any: of metrics.json, or of the log while a run is going on."""
    found = [_curve(Path(config.results) / "pretrain" / run, run) for run in runs(config)]
    return [curve for curve in found if curve.loss or curve.note]


def runs(config: Config) -> list[str]:
    """Every selected run, for every seed."""
    return [run_name(name, seed) for name in config.run for seed in config.seeds]


def by_experiment(found: list[Curve]) -> dict[str, list[Curve]]:
    """Curves of an experiment's seeds together."""
    groups: dict[str, list[Curve]] = {}
    for curve in found:
        groups.setdefault(parse_run(curve.run)[0], []).append(curve)
    return groups


def _curve(folder: Path, run: str) -> Curve:
    try:
        rows = _rows(folder)
    except CpdError as error:
        return Curve(run, note=error.message)
    loss = [(row["epoch"], row.get("loss")) for row in rows]
    r10, top1 = _scores(rows, "r10"), _scores(rows, "top1")
    sound = _finite(loss), _finite(r10), _finite(top1)
    dropped = len(loss) + len(r10) + len(top1) - sum(map(len, sound))
    note = f"{run}: {dropped} values that are not finite are not drawn" if dropped else ""
    return Curve(run, loss=sound[0], r10=sound[1], top1=sound[2], switches=_switches(rows), note=note)


def _rows(folder: Path) -> list[dict[str, Any]]:
    """Epochs as {epoch, stage, loss, validation}."""
    path = folder / "metrics.json"
    if not path.is_file():
        return epochs_of(folder / "metrics.jsonl")
    metrics = read_json(path)
    validation = {row["epoch"]: row for row in metrics.get("validation", [])}
    rows = metrics.get("history", [])
    return [row | ({"validation": validation[row["epoch"]]} if row["epoch"] in validation else {}) for row in rows]


def _switches(rows: list[dict[str, Any]]) -> list[int]:
    pairs = itertools.pairwise(rows)
    return [after["epoch"] for before, after in pairs if after.get("stage", 0) != before.get("stage", 0)]


def _scores(rows: list[dict[str, Any]], name: str) -> list[tuple[int, Any]]:
    return [(row["epoch"], row["validation"][name]) for row in rows if name in row.get("validation", {})]


def _finite(points: list[tuple[int, Any]]) -> list[Point]:
    return [(x, y) for x, y in points if isinstance(y, int | float) and math.isfinite(y)]
