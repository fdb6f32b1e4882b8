"""A chunk: every id of its plan fetched or accounted for.

The result is a function of plan, ledger and store alone. Whatever is whole in the store is not fetched again, what
failed for good is not asked for again, and a run that is killed loses at most the id it was at.
"""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from tqdm import tqdm

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import sha256_file, write_jsonl
from cpd.sources.failures import Failure
from cpd.sources.fetch import Fetcher
from cpd.sources.ids import is_valid
from cpd.sources.ledger import PENDING, Ledger
from cpd.sources.plan import is_removed, plan_path, read_plan, store_folder
from cpd.sources.store import Record, Store, media_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cpd.config import Config, Crawl, Source
    from cpd.sources.pair import Pair

log = logging.getLogger(__name__)

_OUTAGE = 8  # so many ids in a row without an answer: the network is at fault, not they
_LOOPBACK = "127.0.0.1"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the crawl's result; `path` is "" unless status is ok, seconds are those of the file at `path`."""

    id: str
    status: str
    reason: str = ""
    title: str = ""
    path: str = ""
    bytes: int = 0
    sha256: str = ""
    start: float = 0.0
    end: float | None = None
    label: str = ""
    folds: dict[str, str] = {}


def crawl_path(config: Config, name: str, chunk: str) -> Path:
    """Where the result of a chunk is."""
    return Path(config.results) / "sources" / name / "crawl" / f"{chunk}.jsonl"


def ledger_path(config: Config, name: str, chunk: str) -> Path:
    """Where the ledger of a chunk is."""
    return store_folder(config, name) / "ledger" / f"{chunk}.jsonl"


def crawl_chunk(config: Config, name: str, chunk: str, *, retry: Iterable[str] = ()) -> Counter[str]:
    """Crawl a chunk and write its result; returns the number of ids by status.

    Args:
        config: the config.
        name: source.
        chunk: chunk of the source's plan.
        retry: statuses whose ids are asked for again although they had failed for good.

    Raises:
        CpdError: blocked, offline or the disk is full (exit code 75: run again later, nothing is lost); or fewer
            than `crawl.min_ok_ratio` of the ids are ok.
    """
    pairs = read_plan(plan_path(config, name, chunk))
    with Ledger(ledger_path(config, name, chunk)) as ledger:
        _reopen(ledger, pairs, set(retry))
        job = _Job(config, name, ledger)
        rows = job.settle(pairs)
        missing = [pair for pair in pairs if pair.id not in rows]
        if missing:
            rows |= job.fetch_all(missing, chunk=chunk)
        counts = Counter(row.status for row in rows.values())
        _check_ratio(counts, config.crawl, where=f"{name}/{chunk}")
        write_jsonl(crawl_path(config, name, chunk), (msgspec.to_builtins(rows[pair.id]) for pair in pairs))
    return counts


