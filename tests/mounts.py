"""Disks of a test's own: a mount that one command alone sees, of any size."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def can_mount() -> bool:
    """Whether a mount of our own is possible: root alone finds nothing that it may not write to."""
    try:
        done = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


NEEDS_MOUNTS = pytest.mark.skipif(not can_mount(), reason="no mounts of our own here (needs root)")


def inside(mounts: str, command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with mounts that only it sees."""
    script = ["unshare", "-m", "sh", "-ec", f'{mounts}; exec "$@"', "sh", *command]
    return subprocess.run(script, cwd=folder, capture_output=True, text=True, check=False)
