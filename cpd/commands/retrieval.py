"""Examples:
  cpd retrieval --run cpd-r34 --dataset kinetics
  cpd retrieval --run cpd-r34 --dataset kinetics --configfile config.yaml config.demo.yaml

The first `evaluate.retrieval.n` pairs of the dataset's test split; needs the run's features of it (`cpd features`).
Writes R/eval/RUN/retrieval/DATASET-SPLIT.json, and DATASET-SPLIT.predictions.json beside it: the rank and the best five
of every query.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.commands._protocol import add_arguments, run_protocol

if TYPE_CHECKING:
    import argparse

    from cpd.config import Config
    from cpd.evaluate.predictions import Measured


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Find videos by their titles, and titles by their videos."""
    return run_protocol(args, "retrieval", _measure, sides=("test",))


def _measure(config: Config, args: argparse.Namespace) -> Measured:
    from cpd.evaluate import datasets, retrieval
    from cpd.evaluate.result import settings_of

    n = settings_of(config, args.run).retrieval.n
    pairs = datasets.pairs(config, args.run, dataset=args.dataset, split=args.split, n=n)
    return retrieval.evaluate(pairs.video_ND, pairs.text_ND, keys=pairs.keys)
