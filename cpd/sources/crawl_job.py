"""One chunk's crawl, id by id: what needs no fetch is settled first, the rest is asked for."""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from tqdm import tqdm

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import sha256_file
from cpd.sources import outcome, preflight, takedown
from cpd.sources.failures import Failure
from cpd.sources.fetch import Fetcher, is_youtube
from cpd.sources.ids import is_valid
from cpd.sources.ledger import PENDING, Ledger
from cpd.sources.plan import is_removed, store_folder
from cpd.sources.preflight import LOOPBACK, Blocked
from cpd.sources.store import Record, Store, media_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpd.config import Config
    from cpd.sources.outcome import Row
    from cpd.sources.pair import Pair

log = logging.getLogger(__name__)

_OUTAGE = 8  # so many ids in a row without an answer: the network is at fault, not they
_LONGEST_BACKOFF = 300.0
UNTITLED = ("kinetics",)  # kinds of source whose list says no title: it is the page's


class Job:
    """What a chunk's crawl knows: settings, ledger and store."""

    def __init__(self, config: Config, name: str, chunk: str, ledger: Ledger) -> None:
        self.config = config
        self.name = name
        self.chunk = chunk
        self.source = config.sources[name]
        self.crawl = config.crawl
        self.ledger = ledger
        self.store = Store(store_folder(config, name))
        self.takedown = takedown.read_takedown(config, name)

    def settle(self, pairs: list[Pair]) -> dict[str, Row]:
        """Rows of the ids that need no fetch, by id."""
        steps = (self._taken_down, self._refused, self._adopted, self._stored, self._given_up)
        rows = {}
        for pair in tqdm(pairs, desc=f"{self.name}: checking", unit="id", disable=None):
            row = next((row for step in steps if (row := step(pair)) is not None), None)
            if row is not None:
                self._record(row)
                rows[pair.id] = row
        return rows

    def fetch_all(self, pairs: list[Pair]) -> dict[str, Row]:
        """Fetch pairs over the network; rows by id."""
        preflight.check_block(self.store.folder, name=self.name)
        rows: dict[str, Row] = {}
        unanswered: list[Row] = []
        with ExitStack() as stack:
            url_of = self._open_site(stack)
            work = stack.enter_context(self.store.work(self.chunk))
            fetcher = stack.enter_context(self._fetcher(url_of(pairs[0]), work=work))
            for pair in tqdm(pairs, desc=f"{self.name}: crawling", unit="id", disable=None):
                preflight.check_space(self.store.folder, self.crawl)
                row = rows[pair.id] = self._fetch(pair, url_of(pair), fetcher)
                unanswered = [*unanswered, row] if row.status in ("network", "unknown") else []
                if len(unanswered) >= _OUTAGE:
                    self._stop_for_outage(unanswered)
                time.sleep(random.uniform(self.crawl.sleep, self.crawl.sleep_max or self.crawl.sleep))
        return rows

    def _open_site(self, stack: ExitStack) -> Callable[[Pair], str]:
        """Pair -> page address; serves the source's own site, if it has one, for as long as the crawl runs."""
        if self.source.site is None:
            return lambda pair: pair.url
        from cpd.sources.demo import site

        port = stack.enter_context(site.serve(Path(self.source.site)))
        return lambda pair: pair.url.replace("{port}", str(port))

    def _fetcher(self, url: str, *, work: Path) -> Fetcher:
        """A fetcher for pages like `url`, once the network was found to be there."""
        parts = urlsplit(url)
        if parts.hostname == LOOPBACK:
            if self.source.site is None and not self.crawl.allow_private:
                raise CpdError(
                    f"sources.{self.name}.url is on {LOOPBACK}, inside this machine",
                    hint="name the folder to serve as `site`, or set crawl.allow_private: true",
                )
            return Fetcher(self.crawl, work=work, loopback=True, allow=frozenset({(LOOPBACK, parts.port or 80)}))
        preflight.check_online(url, self.crawl)
        preflight.check_cookies(self.crawl.cookies)
        extractor: Literal["youtube", "generic"] = "youtube" if is_youtube(url) else "generic"
        allow = preflight.proxy_addresses(url, self.crawl)
        return Fetcher(self.crawl, work=work, loopback=False, allow=allow, extractor=extractor)

    def _taken_down(self, pair: Pair) -> Row | None:
        """What must not be kept is deleted, here and among the clips; a file in a folder of the user's is not ours."""
        if pair.id not in self.takedown:
            return None
        key = media_key(self.name, pair.id)
        deleted = self.store.discard(key) + takedown.delete_clips(self.config, self.name, chunk=self.chunk, key=key)
        if deleted:
            log.warning("%s: taken down, %d files deleted", pair.id, deleted)
        return outcome.failed(pair, "removed", "on the takedown list")

    def _refused(self, pair: Pair) -> Row | None:
        """What the plan alone rules out."""
        if not is_valid(pair.id, self.source):
            return outcome.failed(pair, "invalid_id", f"{pair.id[:80]!r} is not an id")
        if is_removed(pair):
            return outcome.failed(pair, "gone", "removed from the list")
        if pair.start < 0 or (pair.end is not None and pair.end <= pair.start):
            return outcome.failed(pair, "bad_interval", f"{pair.start:g} s to {pair.end} s")
        return None

    def _adopted(self, pair: Pair) -> Row | None:
        """Media on disk stay where they are; they are looked at in every run."""
        if not pair.path:
            return None
        path = Path(pair.path)
        if not path.is_file():
            return outcome.failed(pair, "gone", "no such file in the source's folder")
        size = path.stat().st_size
        if size == 0 or size > self.crawl.max_bytes:
            return outcome.failed(pair, "too_large" if size else "corrupt", f"{size} bytes")
        return outcome.ok(pair, title=pair.title, path=path, size=size, sha256=sha256_file(path), section=None)

    def _stored(self, pair: Pair) -> Row | None:
        """What the store holds whole, with the interval that is wanted; with or without a ledger row."""
        key = media_key(self.name, pair.id)
        if not self.crawl.media:
            crawled = self.store.title(key) if self.source.kind in UNTITLED else ""
            return None if crawled is None else outcome.titled(pair, title=self._title(pair, crawled))
        record = self.store.record(key)
        if record is None or record.section != self._section(pair) or not self.store.is_intact(record, key=key):
            return None
        return self._row_of(pair, record, key=key)

    def _given_up(self, pair: Pair) -> Row | None:
        """Ids that failed for good, or as often as the config allows."""
        last = self.ledger.last(pair.id)
        if last is None or last.status in ("ok", "blocked", PENDING) or last.attempt == 0:
            return None
        if outcome.is_transient(last.status, last.reason) and self.ledger.attempts(pair.id) <= self.crawl.retries:
            return None
        return outcome.failed(pair, last.status, last.reason)

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
                    return outcome.failed(pair, failure.status, failure.reason)
                time.sleep(min(self.crawl.backoff * 2 ** (attempt - 1), _LONGEST_BACKOFF))

    def _fetch_once(self, pair: Pair, url: str, fetcher: Fetcher, *, attempt: int) -> Row:
        key = media_key(self.name, pair.id)
        if not self.crawl.media:
            title = fetcher.fetch_title(url, name=key)
            self.store.put_title(key, work=fetcher.work, identity=pair.id, title=title)
            self.ledger.append(pair.id, "ok", attempt=attempt)
            return outcome.titled(pair, title=self._title(pair, title))
        got = fetcher.fetch(url, name=key, start=pair.start, end=pair.end)
        record = self.store.put(
            key, file=got.file, identity=pair.id, title=self._title(pair, got.title), section=got.section
        )
        self.ledger.append(pair.id, "ok", attempt=attempt, bytes=record.bytes, sha256=record.sha256)
        return self._row_of(pair, record, key=key)

    def _stop_for_block(self, pair: Pair, failure: Failure) -> None:
        self.ledger.append(pair.id, "blocked", reason=failure.reason)
        block = preflight.write_block(self.store.folder, reason=failure.reason, pause=self.crawl.pause)
        raise Blocked(f"{self.name}: blocked at id {pair.id!r}: {failure.reason}", block)

    def _stop_for_outage(self, unanswered: list[Row]) -> None:
        for row in unanswered:
            self.ledger.append(row.id, PENDING, reason="the network was down")
        last = unanswered[-1]
        raise CpdError(
            f"{self.name}: no answer for {len(unanswered)} ids in a row, the last being {last.id!r} ({last.reason})",
            hint="look at the network (or the site, or for a newer yt-dlp), then run again: what is fetched is kept",
            exit_code=EX_TEMPFAIL,
        )

    def _title(self, pair: Pair, crawled: str) -> str:
        """The list's title where lists have titles, even an empty one; else the page's."""
        return crawled if self.source.kind in UNTITLED else pair.title

    def _section(self, pair: Pair) -> tuple[float, float] | None:
        return (pair.start, pair.end) if self.crawl.sections and pair.end is not None else None

    def _row_of(self, pair: Pair, record: Record, *, key: str) -> Row:
        path = self.store.path(record, key=key)
        title = self._title(pair, record.title)
        return outcome.ok(pair, title=title, path=path, size=record.bytes, sha256=record.sha256, section=record.section)

    def _record(self, row: Row) -> None:
        """A ledger row for what was settled without a fetch, if it is news."""
        last = self.ledger.last(row.id)
        if last is None or (last.status, last.sha256) != (row.status, row.sha256):
            self.ledger.append(row.id, row.status, reason=row.reason, bytes=row.bytes, sha256=row.sha256)
