"""What lies where in a shard: its tar headers, read strictly.

A shard is an uncompressed tar of regular files KEY.json, KEY.mp4, in pairs. Everything else is refused: links,
devices, paths, other suffixes, compression (webdataset would inflate or pass all of them silently).
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from cpd.errors import CpdError

_NAME = re.compile(r"([0-9a-f]{20})\.(json|mp4)\Z")
_HINT = "delete it and run `cpd shard` for its chunk again"


@dataclass(frozen=True)
class Sample:
    """Byte ranges (offset, size) of one sample's members."""

    key: str
    video: tuple[int, int]
    meta: tuple[int, int]


def read_samples(path: str | Path) -> list[Sample]:
    """The samples of a shard in their order, from the tar headers alone.

    Raises:
        CpdError: the file is missing, is not a plain tar, or holds anything but pairs of KEY.json and KEY.mp4.
    """
    members = _members(path)
    if len(members) % 2:
        raise CpdError(f"{path}: {members[-1][0]} has no partner", hint=_HINT)
    samples = [_sample(path, *members[i : i + 2]) for i in range(0, len(members), 2)]
    keys = [sample.key for sample in samples]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CpdError(f"{path}: key {twice} comes twice", hint=_HINT)
    return samples


Member = tuple[str, int, int]


def _members(path: str | Path) -> list[Member]:
    try:
        with tarfile.open(path, "r:") as tar:
            return [_member(path, info) for info in tar]
    except FileNotFoundError:
        raise CpdError(f"{path}: no such shard", hint="run `cpd shard` for its chunk") from None
    except tarfile.TarError as error:
        raise CpdError(f"{path}: not a plain tar: {error}", hint=_HINT) from None


def _member(path: str | Path, info: tarfile.TarInfo) -> Member:
    # Not `isreg()`: sparse members count as regular, and are not what lies in the file.
    if info.type != tarfile.REGTYPE or info.pax_headers or not _NAME.match(info.name):
        raise CpdError(f"{path}: member {info.name!r} is not KEY.mp4 or KEY.json", hint=_HINT)
    return info.name, info.offset_data, info.size


def _sample(path: str | Path, meta: Member, video: Member) -> Sample:
    key = meta[0].partition(".")[0]
    if (meta[0], video[0]) != (f"{key}.json", f"{key}.mp4"):
        raise CpdError(f"{path}: {meta[0]} is followed by {video[0]}", hint=_HINT)
    if not meta[2] or not video[2]:
        raise CpdError(f"{path}: {key} has an empty member", hint=_HINT)
    return Sample(key, video=video[1:], meta=meta[1:])
