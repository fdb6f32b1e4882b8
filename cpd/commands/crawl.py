"""Examples:
cpd crawl --source kinetics --chunk train-0000
cpd crawl --source kinetics --chunk val-0000 --configfile config.yaml config.demo.yaml
cpd crawl --source kinetics --wait
cpd crawl --source kinetics --chunk train-0000 --retry age region
cpd crawl --source kinetics --retry-exhausted

Run it again after a crash, a kill or a block: what is there is kept. Exit code 75: blocked, offline or the disk is
full; run it again later (docs/crawl.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from cpd.sources.outcome import Row

_SIGINT = 130  # what a shell reports for Ctrl-C


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument(
        "--chunk", nargs="+", default=[], help="chunks of its plan, such as train-0000 (default: all, one by one)"
    )
    parser.add_argument(
        "--retry", nargs="+", default=[], metavar="STATUS", help="ask again for ids that failed for good so"
    )
    parser.add_argument(
        "--retry-exhausted", action="store_true", help="ask again for ids whose attempts are used up (network, unknown)"
    )
    parser.add_argument("--wait", action="store_true", help="wait out a block and go on, instead of stopping")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Crawl some chunks."""
    from functools import partial

    from cpd.config import load_config
    from cpd.sources.crawl import crawl_chunk
    from cpd.sources.plan import check_source, chunk_names

    config = load_config(*args.configfile)
    check_source(config, args.source)
    chunks = args.chunk or [chunk for names in chunk_names(config.sources[args.source]).values() for chunk in names]
    for chunk in chunks:
        check_source(config, args.source, chunk=chunk)
    again = partial(crawl_chunk, config, args.source)
    first = partial(again, retry=args.retry, exhausted=args.retry_exhausted)
    try:
        for chunk in chunks:
            rows = _patiently(partial(first, chunk), partial(again, chunk)) if args.wait else first(chunk)
            print(_summary(f"{args.source}/{chunk}", rows), flush=True)
    except KeyboardInterrupt:
        print("stopped; run the same command again: what is fetched is kept")
        return _SIGINT
    return 0


def _patiently(first: Callable[[], list[Row]], again: Callable[[], list[Row]]) -> list[Row]:
    """Crawl, and wait out every block that comes; what `first` re-opened stays open, so `again` does not."""
    import time

    from cpd.sources.preflight import Blocked

    crawl = first
    while True:
        try:
            return crawl()
        except Blocked as blocked:
            print(f"{blocked}\nwaiting", flush=True)
            time.sleep(max(blocked.block.until - time.time(), 1.0))
            crawl = again


def _summary(name: str, rows: list[Row]) -> str:
    from collections import Counter

    from cpd.sources.crawl import told

    unknown = Counter(row.reason for row in rows if row.status == "unknown")
    lines = [f"  unknown, {count} x: {reason}" for reason, count in unknown.most_common(5)]
    return "\n".join([f"{name}: {len(rows)} ids: {told(Counter(row.status for row in rows))}", *lines])
