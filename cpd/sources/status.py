"""What became of every id of every source, read from plans, results and ledgers; nothing needs to be finished."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cpd.fileio import read_jsonl
from cpd.sources.crawl import crawl_path, ledger_path
from cpd.sources.ledger import PENDING, read_ledger
from cpd.sources.plan import chunk_names, plan_path

if TYPE_CHECKING:
    from cpd.config import Config

_OPEN = (PENDING, "blocked")  # in a ledger: to be asked for again


@dataclass(frozen=True)
class SplitState:
    """One split of a source: ids = ok + failed + pending.

    Attributes:
        chunks: number of chunks; `planned` and `crawled` of them have that file.
        failed: number of ids by status.
        bytes: of the media of the ids that are ok.
    """

    source: str
    split: str
    ids: int
    ok: int
    failed: dict[str, int]
    pending: int
    bytes: int
    chunks: int
    planned: int
    crawled: int

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)


def split_states(config: Config) -> list[SplitState]:
    """The state of every split of every source."""
    return [
        _state(config, name, split, chunks)
        for name, source in config.sources.items()
        for split, chunks in chunk_names(source).items()
    ]


def _state(config: Config, name: str, split: str, chunks: list[str]) -> SplitState:
    counts: Counter[str] = Counter()
    size = 0
    for chunk in chunks:
        for status, length in _outcomes(config, name, chunk):
            counts[status] += 1
            size += length if status == "ok" else 0
    ids = config.sources[name].pairs[split]
    settled = sum(count for status, count in counts.items() if status not in _OPEN)
    return SplitState(
        source=name,
        split=split,
        ids=ids,
        ok=counts["ok"],
        failed={status: n for status, n in counts.most_common() if status not in ("ok", *_OPEN)},
        pending=ids - settled,
        bytes=size,
        chunks=len(chunks),
        planned=sum(plan_path(config, name, chunk).exists() for chunk in chunks),
        crawled=sum(crawl_path(config, name, chunk).exists() for chunk in chunks),
    )


def _outcomes(config: Config, name: str, chunk: str) -> list[tuple[str, int]]:
    """(status, bytes) of each id that has been looked at: from the result, or from the ledger until there is one."""
    path = crawl_path(config, name, chunk)
    if path.exists():
        return [(row["status"], row["bytes"]) for row in read_jsonl(path)]
    last = {row.id: row for row in read_ledger(ledger_path(config, name, chunk))}
    return [(row.status, row.bytes) for row in last.values()]


def as_table(states: list[SplitState]) -> str:
    """The states as a plain table."""
    head = ("source", "split", "ids", "ok", "pending", "MB", "chunks", "failed")
    rows = [head, *map(_cells, states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, 1, 7) else cell.rjust(width) for i, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _cells(state: SplitState) -> tuple[str, ...]:
    failed = ", ".join(f"{status} {count}" for status, count in state.failed.items()) or "-"
    return (
        state.source,
        state.split,
        str(state.ids),
        str(state.ok),
        str(state.pending),
        f"{state.bytes / 1e6:.1f}",
        f"{state.crawled}/{state.chunks}",
        failed,
    )
