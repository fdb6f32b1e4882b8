"""Example:
cpd demo-stanza --configfile config.yaml config.demo.yaml --output results/demo/stanza
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
    parser.add_argument("--output", type=Path, required=True, help="folder for pos.pt, depparse.pt and metrics.json")


def run(args: argparse.Namespace) -> int:
    """Train and write the folder, whole or not at all."""
    from cpd.text import demo_stanza

    config = load_config(*args.configfile)
    if config.demo is None:
        raise CpdError("the config has no `demo`", hint="add config.demo.yaml to --configfile")
    metrics = demo_stanza.train(config.demo, args.output)
    print(
        f"{args.output}: UPOS {metrics['upos']:.2f} %, LAS {metrics['las']:.2f} % on {metrics['sentences']} sentences"
    )
    return 0
