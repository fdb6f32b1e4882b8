"""Write a shard: a plain tar of KEY.mp4 and KEY.json, the same bytes whenever it is written again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import webdataset

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import atomic_path, sha256_file
from cpd.shards.keys import KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cpd.shards.records import Sidecar


@dataclass(frozen=True)
class Row:
    """One sample to write: where its clip is, and its KEY.json without `row`.

    `meta` holds id, key, source, split, title, title_clean, title_tree, label, folds, fps, frames and sha256
    (of the clip).
    """

    video: Path
    meta: dict[str, Any]


def write_shard(rows: Iterable[Row], target: str | Path) -> Sidecar:
    """Write the samples in their order, which numbers them (`row` in KEY.json), whole or not at all.

    Returns:
        The sidecar {n, keys, keys_sha256, sha256, bytes}; it is the caller's to write.

    Raises:
        CpdError: a key is not one of `sample_key` or comes twice; a clip is missing, empty or not the one that was
            cut; the disk is full (exit code 75).
    """
    try:
        return _write(rows, target)
    except OSError as error:
        hint = "mend the disk and run it again: nothing half-written is left"
        raise CpdError(f"{target}: {error.strerror}", hint=hint, exit_code=EX_TEMPFAIL) from None


def _write(rows: Iterable[Row], target: str | Path) -> Sidecar:
    keys: list[str] = []
    with atomic_path(target) as beside:
        with beside.open("wb") as stream, _writer(stream) as tar:
            for row in rows:
                key = row.meta["key"]
                _check_key(key, keys, row)
                meta = {**row.meta, "row": len(keys)}
                text = json.dumps(meta, sort_keys=True, allow_nan=False)
                tar.write({"__key__": key, "json": text.encode(), "mp4": _video(row)})
                keys.append(key)
        digest, size = sha256_file(beside), beside.stat().st_size
    return {"n": len(keys), "keys": keys, "keys_sha256": keys_digest(keys), "sha256": digest, "bytes": size}


def keys_digest(keys: list[str]) -> str:
    """SHA-256 of the keys, one a line."""
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


def _writer(stream: Any) -> Any:
    return webdataset.TarWriter(stream, encoder=False, mtime=0, user="cpd", group="cpd", mode=0o644)


def _check_key(key: str, seen: list[str], row: Row) -> None:
    if not KEY.match(key):
        raise CpdError(f"{row.video}: key {key!r} is not 20 hex digits", hint="make keys with sample_key")
    if key in seen:
        raise CpdError(f"key {key} (id {row.meta['id']!r}) comes twice", hint="an id may be planned once only")


def _video(row: Row) -> bytes:
    hint = "run `cpd clips` for this chunk again"
    try:
        video = row.video.read_bytes()
    except FileNotFoundError:
        raise CpdError(f"{row.video}: the clip is missing", hint=hint) from None
    if not video:
        raise CpdError(f"{row.video}: the clip is empty", hint=hint)
    if hashlib.sha256(video).hexdigest() != row.meta["sha256"]:
        raise CpdError(f"{row.video}: the clip has changed since it was cut", hint=hint)
    return video
