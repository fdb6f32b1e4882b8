"""Examples:
  cpd config --configfile config.yaml config.demo.yaml
  cpd config --experiment cpd-r34
  cpd config --check --configfile config.yaml ablation.yaml
  cpd config --reference > docs/config.md
  cpd config --schema > config.schema.json

Prints what the files merge to, as JSON; `--experiment` what one experiment resolves to, every default filled in.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import experiment, load_config, to_json
from cpd.config.reference import reference, schema

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--experiment", metavar="NAME", help="resolve this experiment")
    parser.add_argument("--check", action="store_true", help="only check; print what was checked")
    parser.add_argument("--reference", action="store_true", help="print the reference page of every key")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of config.yaml")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print or check the merged config."""
    from cpd import tables

    if args.reference or args.schema:
        print(reference().rstrip() if args.reference else json.dumps(schema(), indent=2))
        return 0

    config = load_config(*args.configfile)
    problems = [problem for name in config.tables for problem in tables.check_names(config, name)]
    if problems:
        raise tables.error_of(problems)
    if args.check:
        print(f"ok: {len(config.experiments)} experiments, {len(config.run)} of them run, {len(config.tables)} tables")
        return 0
    value = experiment(config, args.experiment) if args.experiment else config
    print(json.dumps(json.loads(to_json(value)), indent=2, ensure_ascii=False))
    return 0
