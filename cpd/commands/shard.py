"""Examples:
cpd shard --source kinetics --chunk train-0000
cpd shard --source kinetics --chunk train-0000 train-0001 --configfile config.yaml config.demo.yaml

Writes {chunk}.tar, its sidecar {chunk}.json, and {chunk}.ledger.jsonl with the fate of every planned id.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument

if TYPE_CHECKING:
    import argparse

OLD = 24 * 3600  # seconds


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument("--chunk", required=True, nargs="+", help="chunks of its plan, such as train-0000")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Write the shards of some chunks."""
    from cpd.config import load_config
    from cpd.sources.plan import check_source

    config = load_config(*args.configfile)
    for chunk in args.chunk:
        check_source(config, args.source, chunk=chunk)
    for chunk in args.chunk:
        folder = Path(config.results) / "sources" / args.source
        _write(folder, chunk, text=config.sources[args.source].text)
    return 0


def _sweep(folder: Path) -> None:
    """Remove what killed runs left half-written; younger files may belong to a run beside this one."""
    for path in folder.glob(".tmp.*"):
        if time.time() - path.stat().st_mtime > OLD:
            path.unlink(missing_ok=True)


def _write(folder: Path, chunk: str, *, text: bool) -> None:
    from tqdm import tqdm

    from cpd.fileio import write_json, write_jsonl
    from cpd.shards.join import join_chunk
    from cpd.shards.write import write_shard

    samples, ledger = join_chunk(folder, chunk, text=text)
    target = folder / "shards" / f"{chunk}.tar"
    _sweep(target.parent)
    sidecar = write_shard(tqdm(samples, desc=f"shard {chunk}", unit="clip", disable=None), target)
    write_jsonl(target.with_suffix(".ledger.jsonl"), ledger)
    write_json(target.with_suffix(".json"), sidecar)
    print(f"{target}: {sidecar['n']} of {len(ledger)} ids, {sidecar['bytes']} bytes")
