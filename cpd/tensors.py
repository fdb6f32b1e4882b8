"""Files of tensors: written whole or not at all, and a full disk is one message."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import atomic_path, give_usual_mode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically, with the mode that the umask gives.

    Args:
        path: the file; its folder is made when absent.
        tensors: by name; on the CPU, contiguous, and sharing no memory.
        metadata: texts that go into the header.

    Raises:
        CpdError: it could not be written (a full disk); an older file is untouched.
    """
    from safetensors.torch import save_file

    with disk_errors(path), atomic_path(path) as beside:
        save_file(dict(tensors), beside, metadata=metadata)
        give_usual_mode(beside)


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """Tell of a disk that safetensors cannot write to: its error is no OSError, though its cause is one.

    Args:
        path: what is being written, for the message.

    Raises:
        CpdError: with exit code 75, since the same command goes on once there is space.
    """
    try:
        yield
    except SafetensorError as error:
        _, found, reason = str(error).partition("I/O error: ")
        if not found:
            raise
        raise CpdError(
            f"{path}: not written: {reason}", hint="free some space and run again", exit_code=EX_TEMPFAIL
        ) from error
