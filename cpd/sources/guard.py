"""No connection of a crawl goes to this machine or its network, whatever a page links or redirects to.

The check is made on the address that a socket is about to connect to, after names were resolved and redirects
followed, so that neither a redirect nor a name that points inside gets around it. A program outside this process
(ffmpeg) is not seen here: it is given an address that has no redirects left, and is told to follow none.
"""

from __future__ import annotations

import functools
import ipaddress
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Address = tuple[str, int]  # of the network: IP and port

WORDS = "inside this machine or its network"

_ARMED: list[frozenset[Address]] = []  # an audit hook cannot be taken out again: it looks here whether it is wanted


class PrivateAddress(OSError):
    """A connection was refused, since it would have gone inside."""


@contextmanager
def only_public(allow: frozenset[Address]) -> Iterator[None]:
    """Refuse every connection of this process that goes to an address which is not global and is not in `allow`.

    Raises:
        PrivateAddress: inside the context, in place of the connection.
    """
    _install()
    _ARMED.append(allow)
    try:
        yield
    finally:
        _ARMED.remove(allow)


def is_public(host: str) -> bool:
    """Whether a host of an address may be asked for: false for IPs that are not global, and for local names."""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return "." in host.strip(".") and not host.rstrip(".").endswith((".localhost", ".local", ".internal"))
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_global) and not mapped.is_multicast


@functools.cache
def _install() -> None:
    sys.addaudithook(_check)


def _check(event: str, args: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not _ARMED or not isinstance(args[1], tuple):
        return
    host, port = str(args[1][0]), int(args[1][1])
    if not is_public(host) and not any((host, port) in allow for allow in _ARMED):
        raise PrivateAddress(f"{host} is {WORDS}")
