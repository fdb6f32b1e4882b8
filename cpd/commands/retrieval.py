"""Examples:
  cpd retrieval --run cpd-r34 --dataset kinetics
  cpd retrieval --run cpd-r34 --dataset kinetics --configfile config.yaml config.demo.yaml

The first `evaluate.retrieval.n` pairs of the dataset's test split; needs the run's features of it (`cpd features`).
Writes R/eval/RUN/retrieval/DATASET-SPLIT.json.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cpd.commands._protocol import add_arguments, finish
from cpd.config import load_config

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Find videos by their titles, and titles by their videos."""
    from cpd.evaluate import datasets, retrieval
    from cpd.evaluate.result import settings_of

    started = time.monotonic()
    config = load_config(*args.configfile)
    video_ND, text_ND = datasets.pairs(
        config, args.run, dataset=args.dataset, split=args.split, n=settings_of(config, args.run).retrieval.n
    )
    values = retrieval.evaluate(video_ND, text_ND)
    inputs = datasets.inputs(config, args.run, dataset=args.dataset, sides=("test",))
    return finish(config, args, protocol="retrieval", values=values, n=len(video_ND), inputs=inputs, started=started)
