"""Which runs, features, sources and jobs some tables need: what Snakemake would find, without Snakemake.

`tests/workflow/test_plan_jobs.py` compares the counts with those of `snakemake -n`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cpd import tables
from cpd.config import experiment
from cpd.plan import given
from cpd.sources.plan import chunk_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpd.config import Config, Experiment

TEST_ALONE = ("zeroshot", "retrieval")  # protocols that read the features of the test split alone


@dataclass(frozen=True, order=True)
class Request:
    """One result file: a protocol on one split for one run."""

    run: str
    protocol: str
    dataset: str
    split: str

    @property
    def experiment(self) -> str:
        """The experiment of the run."""
        return self.run.partition("@")[0]


@dataclass(frozen=True)
class Needs:
    """What result files need.

    Attributes:
        requests: the result files.
        runs: trainings, `EXPERIMENT` or `EXPERIMENT@SEED`.
        features: (run, source, split).
        sources: whose shards are read.
    """

    requests: list[Request]
    runs: list[str]
    features: list[tuple[str, str, str]]
    sources: list[str]

    def of(self, config: Config, name: str) -> Needs:
        """The part that one experiment needs."""
        return needs_of(config, [request for request in self.requests if request.experiment == name])

    @property
    def experiments(self) -> list[str]:
        """Names of the experiments that are trained, in order."""
        return list(dict.fromkeys(run.partition("@")[0] for run in self.runs))


def requests_of(config: Config, names: Iterable[str]) -> list[Request]:
    """The result files of some tables, each once."""
    paths = [path for name in names for path in tables.inputs(config, name)]
    return [_request(path) for path in dict.fromkeys(paths)]


def _request(path: Path) -> Request:
    dataset, _, split = path.name.removesuffix(".json").rpartition("-")
    return Request(path.parent.parent.name, path.parent.name, dataset, split)


def needs_of(config: Config, requests: list[Request]) -> Needs:
    """Everything that result files need."""
    runs = list(dict.fromkeys(request.run for request in requests))
    features = list(dict.fromkeys(part for request in requests for part in features_of(config, request)))
    trained_on = [source for run in runs for source in training_sources(experiment(config, run.partition("@")[0]))]
    tested_on = [config.datasets[request.dataset].source for request in requests]
    used = {*trained_on, *tested_on}
    return Needs(requests, runs, features, [name for name in config.sources if name in used])


def training_sources(exp: Experiment) -> list[str]:
    """Sources whose shards a training waits for."""
    return list(dict.fromkeys([*exp.sources, exp.validation.source]))


def features_of(config: Config, request: Request) -> list[tuple[str, str, str]]:
    """(run, source, split) of the features that a protocol reads."""
    dataset = config.datasets[request.dataset]
    if request.protocol == "finetune":
        return []
    sides = [dataset.test] if request.protocol in TEST_ALONE else [dataset.train, dataset.test]
    return [(request.run, dataset.source, split) for split in dict.fromkeys(sides)]


def source_jobs(config: Config, name: str) -> Counter[str]:
    """Jobs by rule that make the shards of a source: one a chunk and stage."""
    source = config.sources[name]
    chunks = sum(map(len, chunk_names(source).values()))
    stages = ["crawl", "clips", "shard", *(["title_clean", "title_tree"] if source.text else [])]
    return Counter({f"plan_{name}": 1, "index": 1, **dict.fromkeys(stages, chunks)})


def run_jobs(needs: Needs) -> Counter[str]:
    """Jobs by rule that train and measure."""
    jobs = Counter({"pretrain": len(needs.runs), "features": len(needs.features)})
    return +(jobs + Counter(request.protocol for request in needs.requests))


def shared_jobs(config: Config, needs: Needs) -> Counter[str]:
    """Jobs by rule that serve several runs or sources: models of the text stages, the demo's world, given files."""
    names = needs.experiments
    keys = {key for name in names for key in given.keys_of_run(config, name)}
    jobs = Counter({"given": len(keys)})
    if any(config.sources[name].text for name in needs.sources):
        jobs["demo_stanza" if config.demo else "stanza_models"] = int(bool(config.demo) or not config.text.pos_model)
    if config.demo is not None:
        encoders = {experiment(config, name).encoder for name in names}
        jobs["demo_encoder"] = sum(Path(config.encoders[name].path).is_relative_to(config.results) for name in encoders)
        jobs["demo_corpus"] = 1
    return +jobs


def all_jobs(config: Config, needs: Needs, *, names: list[str], whole: bool) -> Counter[str]:
    """Jobs by rule of everything that is needed.

    Args:
        config: the merged config.
        needs: of the tables.
        names: the tables.
        whole: the default target, which has a report and a check besides.
    """
    jobs = run_jobs(needs) + shared_jobs(config, needs) + Counter({"table": len(names)})
    for name in needs.sources:
        jobs += source_jobs(config, name)
    return jobs + Counter({"report": 1, "check": 1, "all": 1} if whole else {})
