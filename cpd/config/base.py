"""What every part of the config has in common."""

from __future__ import annotations

import msgspec


def require(holds: bool, key: str, message: str) -> None:
    """For `__post_init__`: msgspec turns the ValueError into a message with the path."""
    if not holds:
        raise ValueError(f"{key} {message}")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping whose unknown keys are errors."""
