from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import peers


@pytest.fixture(autouse=True)
def without_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other people's packages stay out of the process: transformers, for one, asks for every torchvision it sees."""
    monkeypatch.setattr(peers, "FOLDER", tmp_path / "no peers")
    monkeypatch.setattr(sys, "path", list(sys.path))
