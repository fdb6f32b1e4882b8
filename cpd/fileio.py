"""Files that are either whole or absent: write beside, fsync, replace."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpd.errors import CpdError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success fsync it and rename it to `path`.

    The suffix is kept, so that encoders which choose a format by it still work. On an exception the
    temporary file is removed and `path` stays as it was.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".tmp.{os.getpid()}.{secrets.token_hex(4)}.{target.name}")
    try:
        with named_errors(target):
            yield beside
            fsync(beside)
            os.replace(beside, target)
            fsync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """Name the file in errors of a full disk, or of a quota: Python says what is wrong, but not where."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in FULL:
            error.filename = str(path)
        raise


def fsync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def give_usual_mode(path: Path) -> None:
    """Give a file the mode that the umask gives to new files: safetensors writes for its owner alone."""
    probe = path.with_name(f".tmp.{os.getpid()}.{secrets.token_hex(4)}.mode")
    probe.touch()
    path.chmod(probe.stat().st_mode)
    probe.unlink()


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as beside:
        beside.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        CpdError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise CpdError(f"{path}: no such file", hint="run the rule that makes it, or mend the path") from None
    except ValueError as error:
        raise CpdError(f"{path}: not JSON: {error}", hint="delete it and run its rule again") from None


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically."""
    write_text(path, "".join(json.dumps(row, sort_keys=True, allow_nan=False) + "\n" for row in rows))


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Read one JSON object a line.

    Raises:
        CpdError: the file is missing, is not UTF-8, or one of its lines is not JSON (byte or line is named).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CpdError(f"{path}: no such file", hint="run the rule that makes it, or mend the path") from None
    except UnicodeDecodeError as error:
        raise CpdError(f"{path}: byte {error.start} is not UTF-8", hint="delete it and run again") from None
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise CpdError(f"{path}:{number}: not JSON: {error}", hint="delete it and run its rule again") from None
    return rows


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content, as hex."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
