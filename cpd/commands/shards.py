"""Examples:
cpd shards ls --source kinetics
cpd shards verify --source kinetics --split val

`ls` lists the shards of the index. `verify` reads every byte, decodes every clip, and names each shard that is not
what its sidecar says, and each that the index does not know; the exit code is then 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.cli import add_config_argument
from cpd.errors import EX_USAGE, CpdError

if TYPE_CHECKING:
    import argparse

    from cpd.shards.records import Entry


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("action", choices=("ls", "verify"), help="list the shards, or check them")
    parser.add_argument("--source", required=True, help="name of a source in the config")
    parser.add_argument("--split", help="only this split")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """List or verify the shards of a source."""
    from cpd.config import load_config
    from cpd.shards.records import read_index
    from cpd.sources.plan import check_source

    config = load_config(*args.configfile)
    check_source(config, args.source)
    folder = Path(config.results) / "sources" / args.source / "shards"
    index = read_index(folder)
    splits = [name for name in index if args.split in (None, name)]
    if not splits:
        raise CpdError(f"{args.source} has no split {args.split!r}", hint=f"it has {', '.join(index)}")
    entries = [entry for split in splits for entry in index[split]["shards"]]
    return _list(entries) if args.action == "ls" else _verify(folder, entries)


def _list(entries: list[Entry]) -> int:
    for entry in entries:
        print(f"{entry['name']}  {entry['n']:6d} samples from {entry['offset']:8d}  {entry['bytes']:12d} bytes")
    samples, size = sum(entry["n"] for entry in entries), sum(entry["bytes"] for entry in entries)
    print(f"{len(entries)} shards: {samples} samples, {size} bytes")
    return 0


def _verify(folder: Path, entries: list[Entry]) -> int:
    from tqdm import tqdm

    from cpd.shards.verify import strays

    bad = 0
    for entry in tqdm(entries, desc="verify", unit="shard", disable=None):
        complaint = _complaint(folder / f"{entry['name']}.tar", entry)
        bad += bool(complaint)
        print(f"{entry['name']}  {complaint or 'ok'}")
    unknown = strays(folder)
    print(*unknown, f"{len(entries) - bad} of {len(entries)} shards are whole", sep="\n")
    return EX_USAGE if bad or unknown else 0


def _complaint(path: Path, entry: Entry) -> str:
    from cpd.shards.verify import verify_shard

    try:
        sidecar = verify_shard(path)
    except CpdError as error:
        return error.message
    said = (entry["sha256"], entry["n"], entry["bytes"])
    if (sidecar["sha256"], sidecar["n"], sidecar["bytes"]) != said:
        return "changed since the index was written: run `cpd index`"
    return ""
