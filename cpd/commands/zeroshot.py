"""Examples:
  cpd zeroshot --run cpd-r34 --dataset kinetics
  cpd zeroshot --run cpd-r34 --dataset ucf101 --split 1 --configfile config.yaml config.demo.yaml

Needs the run's features of the test split (`cpd features`); writes R/eval/RUN/zeroshot/DATASET-SPLIT.json, and
DATASET-SPLIT.predictions.json beside it: the best five classes of every test item.
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
    """Classify the test items by the names of the classes."""
    return run_protocol(args, "zeroshot", _measure, sides=("test",))


def _measure(config: Config, args: argparse.Namespace) -> Measured:
    from cpd.evaluate import datasets, zeroshot
    from cpd.evaluate.result import model_path, settings_of
    from cpd.models.checkpoint import load_embedder

    test, classes = datasets.test_items(config, args.run, dataset=args.dataset, split=args.split)
    embedder = load_embedder(model_path(config, args.run).parent)
    settings, factors = settings_of(config, args.run).zeroshot, datasets.factors_of(config, args.dataset)
    class_KD = zeroshot.embed_classes(classes, prompts=settings.prompts, embed=embedder.embed_sentences)
    return zeroshot.evaluate(test, class_KD, classes=classes, settings=settings, factors=factors)
