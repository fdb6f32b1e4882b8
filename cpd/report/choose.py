"""Which runs the report looks into, and which files it reads. Light: the Snakefile imports it."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpd import tables
from cpd.config import experiment
from cpd.errors import ConfigError
from cpd.evaluate.predictions import predictions_path
from cpd.evaluate.result import parse_run, reads_features, run_name
from cpd.sources.plan import chunk_names

if TYPE_CHECKING:
    from cpd.config import Config


@dataclass(frozen=True)
class Shown:
    """The run that examples, confusions and the map are of, and the run beside it; None where there is none."""

    run: str | None
    control: str | None

    @property
    def both(self) -> list[str]:
        """The runs there are, the one of interest first."""
        return [run for run in (self.run, self.control) if run]


@dataclass(frozen=True)
class Measurement:
    """One result file that a table names."""

    run: str
    protocol: str
    dataset: str
    split: str
    path: Path


def shown(config: Config) -> Shown:
    """`report.run` and `report.control`; by default the trained run that most table rows name, and one without titles.

    The control is an experiment with shuffled titles, or else an untrained one. Both are of the first seed.

    Raises:
        ConfigError: `report` names a run that there is not.
    """
    run = _known(config, "run", config.report.run) or _favourite(config)
    control = _known(config, "control", config.report.control) or _control(config, beside=run)
    return Shown(run, control)


def measurements(config: Config) -> list[Measurement]:
    """Every result that tables name, in their order, whether its file is there or not."""
    paths = [path for name in config.tables for path in tables.inputs(config, name)]
    return [_measurement(path) for path in dict.fromkeys(paths)]


def runs(config: Config) -> list[str]:
    """Every run that a table names, in the order of `run`, for every seed."""
    named = {parse_run(found.run)[0] for found in measurements(config)}
    names = [name for name in config.run if name in named] + sorted(named - set(config.run))
    return [run_name(name, seed) for name in names for seed in config.seeds]


def predicted(config: Config) -> list[Measurement]:
    """The measurements of the shown runs, whose predictions the report reads."""
    both = shown(config).both
    return [found for found in measurements(config) if found.run in both]


def mapped(config: Config) -> list[tuple[str, str]]:
    """(run, dataset) of the map: the first dataset that both shown runs have frozen features of."""
    frozen = [found for found in predicted(config) if reads_features(found.protocol)]
    both = shown(config).both
    common = [d for d in _datasets(frozen) if {found.run for found in frozen if found.dataset == d} == set(both)]
    return [(run, dataset) for dataset in common[:1] for run in both]


def stage_files(config: Config) -> list[Path]:
    """Rows of every stage of the data path, from which the flow of ids is counted."""
    files = []
    for name, source in config.sources.items():
        folder = Path(config.results) / "sources" / name
        stages = ["plan", "crawl", *(["tree"] if source.text else []), "clips"]
        for chunk in (chunk for chunks in chunk_names(source).values() for chunk in chunks):
            files += [folder / stage / f"{chunk}.jsonl" for stage in stages]
            files.append(folder / "shards" / f"{chunk}.ledger.jsonl")
    return files


def prediction_files(config: Config) -> list[Path]:
    """Predictions that stand beside the results of the shown runs."""
    return [predictions_path(found.path) for found in predicted(config)]


def _datasets(found: list[Measurement]) -> list[str]:
    return list(dict.fromkeys(row.dataset for row in found))


def _measurement(path: Path) -> Measurement:
    dataset, _, split = path.name.removesuffix(".json").rpartition("-")
    return Measurement(path.parent.parent.name, path.parent.name, dataset, split, path)


def _known(config: Config, key: str, run: str | None) -> str | None:
    if run is None:
        return None
    name, seed = parse_run(run)
    if name not in config.experiments:
        close = difflib.get_close_matches(name, config.experiments, n=1) or sorted(config.experiments)
        raise ConfigError(f"report.{key}: experiments has no {name!r}", hint=f"known: {', '.join(close)}")
    return run_name(name, seed)


def _favourite(config: Config) -> str | None:
    rows = Counter(row.run for table in config.tables.values() for row in table.rows if row.run)
    trained = [name for name in _selected(config) if _is_trained(config, name)]
    on_titles = [name for name in trained if experiment(config, name).objective.learns_from_titles]
    best = max(on_titles or trained, key=lambda name: rows[name], default=None)
    return run_name(best, config.seeds[0]) if best else None


def _control(config: Config, *, beside: str | None) -> str | None:
    names = [name for name in _selected(config) if beside is None or name != parse_run(beside)[0]]
    shuffled = [name for name in names if experiment(config, name).shuffle_titles]
    untrained = [name for name in names if experiment(config, name).objective.name == "none"]
    return next((run_name(name, config.seeds[0]) for name in shuffled + untrained), None)


def _selected(config: Config) -> list[str]:
    return list(dict.fromkeys(config.run))


def _is_trained(config: Config, name: str) -> bool:
    exp = experiment(config, name)
    return exp.objective.name != "none" and not exp.shuffle_titles
