"""Folders that are either whole or absent: write beside, then replace."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cpd.errors import CpdError
from cpd.fileio import fsync

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def whole_folder(target: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; on success it takes the place of `target`.

    An older `target` is moved aside only once the new folder is complete. On an exception the new folder is removed
    and `target` stays as it was.

    Raises:
        CpdError: the old `target` holds something that the new one does not, so it is not ours to replace.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".tmp.{os.getpid()}.{secrets.token_hex(4)}.{target.name}")
    old = beside.with_name(f"{beside.name}.old")
    beside.mkdir()
    try:
        yield beside
        for path in (*beside.rglob("*"), beside):
            fsync(path)
        if target.exists():
            _refuse_strangers(target, beside)
            os.replace(target, old)
        os.replace(beside, target)
        fsync(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _refuse_strangers(target: Path, new: Path) -> None:
    """Hidden files (Snakemake's marks) do not count."""
    known = {path.name for path in new.iterdir()}
    strangers = sorted(path.name for path in target.iterdir() if path.name not in known and path.name[0] != ".")
    if strangers:
        raise CpdError(f"{target} holds {strangers[0]!r}, which is not ours", hint="name another folder, or empty it")
