"""Shards copied to a disk of the node before they are read at random: the shared disk then reads each once, in order.

`CPD_SCRATCH` names the folder, with environment variables that are resolved on the node, as `$TMPDIR`; unset or empty,
shards are read where they are. A copy is named by its digest, so that runs on one node share it and no copy is ever
out of date. Whoever comes first copies, under a lock of that disk; the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import atomic_path
from cpd.shards.records import Entry

VARIABLE = "CPD_SCRATCH"
PIECE = 8 * 2**20


def scratch() -> Path | None:
    """The folder for copies on this node, None without one.

    Raises:
        CpdError: a variable in `CPD_SCRATCH` is not set here.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return None
    path = os.path.expandvars(asked)
    if "$" in path:
        raise CpdError(f"{VARIABLE}={asked}: not set on this node", hint="name a folder that every node has")
    return Path(path) / "cpd-shards"


def staged(shards: Sequence[Path], entries: Sequence[Entry]) -> list[Path]:
    """Where to read these shards from: copies in `scratch()`, made if need be, or the shards themselves.

    Args:
        shards: shard files.
        entries: what the index says of each.

    Raises:
        CpdError: the disk is too small, or a shard does not have the digest that the index says.
    """
    folder = scratch()
    if folder is None:
        return list(shards)
    copies = [folder / f"{entry['sha256']}.tar" for entry in entries]
    with _alone(folder):
        wanted = zip(shards, entries, copies, strict=True)
        missing = [(shard, entry, copy) for shard, entry, copy in wanted if not copy.exists()]
        total = sum(entry["bytes"] for _, entry, _ in missing)
        _check_space(folder, total)
        with tqdm(total=total, desc=f"to {folder}", unit="B", unit_scale=True, disable=not missing) as bar:
            for shard, entry, copy in missing:
                _copy(shard, copy, sha256=entry["sha256"], bar=bar)
    return copies


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("w")
    except OSError as error:
        raise CpdError(f"{folder}: {error.strerror}", hint=f"{VARIABLE} must be a folder to write to") from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # a disk of this node: no other node, and no file server, takes part
        yield


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CpdError(
            f"{folder}: {needed / 1e9:.1f} GB of shards, {free / 1e9:.1f} GB free",
            hint=f"empty it, or leave {VARIABLE} (resource `scratch`) empty",
            exit_code=EX_TEMPFAIL,
        )


def _copy(shard: Path, copy: Path, *, sha256: str, bar: tqdm[NoReturn]) -> None:
    digest = hashlib.sha256()
    with atomic_path(copy) as beside, open(shard, "rb") as source, open(beside, "wb") as target:
        while piece := source.read(PIECE):
            digest.update(piece)
            target.write(piece)
            bar.update(len(piece))
        if digest.hexdigest() != sha256:
            raise CpdError(f"{shard}: not what the index says", hint="run `cpd shards verify`, then `cpd index`")
