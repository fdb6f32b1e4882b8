"""Examples:
  cpd features --run cpd-r34 --source kinetics --split train val
  cpd features --run cpd-r34@1 --source ucf101 --split all --configfile config.yaml config.demo.yaml

Several splits share one loading of the model; each gets its own file, R/features/RUN/SOURCE-SPLIT.npz.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--run", required=True, help="a finished run: EXPERIMENT or EXPERIMENT@SEED")
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument("--split", required=True, nargs="+", help="its split(s)")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Extract every split."""
    config = load_config(*args.configfile)
    if args.source not in config.sources:
        raise CpdError(f"sources has no {args.source!r}", hint=f"known: {', '.join(sorted(config.sources))}")
    from cpd.evaluate import features
    from cpd.evaluate.result import model_path
    from cpd.models.checkpoint import load_embedder

    embedder = load_embedder(model_path(config, args.run).parent)
    for split in args.split:
        path = features.extract(config, args.run, source=args.source, split=split, embedder=embedder)
        done = features.load(path)
        print(f"{path}: {len(done)} videos, {len(done.failed)} failed")
        for key, reason in done.failed[:20]:
            print(f"  failed {key}: {reason}")
    return 0
