"""Examples:
  cpd knn --run cpd-r34 --dataset kinetics
  cpd knn --run cpd-r34 --dataset ucf101 --split 1 --configfile config.yaml config.demo.yaml

Needs the run's features (`cpd features`); writes R/eval/RUN/knn/DATASET-SPLIT.json, and DATASET-SPLIT.predictions.json
beside it: the best five classes of every test item.
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
    """Classify the test items by their neighbours among the training items."""
    return run_protocol(args, "knn", _measure)


def _measure(config: Config, args: argparse.Namespace) -> Measured:
    from cpd.evaluate import datasets, knn
    from cpd.evaluate.result import settings_of

    train, test = datasets.labelled(config, args.run, dataset=args.dataset, split=args.split)
    factors = datasets.factors_of(config, args.dataset)
    return knn.evaluate(train, test, settings_of(config, args.run).knn, factors=factors)
