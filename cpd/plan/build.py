"""The whole plan: per experiment and per source, and what all of it takes once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from cpd.config import Config, experiment
from cpd.config.plan import Plan as Assumptions
from cpd.plan import given, hours, storage
from cpd.plan.needs import Needs, all_jobs, needs_of, requests_of, run_jobs, source_jobs
from cpd.tables.cells import find_table

if TYPE_CHECKING:
    from collections.abc import Sequence


class SourcePlan(msgspec.Struct, frozen=True, kw_only=True):
    """One source, for whoever uses it.

    Attributes:
        source: its name.
        ids: of its lists.
        downloads: ids that are fetched from a site; 0 where videos lie in a folder.
        download_bytes: of those that still are there.
        crawl_hours: of one process, waiting for the most part.
        video_bytes: as fetched; `shard_bytes`: clips, by themselves and packed.
        shard_bytes: see `video_bytes`.
        jobs: by rule.
        missing: paths that a person must put there.
    """

    source: str
    ids: int
    downloads: int
    download_bytes: float
    crawl_hours: float
    video_bytes: float
    shard_bytes: float
    jobs: dict[str, int]
    missing: list[str]


class ExperimentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment, all seeds.

    Attributes:
        experiment: its name.
        runs: trainings, one a seed.
        gpus: of one training; 0: it runs on CPUs, and the hours are those of a machine of `gpu_tflops`.
        pretrain_gpu_hours: of one GPU.
        evaluate_gpu_hours: features and fine-tuning.
        checkpoint_bytes: while it trains.
        weight_bytes: that stay.
        bank_bytes: on each GPU, unless they are shared.
        feature_bytes: that stay.
        sources: whose shards it needs; the five numbers of them are shared with other experiments.
        downloads: ids of those sources that are fetched.
        download_bytes: of them; `crawl_hours`, `video_bytes` and `shard_bytes` likewise.
        crawl_hours: see `download_bytes`.
        video_bytes: see `download_bytes`.
        shard_bytes: see `download_bytes`.
        jobs: by rule, without those of its sources.
        missing: paths that a person must put there for it.
    """

    experiment: str
    runs: int
    gpus: int
    pretrain_gpu_hours: float
    evaluate_gpu_hours: float
    checkpoint_bytes: int
    weight_bytes: int
    bank_bytes: int
    feature_bytes: int
    sources: list[str]
    downloads: int
    download_bytes: float
    crawl_hours: float
    video_bytes: float
    shard_bytes: float
    jobs: dict[str, int]
    missing: list[str]


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Everything once. `storage_bytes`: videos, shards, weights, features, and the largest checkpoints of one run."""

    pretrain_gpu_hours: float
    evaluate_gpu_hours: float
    downloads: int
    download_bytes: float
    crawl_hours: float
    storage_bytes: float
    jobs: dict[str, int]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `cpd plan --json` prints."""

    tables: list[str]
    experiments: list[ExperimentPlan]
    sources: list[SourcePlan]
    total: Total
    assumptions: Assumptions


def build(config: Config, names: Sequence[str] = ()) -> Plan:
    """The plan of some tables, or of the default target.

    Args:
        config: the merged config.
        names: tables; none: all, with report and check.

    Raises:
        CpdError: there is no such table.
    """
    chosen = list(names) or list(config.tables)
    for name in chosen:
        find_table(config, name)
    needs = needs_of(config, requests_of(config, chosen))
    sources = {name: source_plan(config, name) for name in needs.sources}
    experiments = [experiment_plan(config, needs, name, sources) for name in needs.experiments]
    jobs = all_jobs(config, needs, names=chosen, whole=not names)
    return Plan(
        tables=chosen,
        experiments=experiments,
        sources=list(sources.values()),
        total=_total(experiments, list(sources.values()), jobs),
        assumptions=config.plan,
    )


def source_plan(config: Config, name: str) -> SourcePlan:
    """Downloads, bytes and jobs of a source."""
    source = config.sources[name]
    ids = sum(source.pairs.values())
    used = storage.of_source(config, name)
    return SourcePlan(
        source=name,
        ids=ids,
        downloads=ids if source.url else 0,
        download_bytes=used["videos"] if source.url else 0.0,
        crawl_hours=ids / config.plan.ids_per_hour if source.url else 0.0,
        video_bytes=used["videos"],
        shard_bytes=used["shards"],
        jobs=dict(source_jobs(config, name)),
        missing=[str(one.path) for one in given.of_source(config, name) if not one.is_there],
    )


def experiment_plan(config: Config, needs: Needs, name: str, sources: dict[str, SourcePlan]) -> ExperimentPlan:
    """Hours, bytes and jobs of an experiment, over its seeds."""
    exp, own = experiment(config, name), needs.of(config, name)
    used = [sources[source] for source in own.sources]
    files = [one for key in given.keys_of_run(config, name) for one in given.of_key(config, key)]
    return ExperimentPlan(
        experiment=name,
        runs=len(own.runs),
        gpus=exp.gpus,
        pretrain_gpu_hours=len(own.runs) * hours.pretraining(config, name),
        evaluate_gpu_hours=hours.evaluating(config, needs, name),
        checkpoint_bytes=storage.checkpoints(config, exp),
        weight_bytes=len(own.runs) * storage.weights(config, exp),
        bank_bytes=storage.banks(config, exp),
        feature_bytes=sum(storage.features(config, *part) for part in own.features),
        sources=own.sources,
        downloads=sum(source.downloads for source in used),
        download_bytes=sum(source.download_bytes for source in used),
        crawl_hours=sum(source.crawl_hours for source in used),
        video_bytes=sum(source.video_bytes for source in used),
        shard_bytes=sum(source.shard_bytes for source in used),
        jobs=dict(run_jobs(own)),
        missing=[str(one.path) for one in files if not one.is_there],
    )


def _total(experiments: list[ExperimentPlan], sources: list[SourcePlan], jobs: Counter[str]) -> Total:
    kept = sum(one.weight_bytes + one.feature_bytes for one in experiments)
    largest = max((one.checkpoint_bytes for one in experiments), default=0)
    return Total(
        pretrain_gpu_hours=sum(one.pretrain_gpu_hours for one in experiments),
        evaluate_gpu_hours=sum(one.evaluate_gpu_hours for one in experiments),
        downloads=sum(source.downloads for source in sources),
        download_bytes=sum(source.download_bytes for source in sources),
        crawl_hours=sum(source.crawl_hours for source in sources),
        storage_bytes=sum(source.video_bytes + source.shard_bytes for source in sources) + kept + largest,
        jobs=dict(jobs),
    )
