"""Which id belongs to which chunk: frozen, append-only, and known from the config alone.

Slot i of a split belongs to chunk i // chunk_size for ever. New ids take the slots after the old ones; an id that
leaves the list keeps its slot, so that no other id ever moves and no finished chunk runs again.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from cpd.errors import CpdError
from cpd.fileio import fsync, named_errors, read_jsonl, write_jsonl
from cpd.sources.pair import Pair
from cpd.sources.readers import read_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cpd.config import Config, Source


def chunk_names(source: Source) -> dict[str, list[str]]:
    """Split -> names of its chunks, `{split}-{number:04d}`, from `pairs` and `chunk_size` alone."""
    return {
        split: [_chunk(split, number) for number in range(-(-count // source.chunk_size))]
        for split, count in source.pairs.items()
    }


def plan_path(config: Config, name: str, chunk: str) -> Path:
    """Where the plan of a chunk is."""
    return Path(config.results) / "sources" / name / "plan" / f"{chunk}.jsonl"


def store_folder(config: Config, name: str) -> Path:
    """Where a source keeps what survives failed jobs."""
    return Path(config.data) / "store" / name


def check_source(config: Config, name: str, *, chunk: str | None = None) -> None:
    """Check that the config has the source, and the source the chunk.

    Raises:
        CpdError: it has not.
    """
    if name not in config.sources:
        raise CpdError(f"no source {name!r}", hint=f"known: {', '.join(config.sources)}")
    chunks = [known for names in chunk_names(config.sources[name]).values() for known in names]
    if chunk is not None and chunk not in chunks:
        raise CpdError(f"{name} has no chunk {chunk!r}", hint=f"its chunks run from {chunks[0]} to {chunks[-1]}")


def write_plan(config: Config, name: str) -> dict[str, int]:
    """Write the plan file of every chunk of a source; returns the number of pairs by chunk.

    Raises:
        CpdError: a list cannot be read, does not have the declared number of ids, or `chunk_size` was changed after
            ids were assigned.
    """
    source = config.sources[name]
    pairs = read_pairs(name, source)
    path = store_folder(config, name) / "plan" / "assign.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with named_errors(path), open(path, "a+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assigned = _read_assignment(handle, path=path)
        slots = _assign(name, source, pairs, assigned)
        _append(handle, _new_rows(source, slots, assigned))
    fsync(path.parent)
    sizes = {}
    for split, ids in slots.items():
        for chunk, rows in _chunks(name, source, split, ids, pairs[split]):
            write_jsonl(plan_path(config, name, chunk), (msgspec.to_builtins(row) for row in rows))
            sizes[chunk] = len(rows)
    return sizes


def read_plan(path: str | Path) -> list[Pair]:
    """The pairs of a plan file.

    Raises:
        CpdError: it is missing or is no plan.
    """
    try:
        return [msgspec.convert(row, Pair) for row in read_jsonl(path)]
    except msgspec.ValidationError as error:
        raise CpdError(f"{path}: not a plan: {error}", hint="run `cpd chunks` again") from None


def is_removed(pair: Pair) -> bool:
    """Whether the pair's id left the list (or was never a valid one): there is nothing to fetch."""
    return not pair.url and not pair.path


def _chunk(split: str, number: int) -> str:
    return f"{split}-{number:04d}"


def _read_assignment(handle: IO[bytes], *, path: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows by split, in order; a last line that a crash tore is cut off."""
    handle.seek(0)
    data = handle.read()
    whole = data.rfind(b"\n") + 1
    handle.truncate(whole)
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise CpdError(f"{path}:{number}: not JSON", hint="restore the file from a copy") from None
        if not isinstance(row, dict) or set(row) != {"split", "id", "chunk"}:
            raise CpdError(f"{path}:{number}: not an assignment: {row!r:.80}", hint="restore the file from a copy")
        rows.setdefault(row["split"], []).append(row)
    return rows


def _assign(
    name: str, source: Source, pairs: dict[str, list[Pair]], assigned: dict[str, list[dict[str, Any]]]
) -> dict[str, list[str]]:
    """Split -> ids by slot: the old ones, then the new ones of the list."""
    slots = {}
    for split, rows in pairs.items():
        old = [row["id"] for row in assigned.get(split, [])]
        known = set(old)
        slots[split] = old + [pair.id for pair in rows if pair.id not in known]
    _check_counts(name, source, pairs, slots)
    _check_chunks(name, source, assigned)
    return slots


def _check_counts(name: str, source: Source, pairs: dict[str, list[Pair]], slots: dict[str, list[str]]) -> None:
    counts = {split: len(ids) for split, ids in slots.items()}
    if counts == source.pairs:
        return
    told = []
    for split, count in counts.items():
        removed = count - len(pairs[split])
        told.append(f"{split} has {len(pairs[split])} ids" + (f" and {removed} that left it" if removed else ""))
    wanted = ", ".join(f"{split}: {count}" for split, count in counts.items())
    declared = ", ".join(f"{split}: {count}" for split, count in source.pairs.items())
    raise CpdError(
        f"sources.{name}: pairs is {{{declared}}}, but the list of {'; '.join(told)}",
        hint=f"if the lists are whole, set sources.{name}.pairs: {{{wanted}}}",
    )


def _check_chunks(name: str, source: Source, assigned: dict[str, list[dict[str, Any]]]) -> None:
    for split, rows in assigned.items():
        for slot, row in enumerate(rows):
            if row["chunk"] != _chunk(split, slot // source.chunk_size):
                raise CpdError(
                    f"sources.{name}: id {row['id']!r} was assigned to {row['chunk']}, which chunk_size "
                    f"{source.chunk_size} would move",
                    hint="set chunk_size back, or delete the source's store to start over",
                )


def _new_rows(
    source: Source, slots: dict[str, list[str]], assigned: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    return [
        {"split": split, "id": identity, "chunk": _chunk(split, slot // source.chunk_size)}
        for split, ids in slots.items()
        for slot, identity in enumerate(ids)
        if slot >= len(assigned.get(split, []))
    ]


def _append(handle: IO[bytes], rows: list[dict[str, Any]]) -> None:
    handle.write("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode())
    handle.flush()
    os.fsync(handle.fileno())


def _chunks(
    name: str, source: Source, split: str, ids: list[str], pairs: list[Pair]
) -> Iterator[tuple[str, list[Pair]]]:
    by_id = {pair.id: pair for pair in pairs}
    rows = [by_id.get(identity) or Pair(id=identity, source=name, split=split) for identity in ids]
    for number, first in enumerate(range(0, len(rows), source.chunk_size)):
        yield _chunk(split, number), rows[first : first + source.chunk_size]
