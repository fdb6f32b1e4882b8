"""Example:
cpd demo-encoder --configfile config.yaml config.demo.yaml --output results/demo/encoders/distilbert
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config
from cpd.errors import CpdError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_config_argument(parser)
    parser.add_argument("--output", type=Path, required=True, help="folder of the encoder, in transformers' format")


def run(args: argparse.Namespace) -> int:
    """Train and write the folder, whole or not at all."""
    from cpd.text import demo_encoder

    config = load_config(*args.configfile)
    if config.demo is None:
        raise CpdError("the config has no `demo`", hint="add config.demo.yaml to --configfile")
    metrics = demo_encoder.train(config.demo, args.output)
    before, after = metrics["untrained"]["top1"], metrics["top1"]
    print(f"{args.output}: held-out neighbour found {before:.1f} % -> {after:.1f} %")
    return 0
