"""Examples:
  cpd chunks --source kinetics
  cpd chunks --source kinetics --configfile config.yaml config.demo.yaml

Reads the official list of a source and freezes which id belongs to which chunk: old ids stay where they are, new ones
open new chunks. `cpd plan` says what a run would take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--source", required=True, help="name of a source in the config")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the plan of every chunk of a source."""
    from cpd.config import load_config
    from cpd.plan import given
    from cpd.sources.plan import check_source, write_plan

    config = load_config(*args.configfile)
    check_source(config, args.source)
    given.require(given.of_source(config, args.source))
    sizes = write_plan(config, args.source)
    print(f"{args.source}: {sum(sizes.values())} ids in {len(sizes)} chunks")
    return 0
