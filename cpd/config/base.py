"""What every part of the config has in common."""

from __future__ import annotations

import msgspec


def require(holds: bool, key: str, message: str) -> None:
    """For `__post_init__`: msgspec turns the ValueError into a message with the path."""
    if not holds:
        raise ValueError(f"{key} {message}")


def at_least(part: Strict, low: int, *keys: str) -> None:
    """Require of each of these numbers that it is not below `low`."""
    for key in keys:
        require(getattr(part, key) >= low, key, f"must be at least {low}")


def positive(part: Strict, *keys: str) -> None:
    """Require of each of these numbers that it is above 0."""
    for key in keys:
        require(getattr(part, key) > 0, key, "must be positive")


def rising(part: Strict, *keys: str) -> None:
    """Require of each of these lists that it holds whole numbers from 1 on, none twice and in order."""
    for key in keys:
        numbers = list(getattr(part, key))
        sound = numbers == sorted(set(numbers)) and all(number > 0 for number in numbers)
        require(sound, key, f"must rise from 1 or more, unlike {numbers}")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping whose unknown keys are errors."""
