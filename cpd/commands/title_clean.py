"""Examples:
cpd title-clean --source kinetics --chunk train-0000 --configfile config.yaml
cpd title-clean --source kinetics --chunk train-0000 train-0001 --configfile config.yaml config.demo.yaml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_argument(parser)
    parser.add_argument("--source", required=True, help="name of the source in the config")
    parser.add_argument("--chunk", nargs="+", required=True, metavar="CHUNK", help="chunk(s), as train-0000")


def run(args: argparse.Namespace) -> int:
    """Write `{results}/sources/{source}/clean/{chunk}.jsonl` of each chunk."""
    from cpd.text.stages import clean_chunk, summary

    config = load_config(*args.configfile)
    for chunk in args.chunk:
        print(summary(args.source, chunk, clean_chunk(config, args.source, chunk)))
    return 0
