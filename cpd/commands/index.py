"""Examples:
cpd index --source kinetics
cpd index --source kinetics --configfile config.yaml config.demo.yaml

Checks every shard of the source against its sidecar and writes shards/index.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--source", required=True, help="name of a source in the config")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the index of a source."""
    from cpd.config import load_config
    from cpd.fileio import write_json
    from cpd.shards.index import build_index
    from cpd.sources.plan import check_source, chunk_names

    config = load_config(*args.configfile)
    check_source(config, args.source)
    chunks = chunk_names(config.sources[args.source])
    folder = Path(config.results) / "sources" / args.source
    index = build_index(folder, chunks)
    write_json(folder / "shards" / "index.json", index)
    for split in chunks:
        statuses = ", ".join(f"{status} {count}" for status, count in index["ledger"][split].items())
        print(f"{args.source}/{split}: {index[split]['n']} pairs in {len(index[split]['shards'])} shards ({statuses})")
    return 0
