"""Examples:
  cpd linear --run cpd-r34 --dataset kinetics
  cpd linear --run cpd-r34 --dataset ucf101 --split 1 --configfile config.yaml config.demo.yaml

Needs the run's features (`cpd features`); writes R/eval/RUN/linear/DATASET-SPLIT.json.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cpd.commands._protocol import add_arguments, finish
from cpd.config import load_config
from cpd.evaluate.result import parse_run

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Train a probe on the training items and test it."""
    from cpd.evaluate import datasets, linear
    from cpd.evaluate.result import settings_of

    started = time.monotonic()
    config = load_config(*args.configfile)
    train, test = datasets.labelled(config, args.run, dataset=args.dataset, split=args.split)
    factors = datasets.factors_of(config, args.dataset)
    seed = parse_run(args.run)[1]
    values = linear.evaluate(train, test, settings_of(config, args.run).linear, seed=seed, factors=factors)
    inputs = datasets.inputs(config, args.run, dataset=args.dataset)
    return finish(config, args, protocol="linear", values=values, n=len(test), inputs=inputs, started=started)
