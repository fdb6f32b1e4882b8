"""Gather the shards of a source: which instance is where, and what became of every planned id.

An instance index is the `offset` of its shard plus its row: dense over the split and stable while the shards are.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from cpd.errors import CpdError
from cpd.fileio import read_jsonl
from cpd.shards.verify import check_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cpd.shards.records import Sidecar


def build_index(folder: str | Path, chunks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Check every shard of a source against its sidecar and number the instances.

    Args:
        folder: `R/sources/{source}`, which holds `plan/` and `shards/`.
        chunks: split -> names of its chunks, in order.

    Returns:
        {split: {n, shards: [{name, n, offset, bytes, sha256}]}, "ledger": {split: {status: count}}}. Chunks
        without a usable pair have no shard in the list; their ids are in the ledger.

    Raises:
        CpdError: a shard is not what its sidecar says; a key comes twice; an id is missing from a ledger or
            accounted for twice; a split has no usable pair at all (its failures are listed).
    """
    index: dict[str, Any] = {"ledger": {}}
    seen: dict[str, str] = {}
    with tqdm(total=sum(map(len, chunks.values())), unit="shard", desc="index", disable=None) as bar:
        for split, names in chunks.items():
            index[split] = {"n": 0, "shards": []}
            ledger: Counter[tuple[str, str]] = Counter()
            for name in names:
                sidecar = check_file(Path(folder) / "shards" / f"{name}.tar")
                ledger += _accounted(Path(folder), name, sidecar)
                _check_unique(sidecar["keys"], name, seen)
                _append(index[split], name, sidecar)
                bar.update()
            _check_usable(split, index[split]["n"], ledger)
            index["ledger"][split] = _by_status(ledger)
    return index


def _append(split: dict[str, Any], name: str, sidecar: Sidecar) -> None:
    if sidecar["n"] == 0:
        return
    row = {"name": name, "n": sidecar["n"], "offset": split["n"]}
    split["shards"].append({**row, "bytes": sidecar["bytes"], "sha256": sidecar["sha256"]})
    split["n"] += sidecar["n"]


def _accounted(folder: Path, name: str, sidecar: Sidecar) -> Counter[tuple[str, str]]:
    """Count the ledger of a chunk by (status, reason): every planned id once, and as many ok as there are samples."""
    path = folder / "shards" / f"{name}.ledger.jsonl"
    rows = read_jsonl(path)
    planned = [row["id"] for row in read_jsonl(folder / "plan" / f"{name}.jsonl")]
    if [row["id"] for row in rows] != planned:
        raise CpdError(
            f"{path}: {len(rows)} rows do not account for the {len(planned)} planned ids",
            hint="run `cpd shard` for this chunk again",
        )
    keys = [row["key"] for row in rows if row["status"] == "ok"]
    if keys != sidecar["keys"]:
        raise CpdError(
            f"{path}: {len(keys)} ids are ok, the shard has {sidecar['n']} samples",
            hint="run `cpd shard` for this chunk again",
        )
    return Counter((row["status"], row["reason"]) for row in rows)


def _check_unique(keys: list[str], name: str, seen: dict[str, str]) -> None:
    for key in keys:
        if key in seen:
            raise CpdError(f"key {key} is in {seen[key]} and in {name}", hint="an id may be in one split only")
        seen[key] = name


def _check_usable(split: str, n: int, ledger: Counter[tuple[str, str]]) -> None:
    if n:
        return
    failures = "\n".join(f"  {count} {status}: {reason}" for (status, reason), count in ledger.most_common(10))
    raise CpdError(f"split {split!r} has no usable pair:\n{failures}", hint="mend the commonest failure first")


def _by_status(ledger: Counter[tuple[str, str]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for (status, _), count in ledger.items():
        counts[status] += count
    return dict(counts)
