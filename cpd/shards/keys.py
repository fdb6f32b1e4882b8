"""The name of a sample inside its shard."""

from __future__ import annotations

import hashlib
import re

KEY = re.compile(r"[0-9a-f]{20}\Z")


def sample_key(source: str, identity: str) -> str:
    """20 hex digits of SHA-256 of `source/id`: a safe file name without dots, blind to letter case."""
    return hashlib.sha256(f"{source}/{identity}".encode(errors="surrogatepass")).hexdigest()[:20]
