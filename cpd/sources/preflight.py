"""Reasons to ask for nothing at all: no network, a block that is not over, a disk that is nearly full."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cpd.config import Crawl
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import write_bytes
from cpd.sources.deadline import DeadlineError, deadline

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_PATIENCE = 15.0  # seconds for a name and a connection


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A site said no to the whole crawl; `until` is the Unix second before which it is not asked again."""

    until: float
    reason: str


class Blocked(CpdError):
    """The site blocks this crawl, or did a short while ago (exit code 75)."""

    def __init__(self, message: str, block: Block) -> None:
        when = datetime.fromtimestamp(block.until).strftime("%H:%M on %d %B")
        hint = f"run again after {when} (`--wait` does so by itself): what is fetched is kept (docs/crawl.md)"
        super().__init__(message, hint=hint, exit_code=EX_TEMPFAIL)
        self.block = block


def block_path(store: Path) -> Path:
    """Where the block of a source is written down; delete it to ask at once."""
    return store / "blocked.json"


def read_block(store: Path) -> Block | None:
    """The block that a source is under, None when there is none or it is over."""
    try:
        block = msgspec.json.decode(block_path(store).read_bytes(), type=Block)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        log.warning("%s: unreadable, taken for no block", block_path(store))
        return None
    return block if block.until > time.time() else None


def write_block(store: Path, *, reason: str, pause: float) -> Block:
    """Write a block down, so that no other crawl of the source asks before it is over."""
    block = Block(until=round(time.time() + pause, 3), reason=reason)
    write_bytes(block_path(store), msgspec.json.encode(block))
    return block


def check_block(store: Path, *, name: str) -> None:
    """Stop while the source is blocked.

    Raises:
        Blocked: it is.
    """
    if block := read_block(store):
        raise Blocked(f"{name}: blocked: {block.reason}", block)


def check_space(folder: Path, crawl: Crawl) -> None:
    """Stop before a download leaves too little on the disk.

    Raises:
        CpdError: less than `crawl.min_free_bytes` is free (exit code 75).
    """
    free = shutil.disk_usage(folder).free
    if free < crawl.min_free_bytes:
        raise CpdError(
            f"{folder}: {free / 1e9:.2f} GB are free, crawl.min_free_bytes is {crawl.min_free_bytes / 1e9:.2f} GB",
            hint="free some, or lower it; then run again: what is fetched is kept",
            exit_code=EX_TEMPFAIL,
        )


def check_cookies(path: str | None) -> None:
    """Warn where others may read the cookies: they are as good as the account's password."""
    if path and Path(path).exists() and os.stat(path).st_mode & 0o077:
        log.warning("%s can be read by others: chmod 600 it", path)


def proxy_of(crawl: Crawl, url: str) -> str | None:
    """The proxy for an address: the config's, else the environment's (https_proxy, no_proxy)."""
    parts = urlsplit(url)
    if crawl.proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return crawl.proxy
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def check_online(url: str, crawl: Crawl) -> None:
    """Without a network, stop before any id is blamed for it.

    Raises:
        CpdError: neither the site nor, where there is one, the proxy can be reached (exit code 75).
    """
    host, port = _gateway(url, proxy_of(crawl, url))
    try:
        with deadline(_PATIENCE), socket.create_connection((host, port), timeout=crawl.timeout):
            return
    except DeadlineError as error:
        why = str(error)
    except OSError as error:
        why = error.strerror or str(error)
    raise CpdError(
        f"{host}: {why}", hint="this machine has no network there: crawl elsewhere, or later", exit_code=EX_TEMPFAIL
    )


def proxy_addresses(url: str, crawl: Crawl) -> frozenset[tuple[str, int]]:
    """Where a proxy is, as IPs and ports: it may well be inside."""
    proxy = proxy_of(crawl, url)
    if proxy is None:
        return frozenset()
    host, port = _gateway(url, proxy)
    return frozenset((str(found[4][0]), port) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _gateway(url: str, proxy: str | None) -> tuple[str, int]:
    parts = urlsplit(url if proxy is None else proxy if "://" in proxy else f"http://{proxy}")
    default = {"https": 443, "socks5": 1080, "socks5h": 1080, "socks4": 1080}.get(parts.scheme, 80)
    return parts.hostname or "", parts.port or default
