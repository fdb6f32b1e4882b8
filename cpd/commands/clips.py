"""Examples:
cpd clips --source kinetics --chunk train-0000
cpd clips --source kinetics --chunk train-0000 train-0001 --configfile config.yaml config.demo.yaml

Clips that are there and were cut the same way are kept. Exit code 75: the disk is full; run it again later.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse

    from cpd.config import Config


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument("--chunk", required=True, nargs="+", help="chunks of its plan, such as train-0000")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Cut the clips of some chunks."""
    from cpd.config import load_config
    from cpd.sources.plan import check_source

    config = load_config(*args.configfile)
    for chunk in args.chunk:
        check_source(config, args.source, chunk=chunk)
    for chunk in args.chunk:
        _cut_chunk(config, args.source, chunk)
    return 0


def _cut_chunk(config: Config, source: str, chunk: str) -> None:
    from cpd.shards.keys import sample_key
    from cpd.sources.plan import store_folder
    from cpd.video.chunk import Job, cut_chunk

    folder = Path(config.results) / "sources" / source
    job = Job(store_folder(config, source) / "clips" / chunk, config.clips, lambda name: sample_key(source, name))
    counts = cut_chunk(folder / "crawl" / f"{chunk}.jsonl", folder / "clips" / f"{chunk}.jsonl", job)
    told = ", ".join(f"{status} {count}" for status, count in counts.most_common())
    print(f"{source}/{chunk}: {counts.total()} clips: {told}")
