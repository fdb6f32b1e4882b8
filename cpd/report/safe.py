"""Hostile text made showable: titles come from strangers.

Escaping for HTML is jinja's autoescape and ElementTree's; this module sees to what escaping leaves: characters that
no HTML or XML may hold, and texts without end.
"""

from __future__ import annotations

import re

LONGEST = 160
REPLACEMENT = "\ufffd"
# C0 and C1 controls, lone surrogates and non-characters: XML refuses them, and UTF-8 cannot hold surrogates.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """`text` with every character that HTML or XML cannot hold as U+FFFD."""
    return _UNSHOWABLE.sub(REPLACEMENT, text)


def shorten(text: str, limit: int = LONGEST) -> str:
    """At most `limit` characters of a text, printable, in one line."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def finalize(value: object) -> object:
    """For jinja: every text that is put into the page is printable (markup made by us included)."""
    return type(value)(printable(value)) if isinstance(value, str) else value


def percent(part: float, whole: float) -> str:
    """`12.3 %`, and a dash of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "—"


def count(number: int) -> str:
    """`240,000`."""
    return f"{number:,}"
