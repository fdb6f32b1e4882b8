"""Rows of a stage's jsonl file, typed and fast: a run at full size has a million of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import msgspec

from cpd.errors import CpdError

T = TypeVar("T", bound=msgspec.Struct)


def read_rows(path: Path, kind: type[T]) -> list[T]:
    """The rows of a file, [] where there is none; a last line without its end (somebody is writing) is not one yet.

    Raises:
        CpdError: a line is not such a row (file and line are named).
    """
    if not path.is_file():
        return []
    decoder = msgspec.json.Decoder(kind)
    rows = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            rows.append(_row(line, decoder, kind))
        except (ValueError, msgspec.ValidationError) as error:
            raise CpdError(f"{path}:{number}: {error}", hint="delete it and run its rule again") from None
    return rows


def _row(line: bytes, decoder: msgspec.json.Decoder[T], kind: type[T]) -> T:
    try:
        return decoder.decode(line)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):  # Python's json also reads lone surrogates, which titles may hold
        return msgspec.convert(json.loads(line), kind)
