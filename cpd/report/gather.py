"""What the report shows, read from the results alone. What is not there yet is left empty, and the page says so."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd import tables
from cpd.errors import CpdError
from cpd.evaluate.result import Result, model_path, read_result, run_name
from cpd.fileio import read_json

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.tables import Cell

EXAMPLES = 8


@dataclass(frozen=True)
class Attrition:
    """Ids of one split of a source by what became of them; `ok` are in the shards."""

    source: str
    split: str
    counts: dict[str, int]

    @property
    def planned(self) -> int:
        """Number of ids in the list."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Curve:
    """One run's epochs: (epoch, loss) and (epoch, validation R@10); `note` says what is wrong with its log."""

    run: str
    loss: list[tuple[int, float]]
    r10: list[tuple[int, float]]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """One table's cells, or why there are none."""

    name: str
    title: str
    cells: list[Cell]
    problem: str = ""


@dataclass(frozen=True)
class Bars:
    """Shares of predictions with the right value of each factor, of one result: {factor: (percent, chance)}."""

    dataset: str
    protocol: str
    run: str
    factors: dict[str, tuple[float, float]]


def attrition(config: Config) -> list[Attrition]:
    """What became of every planned id, by source and split, from each index.json that is there."""
    found = []
    for source in config.sources:
        path = Path(config.results) / "sources" / source / "shards" / "index.json"
        ledger = read_json(path).get("ledger", {}) if path.is_file() else {}
        found += [Attrition(source, split, dict(sorted(counts.items()))) for split, counts in ledger.items()]
    return found


def runs(config: Config) -> list[str]:
    """Every selected run, for every seed."""
    return [run_name(name, seed) for name in config.run for seed in config.seeds]


def curves(config: Config) -> list[Curve]:
    """Learning curves of the runs that have a log."""
    folders = {run: Path(config.results) / "pretrain" / run / "metrics.jsonl" for run in runs(config)}
    return [_curve(run, path) for run, path in folders.items() if path.is_file()]


def all_tables(config: Config) -> list[Table]:
    """Every table; one that cannot be built says why, and shows no number."""
    found = []
    for name, spec in config.tables.items():
        try:
            found.append(Table(name, spec.title, tables.build(config, name)))
        except CpdError as error:
            found.append(Table(name, spec.title, [], problem=str(error)))
    return found


def results(found: list[Table]) -> list[Result]:
    """Every result file that a sound table holds, once."""
    paths = {file for table in found for cell in table.cells for file in cell.files}
    return [read_result(path) for path in sorted(paths)]


def factor_bars(found: list[Result]) -> list[Bars]:
    """The factors' shares of every classification that has them; of frozen features those of res5."""
    bars = []
    for result in found:
        values: dict[str, Any] = result.values.get("res5") or result.values.get("all") or result.values
        chance = values.get("chance", {})
        factors = {name: (values[name], chance[name]) for name in chance if name in values and name != "top1"}
        if factors:
            bars.append(Bars(f"{result.dataset}-{result.split}", result.protocol, result.run, factors))
    return sorted(bars, key=lambda bar: (bar.dataset, bar.protocol))


def examples(config: Config) -> dict[str, list[dict[str, str]]]:
    """Some titles of each source as written, cleaned and parsed, from its first chunk."""
    found = {}
    for source in config.sources:
        chunks = sorted((Path(config.results) / "sources" / source / "tree").glob("*.jsonl"))
        rows = [row for row in _rows(chunks[0]) if row.get("title")] if chunks else []
        step = max(1, len(rows) // EXAMPLES)
        picked = [
            {key: str(row.get(key) or "") for key in ("title", "title_clean", "title_tree")} for row in rows[::step]
        ]
        if picked:
            found[source] = picked[:EXAMPLES]
    return found


def provenance(config: Config, found: list[Result]) -> dict[str, Any]:
    """Which weights, settings and packages the numbers come from."""
    weights = {}
    for result in found:
        model = str(model_path(config, result.run))
        weights[result.run] = {"weights": result.inputs.get(model, ""), "settings": result.config_digest}
    versions = [dict(pairs) for pairs in dict.fromkeys(tuple(sorted(r.versions.items())) for r in found)]
    return {"runs": weights, "versions": versions, "world_sizes": sorted({r.world_size for r in found})}


def _curve(run: str, path: Path) -> Curve:
    try:
        rows = [row for row in _rows(path) if row.get("event") == "epoch"]
    except ValueError as error:
        return Curve(run, [], [], note=f"{path}: {error}")
    loss = [(row["epoch"], row["loss"]) for row in rows]
    r10 = [(row["epoch"], row["validation"]["r10"]) for row in rows if "r10" in row.get("validation", {})]
    dropped = sum(not _is_finite(value) for _, value in loss + r10)
    return Curve(
        run,
        loss=[point for point in loss if _is_finite(point[1])],
        r10=[point for point in r10 if _is_finite(point[1])],
        note=f"{run}: {dropped} values that are not finite are not drawn" if dropped else "",
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a jsonl file; a last line without its end (a run that is writing) is not one yet.

    Raises:
        ValueError: another line is not JSON.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = itertools.takewhile(lambda line: line.endswith("\n"), lines)
    return [json.loads(line) for line in whole]
