"""A chunk: every id of its plan fetched or accounted for.

The result is a function of plan, ledger and store alone. Whatever is whole in the store is not fetched again, what
failed for good is not asked for again, and a run that is killed loses at most the id it was at.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import write_jsonl
from cpd.sources.crawl_job import Job
from cpd.sources.ledger import PENDING, Ledger
from cpd.sources.outcome import is_transient
from cpd.sources.plan import plan_path, read_plan, store_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cpd.config import Config, Crawl
    from cpd.sources.ledger import Row as LedgerRow
    from cpd.sources.outcome import Row
    from cpd.sources.pair import Pair


_FEW = 3  # fewer failures than this say nothing about the rest: one odd id must not hold up a short list for ever


def crawl_path(config: Config, name: str, chunk: str) -> Path:
    """Where the result of a chunk is."""
    return Path(config.results) / "sources" / name / "crawl" / f"{chunk}.jsonl"


def ledger_path(config: Config, name: str, chunk: str) -> Path:
    """Where the ledger of a chunk is."""
    return store_folder(config, name) / "ledger" / f"{chunk}.jsonl"


def crawl_chunk(
    config: Config, name: str, chunk: str, *, retry: Iterable[str] = (), exhausted: bool = False
) -> list[Row]:
    """Crawl a chunk and write its result; returns its rows, in the order of the plan.

    Args:
        config: the config.
        name: source.
        chunk: chunk of the source's plan.
        retry: statuses whose ids are asked for again although they had failed for good.
        exhausted: ask again for the ids whose attempts at a failure that may pass are used up.

    Raises:
        CpdError: blocked, offline, the disk is full, or more than `crawl.max_transient_ratio` of the ids failed in a
            way that may pass (exit code 75: run again later, nothing is lost); or fewer than `crawl.min_ok_ratio` of
            the ids are ok.
    """
    pairs = read_plan(plan_path(config, name, chunk))
    target = crawl_path(config, name, chunk)
    statuses = set(retry)
    with Ledger(ledger_path(config, name, chunk)) as ledger:
        _reopen(ledger, pairs, lambda row: row.status in statuses or (exhausted and _is_exhausted(row)))
        job = Job(config, name, chunk, ledger)
        job.store.sweep(chunk)
        for leftover in target.parent.glob(f".tmp.*.{target.name}"):  # this chunk's lock is ours: they are nobody's
            leftover.unlink()
        rows = job.settle(pairs)
        missing = [pair for pair in pairs if pair.id not in rows]
        if missing:
            rows |= job.fetch_all(missing)
        where = f"{name}/{chunk}"
        _check_transient(ledger, list(rows.values()), config.crawl, where=where)
        _check_ratio(Counter(row.status for row in rows.values()), config.crawl, where=where)
        ordered = [rows[pair.id] for pair in pairs]
        write_jsonl(target, (msgspec.to_builtins(row) for row in ordered))
    return ordered


def told(counts: Counter[str]) -> str:
    """Counts by status on one line."""
    return ", ".join(f"{status} {count}" for status, count in counts.most_common())


def _is_exhausted(row: LedgerRow) -> bool:
    return row.attempt > 0 and is_transient(row.status, row.reason)


def _reopen(ledger: Ledger, pairs: list[Pair], is_wanted: Callable[[LedgerRow], bool]) -> None:
    for pair in pairs:
        last = ledger.last(pair.id)
        if last is not None and is_wanted(last):
            ledger.append(pair.id, PENDING, reason="asked for again")


def _check_transient(ledger: Ledger, rows: list[Row], crawl: Crawl, *, where: str) -> None:
    """Where too much failed that may pass, the fault is not the ids': none is given up."""
    lost = [row for row in rows if is_transient(row.status, row.reason)]
    if len(lost) < _FEW or len(lost) / len(rows) <= crawl.max_transient_ratio:
        return
    for row in lost:
        ledger.append(row.id, PENDING, reason="too many of its chunk failed alike")
    (reason, count), *_ = Counter(row.reason for row in lost).most_common(1)
    raise CpdError(
        f"{where}: {len(lost)} of {len(rows)} ids failed in a way that may pass ({count} x {reason!r}); "
        f"crawl.max_transient_ratio is {crawl.max_transient_ratio:g}",
        hint="look at the network, or for a newer yt-dlp, then run again: what is fetched is kept",
        exit_code=EX_TEMPFAIL,
    )


def _check_ratio(counts: Counter[str], crawl: Crawl, *, where: str) -> None:
    total = counts.total()
    if total and counts["ok"] / total < crawl.min_ok_ratio:
        raise CpdError(
            f"{where}: {counts['ok']} of {total} ids are ok ({told(counts)}); "
            f"crawl.min_ok_ratio is {crawl.min_ok_ratio:g}",
            hint="look at the ledger; `cpd crawl --retry STATUS` asks again",
        )