class _Job:
    """What a chunk's crawl knows: settings, ledger and store."""

    def __init__(self, config: Config, name: str, ledger: Ledger) -> None:
        self.name = name
        self.source: Source = config.sources[name]
        self.crawl: Crawl = config.crawl
        self.ledger = ledger
        self.store = Store(store_folder(config, name))

    def settle(self, pairs: list[Pair]) -> dict[str, Row]:
        """Rows of the ids that need no fetch, by id."""
        rows = {}
        for pair in tqdm(pairs, desc=f"{self.name}: checking", unit="id", disable=None):
            row = self._refused(pair) or self._adopted(pair) or self._stored(pair) or self._given_up(pair)
            if row is not None:
                self._record(row)
                rows[pair.id] = row
        return rows

    def fetch_all(self, pairs: list[Pair], *, chunk: str) -> dict[str, Row]:
        """Fetch pairs over the network; rows by id."""
        rows: dict[str, Row] = {}
        unanswered: list[str] = []
        with ExitStack() as stack:
            url_of = self._open_site(stack)
            _check_online(url_of(pairs[0]), self.crawl)
            work = stack.enter_context(self.store.work(chunk))
            loopback = urlsplit(url_of(pairs[0])).hostname == _LOOPBACK
            fetcher = stack.enter_context(Fetcher(self.crawl, work=work, loopback=loopback))
            for pair in tqdm(pairs, desc=f"{self.name}: crawling", unit="id", disable=None):
                row = rows[pair.id] = self._fetch(pair, url_of(pair), fetcher)
                unanswered = [*unanswered, pair.id] if row.status == "network" else []
                if len(unanswered) >= _OUTAGE:
                    self._stop_for_outage(unanswered)
                time.sleep(self.crawl.sleep)
        return rows

    def _open_site(self, stack: ExitStack) -> Callable[[Pair], str]:
        """Pair -> page address; serves the source's own site, if it has one, for as long as the crawl runs."""
        if self.source.site is None:
            return lambda pair: pair.url
        from cpd.sources.demo import site

        port = stack.enter_context(site.serve(Path(self.source.site)))
        return lambda pair: pair.url.replace("{port}", str(port))

    def _refused(self, pair: Pair) -> Row | None:
        """What the plan alone rules out."""
        if not is_valid(pair.id, self.source):
            return _failed(pair, "invalid_id", f"{pair.id[:80]!r} is not an id")
        if is_removed(pair):
            return _failed(pair, "gone", "removed from the list")
        if pair.start < 0 or (pair.end is not None and pair.end <= pair.start):
            return _failed(pair, "bad_interval", f"{pair.start:g} s to {pair.end} s")
        return None

    def _adopted(self, pair: Pair) -> Row | None:
        """Media on disk stay where they are; they are looked at in every run."""
        if not pair.path:
            return None
        path = Path(pair.path)
        if not path.is_file():
            return _failed(pair, "gone", "no such file in the source's folder")
        size = path.stat().st_size
        if size == 0 or size > self.crawl.max_bytes:
            return _failed(pair, "too_large" if size else "corrupt", f"{size} bytes")
        return _ok(pair, title=pair.title, path=path, size=size, sha256=sha256_file(path), section=None)

    def _stored(self, pair: Pair) -> Row | None:
        """Media that the store holds whole, with the interval that is wanted; with or without a ledger row."""
        key = media_key(self.name, pair.id)
        record = self.store.record(key)
        if record is None or record.section != self._section(pair) or not self.store.is_intact(record, key=key):
            return None
        return self._row_of(pair, record, key=key)

    def _given_up(self, pair: Pair) -> Row | None:
        """Ids that failed for good, or as often as the config allows."""
        last = self.ledger.last(pair.id)
        if last is None or last.status in ("ok", "blocked", PENDING) or last.attempt == 0:
            return None
        if _is_transient(last.status, last.reason) and self.ledger.attempts(pair.id) <= self.crawl.retries:
            return None
        return _failed(pair, last.status, last.reason)

    def _fetch(self, pair: Pair, url: str, fetcher: Fetcher) -> Row:
        """Ask until there is an answer or the attempts are used up; every attempt is in the ledger."""
        while True:
            attempt = self.ledger.attempts(pair.id) + 1
            try:
                return self._fetch_once(pair, url, fetcher, attempt=attempt)
            except Failure as failure:
                if failure.status == "blocked":
                    self._stop_for_block(pair, failure)
                self.ledger.append(pair.id, failure.status, reason=failure.reason, attempt=attempt)
                if not failure.transient or attempt > self.crawl.retries:
                    return _failed(pair, failure.status, failure.reason)
                time.sleep(self.crawl.backoff * 2 ** (attempt - 1))

    def _fetch_once(self, pair: Pair, url: str, fetcher: Fetcher, *, attempt: int) -> Row:
        key = media_key(self.name, pair.id)
        got = fetcher.fetch(url, name=key, start=pair.start, end=pair.end)
        record = self.store.put(
            key, file=got.file, identity=pair.id, title=pair.title or got.title, section=got.section
        )
        self.ledger.append(pair.id, "ok", attempt=attempt, bytes=record.bytes, sha256=record.sha256)
        return self._row_of(pair, record, key=key)

    def _stop_for_block(self, pair: Pair, failure: Failure) -> None:
        self.ledger.append(pair.id, "blocked", reason=failure.reason)
        raise CpdError(
            f"{self.name}: blocked at id {pair.id!r}: {failure.reason}",
            hint="wait an hour, then run again: what is fetched is kept (crawl.sleep, crawl.cookies)",
            exit_code=EX_TEMPFAIL,
        )

    def _stop_for_outage(self, unanswered: list[str]) -> None:
        for identity in unanswered:
            self.ledger.append(identity, PENDING, reason="the network was down")
        raise CpdError(
            f"{self.name}: no answer for {len(unanswered)} ids in a row, the last being {unanswered[-1]!r}",
            hint="look at the network (or the site), then run again: what is fetched is kept",
            exit_code=EX_TEMPFAIL,
        )

    def _section(self, pair: Pair) -> tuple[float, float] | None:
        return (pair.start, pair.end) if self.crawl.sections and pair.end is not None else None

    def _row_of(self, pair: Pair, record: Record, *, key: str) -> Row:
        path = self.store.path(record, key=key)
        title = pair.title or record.title
        return _ok(pair, title=title, path=path, size=record.bytes, sha256=record.sha256, section=record.section)

    def _record(self, row: Row) -> None:
        """A ledger row for what was settled without a fetch, if it is news."""
        last = self.ledger.last(row.id)
        if last is None or (last.status, last.sha256) != (row.status, row.sha256):
            self.ledger.append(row.id, row.status, reason=row.reason, bytes=row.bytes, sha256=row.sha256)


