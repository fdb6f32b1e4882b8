"""Examples:
cpd crawl --source kinetics --chunk train-0000
cpd crawl --source kinetics --chunk val-0000 --configfile config.yaml config.demo.yaml
cpd crawl --source kinetics --chunk train-0000 --retry age region network

Run it again after a crash, a kill or a block: what is there is kept. Exit code 75: blocked, offline or the disk is
full; run it again later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument("--chunk", required=True, help="chunk of its plan, such as train-0000")
    parser.add_argument(
        "--retry", nargs="+", default=[], metavar="STATUS", help="ask again for ids that failed for good so"
    )
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Crawl one chunk."""
    from cpd.config import load_config
    from cpd.sources.crawl import crawl_chunk
    from cpd.sources.plan import check_source

    config = load_config(*args.configfile)
    check_source(config, args.source, chunk=args.chunk)
    counts = crawl_chunk(config, args.source, args.chunk, retry=args.retry)
    told = ", ".join(f"{status} {count}" for status, count in counts.most_common())
    print(f"{args.source}/{args.chunk}: {counts.total()} ids: {told}")
    return 0
