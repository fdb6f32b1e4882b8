"""What the runs cost: hours by part, clips a second, how long a step waits for data, and peak memory."""

from __future__ import annotations

import csv
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.engine.log import rows_of
from cpd.errors import CpdError
from cpd.fileio import read_json
from cpd.profiling import STARVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cpd.config import Config
    from cpd.evaluate.result import Result


@dataclass(frozen=True)
class Cost:
    """One run; None where nothing says it.

    Attributes:
        run: which one.
        pretrain: seconds of training and validation, over all attempts.
        features: seconds of all feature extractions.
        finetune: seconds of all fine-tunings that a table names.
        protocols: seconds of the protocols on frozen features.
        clips_per_second: mean over the training.
        data_share: share of a step's time spent waiting for clips, in percent; median over the logged steps.
        memory: peak resident memory of one of its jobs, MB (main memory of the machine, not the GPU's).
        processes: number of processes that trained it.
    """

    run: str
    pretrain: float | None
    features: float | None
    finetune: float | None
    protocols: float | None
    clips_per_second: float | None
    data_share: float | None
    memory: float | None
    processes: int | None

    @property
    def total(self) -> float:
        """Seconds of all parts."""
        return sum(part or 0.0 for part in (self.pretrain, self.features, self.finetune, self.protocols))

    @property
    def starved(self) -> bool:
        """Whether its training waited for clips longer than a loader that keeps up would let it."""
        return self.data_share is not None and self.data_share > 100 * STARVED


def costs(config: Config, runs: list[str], results: list[Result]) -> list[Cost]:
    """The costs of runs of which anything is known.

    Raises:
        CpdError: a metrics.json is damaged.
    """
    found = [_cost(Path(config.results), run, [r for r in results if r.run == run]) for run in runs]
    return [cost for cost in found if cost.total or cost.memory]


def _cost(root: Path, run: str, results: list[Result]) -> Cost:
    path = root / "pretrain" / run / "metrics.json"
    metrics: dict[str, Any] = read_json(path) if path.is_file() else {}
    marks = {part: _benchmarks(root / "benchmarks" / part, run) for part in ("pretrain", "features", "finetune")}
    tuned = [result.wall_seconds for result in results if result.protocol == "finetune"]
    frozen = [result.wall_seconds for result in results if result.protocol != "finetune"]
    memory = [row["max_rss"] for rows in marks.values() for row in rows if row.get("max_rss")]
    return Cost(
        run=run,
        pretrain=metrics.get("wall_seconds"),
        features=_total([row.get("s") for row in marks["features"]]),
        finetune=_total(tuned),
        protocols=_total(frozen),
        clips_per_second=metrics.get("clips_per_second") or None,
        data_share=_data_share(root / "pretrain" / run / "metrics.jsonl"),
        memory=max(memory, default=None),
        processes=metrics.get("world_size"),
    )


def _benchmarks(folder: Path, run: str) -> list[dict[str, float]]:
    """Snakemake's measurements of the jobs of a run; what it could not measure is left out."""
    paths = [folder / f"{run}.tsv", *sorted((folder / run).glob("*.tsv"))]
    return [row for path in paths if path.is_file() for row in _read(path)]


def _read(path: Path) -> list[dict[str, float]]:
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return [{key: float(row[key]) for key in ("s", "max_rss") if _is_number(row.get(key))} for row in rows]


def _is_number(text: str | None) -> bool:
    return bool(text) and str(text).replace(".", "", 1).isdecimal()


def _total(seconds: Sequence[float | None]) -> float | None:
    known = [value for value in seconds if value is not None]
    return sum(known) if known else None


def _data_share(path: Path) -> float | None:
    try:
        steps = [row for row in rows_of(path) if row.get("event") == "step"]
    except CpdError:
        return None  # the curves name the damaged log
    shares = [
        100 * row["data_seconds"] / row["seconds"] for row in steps if row.get("seconds") and "data_seconds" in row
    ]
    return statistics.median(shares) if shares else None
