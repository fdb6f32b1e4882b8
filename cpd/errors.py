"""Errors a user can act on: what is wrong, where, and how to mend it."""

from __future__ import annotations

EX_USAGE = 2
EX_TEMPFAIL = 75  # sysexits.h: try again later (a block, a full disk)
EX_REQUEUE = 85  # a signal asked us to stop; everything is saved, run me again


class CpdError(Exception):
    """A fault in the input or the environment, told in one message.

    Args:
        message: what is wrong, naming the file, the key or the id.
        hint: how to mend it.
        exit_code: what the command line exits with.
    """

    def __init__(self, message: str, *, hint: str = "", exit_code: int = EX_USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class ConfigError(CpdError):
    """A config file or one of its values cannot be used."""
