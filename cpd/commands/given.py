"""Examples:
  cpd given encoders.skip-thoughts
  cpd given experiments.imagenet-r50 --output results/given/experiments.imagenet-r50.json

Checks that the files which an encoder or `backbone.weights` names are there, and prints (or writes) their
SHA-256: the runs that read them depend on it, so that another file trains them again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.config import load_config

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("key", help="encoders.NAME or experiments.NAME")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write {path: sha256} there instead of printing it")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Check, and digest."""
    from tqdm import tqdm

    from cpd.fileio import sha256_file, write_json
    from cpd.plan import given

    config = load_config(*args.configfile)
    found = given.of_key(config, args.key)
    given.require(found)
    digests = {str(one.path): sha256_file(one.path) for one in tqdm(found, desc=args.key, unit="file")}
    if args.output is None:
        print(json.dumps(digests, indent=1))
        return 0
    write_json(args.output, digests)
    print(f"{args.output}: {len(digests)} files")
    return 0
