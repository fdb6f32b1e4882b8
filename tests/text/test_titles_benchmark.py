from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import titles

if TYPE_CHECKING:
    from pathlib import Path

    from cpd.config import Text


def test_the_benchmark_prints_its_rows(
    stanza_settings: Text, stanza_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["titles", "--clean", "40", "--parse", "8", "--rounds", "1", "--models"]
    monkeypatch.setattr(sys, "argv", [*options, str(stanza_folder)])
    titles.main()
    assert capsys.readouterr().out.count("\n| title-") == 4
    monkeypatch.setattr(sys, "argv", [*options, str(stanza_folder / "none")])
    titles.main()
    assert "title-tree is left out: no pos.pt" in capsys.readouterr().out
