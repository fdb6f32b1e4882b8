"""What became of every id of every source, read from plans, results and ledgers; nothing needs to be finished."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cpd.fileio import read_jsonl
from cpd.sources.crawl import crawl_path, ledger_path
from cpd.sources.ledger import PENDING, read_ledger
from cpd.sources.plan import chunk_names, plan_path, store_folder
from cpd.sources.preflight import read_block

if TYPE_CHECKING:
    from cpd.config import Config
    from cpd.sources.ledger import Row

_OPEN = (PENDING, "blocked")  # in a ledger: to be asked for again
_WINDOW = 3600.0  # seconds over which the rate is taken


@dataclass(frozen=True)
class SplitState:
    """One split of a source: ids = ok + failed + pending.

    Attributes:
        chunks: number of chunks; `planned` and `crawled` of them have that file.
        failed: number of ids by status.
        bytes: of the media of the ids that are ok.
        rate: ids an hour that were settled by asking, over the last hour in which any was; null before there are two.
        eta_hours: of what is pending at that rate; null without a rate.
        blocked_until: Unix second, null when no block is on.
        unknown: messages that no class fits, with their numbers.
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
    rate: float | None
    eta_hours: float | None
    blocked_until: float | None
    unknown: dict[str, int]

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
    unknown: Counter[str] = Counter()
    times: list[float] = []
    size = 0
    for chunk in chunks:
        ledger = read_ledger(ledger_path(config, name, chunk))
        times += _settled_at(ledger)
        for status, reason, length in _outcomes(config, name, chunk, ledger):
            counts[status] += 1
            size += length if status == "ok" else 0
            unknown[reason] += status == "unknown"
    pending = config.sources[name].pairs[split] - sum(n for status, n in counts.items() if status not in _OPEN)
    rate = ids_per_hour(times)
    block = read_block(store_folder(config, name))
    return SplitState(
        source=name,
        split=split,
        ids=config.sources[name].pairs[split],
        ok=counts["ok"],
        failed={status: n for status, n in counts.most_common() if status not in ("ok", *_OPEN)},
        pending=pending,
        bytes=size,
        chunks=len(chunks),
        planned=sum(plan_path(config, name, chunk).exists() for chunk in chunks),
        crawled=sum(crawl_path(config, name, chunk).exists() for chunk in chunks),
        rate=rate,
        eta_hours=round(pending / rate, 2) if rate and pending else None,
        blocked_until=block.until if block else None,
        unknown={reason: n for reason, n in unknown.most_common(5) if n},
    )


def ids_per_hour(times: list[float]) -> float | None:
    """Rate of what was settled at these Unix seconds, over the last hour before the newest of them."""
    recent = sorted(t for t in times if t > max(times) - _WINDOW)
    if len(recent) < 2 or recent[-1] <= recent[0]:
        return None
    return round((len(recent) - 1) * 3600 / (recent[-1] - recent[0]), 1)


def _settled_at(ledger: list[Row]) -> list[float]:
    """When each id was last asked for."""
    return list({row.id: row.t for row in ledger if row.attempt}.values())


def _outcomes(config: Config, name: str, chunk: str, ledger: list[Row]) -> list[tuple[str, str, int]]:
    """(status, reason, bytes) of each id that was looked at: from the result, or the ledger until there is one."""
    path = crawl_path(config, name, chunk)
    if path.exists():
        return [(row["status"], row["reason"], row["bytes"]) for row in read_jsonl(path)]
    last = {row.id: row for row in ledger}
    return [(row.status, row.reason, row.bytes) for row in last.values()]


def as_table(states: list[SplitState]) -> str:
    """The states as a plain table, and below it blocks and messages that no class fits."""
    head = ("source", "split", "ids", "ok", "pending", "MB", "ids/h", "left", "chunks", "failed")
    rows = [head, *map(_cells, states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (0, 1, 9) else cell.rjust(width) for i, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([*lines, *_remarks(states)])


def _cells(state: SplitState) -> tuple[str, ...]:
    failed = ", ".join(f"{status} {count}" for status, count in state.failed.items()) or "-"
    return (
        state.source,
        state.split,
        str(state.ids),
        str(state.ok),
        str(state.pending),
        f"{state.bytes / 1e6:.1f}",
        "-" if state.rate is None else f"{state.rate:.0f}",
        _duration(state.eta_hours),
        f"{state.crawled}/{state.chunks}",
        failed,
    )


def _duration(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours / 24:.1f} d" if hours >= 48 else f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def _remarks(states: list[SplitState]) -> list[str]:
    blocks = {state.source: state.blocked_until for state in states if state.blocked_until}
    lines = [f"{name}: blocked until {datetime.fromtimestamp(until):%H:%M on %d %B}" for name, until in blocks.items()]
    unknown = [(state, reason, count) for state in states for reason, count in state.unknown.items()]
    return lines + [f"{state.source}/{state.split}: unknown, {count} x: {reason}" for state, reason, count in unknown]
