"""Examples:
  cpd zeroshot --run cpd-r34 --dataset kinetics
  cpd zeroshot --run cpd-r34 --dataset ucf101 --split 1 --configfile config.yaml config.demo.yaml

Needs the run's features of the test split (`cpd features`); writes R/eval/RUN/zeroshot/DATASET-SPLIT.json.
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
    """Classify the test items by the names of the classes."""
    from cpd.evaluate import datasets, zeroshot
    from cpd.evaluate.result import model_path, settings_of
    from cpd.models.checkpoint import load_embedder

    started = time.monotonic()
    config = load_config(*args.configfile)
    test, classes = datasets.test_items(config, args.run, dataset=args.dataset, split=args.split)
    embedder = load_embedder(model_path(config, args.run).parent)
    values = zeroshot.evaluate(
        test.features["emb"],
        test.labels,
        embedder.embed_sentences([zeroshot.class_phrase(name) for name in classes]),
        classes=classes,
        settings=settings_of(config, args.run).zeroshot,
        factors=datasets.factors_of(config, args.dataset),
    )
    inputs = datasets.inputs(config, args.run, dataset=args.dataset, sides=("test",))
    return finish(config, args, protocol="zeroshot", values=values, n=len(test), inputs=inputs, started=started)
