"""The typed config: every key of config.yaml, its type and its default.

`load_config` reads one or more YAML files (later ones overlay earlier ones: mappings merge, lists and scalars
replace, as Snakemake's `--configfile` does; a source, dataset, encoder, experiment or table that is null is taken out)
and refuses what YAML lets through: unknown keys, duplicate keys and numbers that YAML 1.1 reads as strings (`1e-4`).
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cpd.config.base import Strict, require
from cpd.config.cluster import Cluster
from cpd.config.data import Clips, Crawl, Demo, Source, Text
from cpd.config.evaluation import Dataset, Evaluate, Table
from cpd.config.plan import Plan
from cpd.config.report import Report
from cpd.config.strict_yaml import read_yaml, refuse_odd_numbers
from cpd.config.training import Encoder, Experiment
from cpd.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)
NAMED = ("sources", "datasets", "encoders", "experiments", "tables")  # sections that hold things by name


class Config(Strict, frozen=True, kw_only=True):
    """The whole of config.yaml. An overlay takes out a source, dataset, encoder, experiment or table by `NAME: null`.

    Attributes:
        defaults: of every experiment (the keys of Experiment).
        experiments: by name, what differs from the defaults; `evaluate` in it overlays the protocols' settings for this
            experiment alone, as `{features: {size: 256}}`.
        run: the experiments that the workflow trains.
    """

    results: str
    data: str
    corpus: str = "full"
    seeds: tuple[int, ...] = (0,)
    sources: dict[str, Source]
    datasets: dict[str, Dataset]
    encoders: dict[str, Encoder]
    crawl: Crawl = Crawl()
    clips: Clips = Clips()
    text: Text = Text()
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    experiments: dict[str, dict[str, Any]]
    run: tuple[str, ...]
    evaluate: Evaluate = Evaluate()
    tables: dict[str, Table]
    plan: Plan = Plan()
    report: Report = Report()
    cluster: Cluster = Cluster()
    demo: Demo | None = None

    def __post_init__(self) -> None:
        require(bool(self.seeds), "seeds", "must not be empty: [0] is one run of each experiment")
        require(all(0 <= seed < 1 << 32 for seed in self.seeds), "seeds", "must be from 0 to 2**32 - 1")
        require(len(set(self.seeds)) == len(self.seeds), "seeds", "hold one twice")


def load_config(*paths: str | Path) -> Config:
    """Read and merge YAML files into a checked `Config`.

    Raises:
        ConfigError: a file is unreadable, or a key or value is not one of ours; the key is named.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, read_yaml(path))
    where = " + ".join(str(path) for path in paths)
    config = _convert(_without_nulls(merged), Config, where=where)
    _check_references(config, where=where)
    return config


def experiment(config: Config, name: str) -> Experiment:
    """The experiment `name`: the defaults with its overrides merged over them.

    Raises:
        ConfigError: there is no such experiment, or one of its keys is not ours.
    """
    if name not in config.experiments:
        raise ConfigError(f"experiments has no {name!r}", hint=_nearest(name, config.experiments))
    own = {key: value for key, value in config.experiments[name].items() if key != "evaluate"}
    return _convert(merge(config.defaults, own), Experiment, where=f"experiments.{name}")


def evaluation(config: Config, name: str) -> Evaluate:
    """The protocols' settings for experiment `name`: `evaluate` with the experiment's own `evaluate` over it.

    They stand apart from the `Experiment`, so that another test view does not train the network again.

    Raises:
        ConfigError: one of its keys is not ours.
    """
    own = {"evaluate": config.experiments[name].get("evaluate", {})}
    merged = merge({"evaluate": msgspec.to_builtins(config.evaluate)}, own)["evaluate"]
    return _convert(merged, Evaluate, where=f"experiments.{name}.evaluate")


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge two mappings: mappings merge key by key, anything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _without_nulls(merged: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an overlay took out by setting its name to null."""
    return merged | {
        section: {name: value for name, value in merged[section].items() if value is not None}
        for section in NAMED
        if isinstance(merged.get(section), dict)
    }


def to_json(value: Any) -> str:
    """A config value as JSON with sorted keys: equal values give equal text."""
    return msgspec.json.encode(value, order="sorted").decode()


def _convert(value: dict[str, Any], kind: type[T], *, where: str) -> T:
    refuse_odd_numbers(value, key=where)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}", hint=_hint(str(error), kind)) from None


def _hint(message: str, kind: type[Any]) -> str:
    unknown = re.search(r"unknown field `([^`]*)`", message)
    return _nearest(unknown[1], _all_fields(kind)) if unknown else ""


def _all_fields(kind: Any, seen: set[Any] | None = None) -> set[str]:
    """Names of every key reachable from a config type."""
    seen = set() if seen is None else seen
    names: set[str] = set()
    for info in msgspec.structs.fields(kind):
        names.add(info.name)
        for part in _struct_types(info.type):
            if part not in seen:
                seen.add(part)
                names |= _all_fields(part, seen)
    return names


def _struct_types(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [part for item in getattr(annotation, "__args__", ()) for part in _struct_types(item)]


def _nearest(name: str, known: Any) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _check_references(config: Config, *, where: str) -> None:
    """Names used in one section must be defined in another."""
    known = config.experiments
    wanted = [("run", name) for name in config.run]
    wanted += [
        (f"tables.{t}.{row.name}", row.run) for t, table in config.tables.items() for row in table.rows if row.run
    ]
    for key, name in wanted:
        if name not in known:
            raise ConfigError(
                f"{where}: {key} names {name!r}, which experiments does not define", hint=_nearest(name, known)
            )
    for name in known:
        _check_experiment(config, name)
    for name, dataset in config.datasets.items():
        if dataset.source not in config.sources:
            raise ConfigError(
                f"{where}: datasets.{name}.source: {dataset.source!r}", hint=_nearest(dataset.source, config.sources)
            )


def _check_experiment(config: Config, name: str) -> None:
    exp = experiment(config, name)
    evaluation(config, name)
    for source in (*exp.sources, exp.validation.source):
        if source not in config.sources:
            raise ConfigError(f"experiments.{name}: no source {source!r}", hint=_nearest(source, config.sources))
    if exp.encoder not in config.encoders:
        raise ConfigError(
            f"experiments.{name}: no encoder {exp.encoder!r}", hint=_nearest(exp.encoder, config.encoders)
        )
    kind = config.encoders[exp.encoder].kind
    if kind != "transformers" and any(stage.lr_text is not None for stage in exp.stages):
        raise ConfigError(
            f"experiments.{name}: a stage has lr_text, and encoder {exp.encoder!r} ({kind}) cannot be trained",
            hint="take lr_text out, or name a transformers encoder",
        )
