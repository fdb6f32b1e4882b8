"""Ids that must not be kept: a list of `id` or `source/id` lines, `#` begins a comment.

A listed id is not asked for, its media and clip are deleted, and its row is `removed`, without a title. The chunk's
shard is then made again without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.fileio import read_jsonl
from cpd.sources.plan import plan_path, store_folder

if TYPE_CHECKING:
    from cpd.config import Config


def read_takedown(config: Config, name: str) -> frozenset[str]:
    """The listed ids that concern a source.

    Raises:
        CpdError: the list cannot be read, or names a source that there is not.
    """
    path = config.crawl.takedown
    if path is None:
        return frozenset()
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CpdError(f"crawl.takedown: {path}: {error}", hint="mend the path, or remove the key") from None
    ids = set()
    for number, line in enumerate(lines, start=1):
        source, slash, identity = line.partition("#")[0].strip().rpartition("/")
        if slash and source not in config.sources:
            raise CpdError(f"{path}:{number}: no source {source!r}", hint=f"known: {', '.join(config.sources)}")
        if identity and source in ("", name):
            ids.add(identity)
    return frozenset(ids)


def listed(config: Config, name: str, chunk: str) -> list[str]:
    """The listed ids of one chunk, sorted; none before there is a plan. The crawl rule re-runs when they change."""
    ids = read_takedown(config, name)
    path = plan_path(config, name, chunk)
    return sorted(ids & {row["id"] for row in read_jsonl(path)}) if ids and path.exists() else []


def delete_clips(config: Config, name: str, *, chunk: str, key: str) -> int:
    """Delete what a chunk's clips have of a key; returns the number of files."""
    paths = list((store_folder(config, name) / "clips" / chunk).glob(f"{key}.*"))
    for path in paths:
        path.unlink()
    return len(paths)
