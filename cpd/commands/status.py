"""Examples:
cpd status
cpd status --configfile config.yaml config.demo.yaml
cpd status --json
cpd status --runs                 how far every pretraining is, and which job on which node is at it
watch -n 30 cpd status --runs
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--runs", action="store_true", help="tell of the pretrainings instead of the ids")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print what became of every id, at any stage of a crawl; or how far every run is."""
    import json

    from cpd.config import load_config
    from cpd.engine import states as runs
    from cpd.sources import status as ids

    config = load_config(*args.configfile)
    if args.runs:
        training = runs.run_states(config)
        print(json.dumps([one.as_dict() for one in training], indent=1) if args.json else runs.as_table(training))
        return 0
    states = ids.split_states(config)
    print(json.dumps([one.as_dict() for one in states], indent=1) if args.json else ids.as_table(states))
    return 0
