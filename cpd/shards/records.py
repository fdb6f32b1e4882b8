"""The small JSON records beside and inside shards, checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, TypeVar

import msgspec

from cpd.errors import CpdError
from cpd.fileio import read_json

T = TypeVar("T")


class Sidecar(TypedDict):
    """`{chunk}.json`: what `write_shard` wrote."""

    n: int
    keys: list[str]
    keys_sha256: str
    sha256: str
    bytes: int


class Entry(TypedDict):
    """One shard in index.json; its first sample is instance `offset` of the split."""

    name: str
    n: int
    offset: int
    bytes: int
    sha256: str


class Split(TypedDict):
    """One split in index.json."""

    n: int
    shards: list[Entry]


class Meta(TypedDict):
    """KEY.json: who the sample is. `row` numbers the samples of a shard."""

    id: str
    key: str
    source: str
    split: str
    row: int
    title: str
    title_clean: str
    title_tree: str
    label: NotRequired[str | None]
    folds: NotRequired[dict[str, Any]]
    fps: float
    frames: Annotated[int, msgspec.Meta(ge=1)]
    sha256: str


def check(record: object, kind: type[T], *, where: str | Path) -> T:
    """`record` as a `kind`.

    Raises:
        CpdError: it is not one; the message says where it was read and which field is wrong.
    """
    try:
        return msgspec.convert(record, kind)
    except msgspec.ValidationError as error:
        raise CpdError(f"{where}: {error}", hint="delete it and run its rule again") from None


def parse_meta(text: bytes, *, where: str) -> dict[str, Any]:
    """KEY.json as a dict with at least the fields of `Meta`.

    Raises:
        CpdError: it is not one.
    """
    try:
        row = json.loads(text)
    except ValueError as error:
        raise CpdError(f"{where}: not JSON: {error}", hint="run `cpd shards verify`") from None
    check(row, Meta, where=where)
    meta: dict[str, Any] = row
    return meta


def read_sidecar(shard: str | Path) -> Sidecar:
    """The sidecar of a shard.

    Raises:
        CpdError: it is missing, or is not one.
    """
    path = Path(shard).with_suffix(".json")
    return check(read_json(path), Sidecar, where=path)


def read_index(folder: str | Path) -> dict[str, Split]:
    """The splits of `folder`/index.json, without the ledger.

    Raises:
        CpdError: it is missing, or is not one.
    """
    path = Path(folder) / "index.json"
    index = check(read_json(path), dict[str, Any], where=path)
    return {name: check(split, Split, where=f"{path}: {name}") for name, split in index.items() if name != "ledger"}
