"""The content store: one media file and one small record per id, both whole or absent.

The record is written before the media takes its final name, so that media without its ledger row (a crash in
between) can be adopted: the record says what its bytes must be, which interval it holds and what its title is.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.fileio import fsync, sha256_file

if TYPE_CHECKING:
    from collections.abc import Iterator


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows about one media file.

    Attributes:
        file: name of the media file, or "" for a title that was crawled alone.
        section: the seconds [start, end] of the source that the file holds, or null for the whole.
    """

    id: str
    title: str
    file: str
    bytes: int
    sha256: str
    section: tuple[float, float] | None = None


def media_key(source: str, identity: str) -> str:
    """Name of an id in the store: 20 hex digits of the SHA-256 of `source/id` (safe where names ignore case)."""
    return hashlib.sha256(f"{source}/{identity}".encode(errors="surrogatepass")).hexdigest()[:20]


@dataclass(frozen=True)
class Store:
    """`{folder}/media/ab/{key}.{ext}` and `{key}.json`, and a work folder per chunk."""

    folder: Path

    @contextmanager
    def work(self, chunk: str) -> Iterator[Path]:
        """An empty work folder on the same file system, with a name of its own: orphans of a killed run find none."""
        folder = self.folder / "media" / f".tmp.{chunk}.{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def sweep(self, chunk: str) -> int:
        """Remove the work folders that killed runs of a chunk left; returns their number. Hold its ledger's lock."""
        left = list((self.folder / "media").glob(f".tmp.{chunk}.*"))
        for folder in left:
            shutil.rmtree(folder)
        return len(left)

    def path(self, record: Record, *, key: str) -> Path:
        """Where the media of a record is."""
        return self._shelf(key) / record.file

    def record(self, key: str) -> Record | None:
        """The record of a key, if its media is there in full size."""
        try:
            record = msgspec.json.decode((self._shelf(key) / f"{key}.json").read_bytes(), type=Record)
            whole = bool(record.file) and self.path(record, key=key).stat().st_size == record.bytes
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # absent, or not ours: it is fetched again
        return record if whole else None

    def title(self, key: str) -> str | None:
        """The title of a key, with or without its media."""
        try:
            return msgspec.json.decode((self._shelf(key) / f"{key}.json").read_bytes(), type=Record).title
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def put_title(self, key: str, *, work: Path, identity: str, title: str) -> None:
        """Store a title that has no media."""
        self._write(Record(id=identity, title=title, file="", bytes=0, sha256=""), key=key, work=work)

    def is_intact(self, record: Record, *, key: str) -> bool:
        """Whether the media still has the bytes that were stored."""
        return sha256_file(self.path(record, key=key)) == record.sha256

    def put(self, key: str, *, file: Path, identity: str, title: str, section: tuple[float, float] | None) -> Record:
        """Move `file` into the store, durably; an older file of the key is replaced."""
        fsync(file)
        record = Record(
            id=identity,
            title=title,
            file=f"{key}{file.suffix}",
            bytes=file.stat().st_size,
            sha256=sha256_file(file),
            section=section,
        )
        self.discard(key)
        self._write(record, key=key, work=file.parent)
        os.replace(file, self.path(record, key=key))
        fsync(self._shelf(key))
        return record

    def discard(self, key: str) -> int:
        """Remove what the store has of a key; returns the number of files."""
        paths = list(self._shelf(key).glob(f"{key}.*"))
        for path in paths:
            path.unlink()
        return len(paths)

    def _write(self, record: Record, *, key: str, work: Path) -> None:
        """By way of the work folder, which is swept, so that a kill leaves nothing on the shelves."""
        beside = work / f".{key}.record"
        beside.write_bytes(msgspec.json.encode(record))
        fsync(beside)
        self._shelf(key).mkdir(parents=True, exist_ok=True)
        os.replace(beside, self._shelf(key) / f"{key}.json")
        fsync(self._shelf(key))

    def _shelf(self, key: str) -> Path:
        return self.folder / "media" / key[:2]