def _ok(pair: Pair, *, title: str, path: Path, size: int, sha256: str, section: tuple[float, float] | None) -> Row:
    """Times become those of the stored file: a section begins at 0."""
    start, end = (0.0, section[1] - section[0]) if section else (pair.start, pair.end)
    return Row(
        id=pair.id,
        status="ok",
        title=title,
        path=str(path),
        bytes=size,
        sha256=sha256,
        start=start,
        end=end,
        label=pair.label,
        folds=pair.folds,
    )


def _failed(pair: Pair, status: str, reason: str) -> Row:
    return Row(
        id=pair.id,
        status=status,
        reason=reason,
        title=pair.title,
        start=pair.start,
        end=pair.end,
        label=pair.label,
        folds=pair.folds,
    )


def _is_transient(status: str, reason: str) -> bool:
    return status == "network" or (status == "corrupt" and reason.startswith("truncated"))


def _reopen(ledger: Ledger, pairs: list[Pair], statuses: set[str]) -> None:
    for pair in pairs:
        last = ledger.last(pair.id)
        if last is not None and last.status in statuses:
            ledger.append(pair.id, PENDING, reason="asked for again")


def _check_online(url: str, crawl: Crawl) -> None:
    """Without a network, stop before any id is blamed for it."""
    host = urlsplit(url).hostname or ""
    if host == _LOOPBACK or crawl.proxy:
        return
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        raise CpdError(
            f"{host}: {error.strerror}", hint="this machine has no network: crawl elsewhere", exit_code=EX_TEMPFAIL
        ) from None


def _check_ratio(counts: Counter[str], crawl: Crawl, *, where: str) -> None:
    total = counts.total()
    if total and counts["ok"] / total < crawl.min_ok_ratio:
        told = ", ".join(f"{status} {count}" for status, count in counts.most_common())
        raise CpdError(
            f"{where}: {counts['ok']} of {total} ids are ok ({told}); crawl.min_ok_ratio is {crawl.min_ok_ratio:g}",
            hint="look at the ledger; `cpd crawl --retry STATUS` asks again",
        )
