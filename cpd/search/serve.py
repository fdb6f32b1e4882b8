"""Where to listen, who may ask, and the server."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING

import uvicorn

from cpd.errors import CpdError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
CONNECTIONS = 200
GRACE = 2  # seconds for answers under way at the end


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        CpdError: the port is taken or not allowed, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except (OSError, OverflowError) as error:
        hint = "give another --port, or 0 for a free one" if _is_port_trouble(error) else "give another --host"
        raise CpdError(f"{host}:{port}: {error}", hint=hint) from None
    return listener


def _is_port_trouble(error: Exception) -> bool:
    return isinstance(error, OverflowError) or getattr(error, "errno", 0) in (errno.EADDRINUSE, errno.EACCES)


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def address(listener: socket.socket, host: str) -> str:
    """The address to open in a browser."""
    ip, port = listener.getsockname()[:2]
    if ipaddress.ip_address(ip).is_unspecified:
        host = socket.gethostname()
    return f"http://{_bracketed(host)}:{port}/"


def allowed_hosts(listener: socket.socket, host: str) -> list[str]:
    """Names under which the page may be asked: those of the loopback, and `host`; any where it listens everywhere."""
    if ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        return ["*"]
    return [*LOOPBACK_NAMES, _bracketed(host).lower()]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def make_server(app: ASGIApp) -> uvicorn.Server:
    """A server that gives answers under way `GRACE` seconds when it is to end."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
    )
    return uvicorn.Server(config)
