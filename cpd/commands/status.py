"""Examples:
cpd status
cpd status --configfile config.yaml config.demo.yaml
cpd status --json
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print what became of every id, at any stage of a crawl."""
    import json

    from cpd.config import load_config
    from cpd.sources.status import as_table, split_states

    states = split_states(load_config(*args.configfile))
    if args.json:
        print(json.dumps([state.as_dict() for state in states], indent=1))
    else:
        print(as_table(states))
    return 0
