"""Examples:
  cpd plan
  cpd plan --table table4
  cpd plan --by-table
  cpd plan --json --configfile config.yaml config.demo.yaml

Prints what the workflow would take: hours on GPUs, bytes on disk, downloads and jobs by rule, per experiment and in
all. Nothing is read but the config; its section `plan` says what is assumed (docs/plan.md). `snakemake -n` lists the
jobs one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--table", nargs="+", default=[], metavar="TABLE", help="only what these tables need")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON instead of text")
    shape.add_argument("--by-table", action="store_true", help="print one line a table, in Markdown")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the plan."""
    import msgspec

    from cpd.plan.build import build
    from cpd.plan.by_table import by_table
    from cpd.plan.show import as_text

    config = load_config(*args.configfile)
    if args.by_table:
        print(by_table(config, args.table))
        return 0
    plan = build(config, args.table)
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(plan), indent=1).decode())
    else:
        print(as_text(plan))
    return 0
