from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpd.engine.metrics import MetricsLog


def test_rows_after_a_checkpoint_are_cut(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run" / "metrics.jsonl")
    assert log.length() == 0
    log.append({"step": 1, "loss": 0.5})
    length = log.length()
    log.append({"step": 2, "loss": float("nan"), "inner": {"x": float("inf")}})
    rows = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert rows[1] == {"step": 2, "loss": "nan", "inner": {"x": "inf"}}
    log.cut(length)
    log.append({"step": 2, "loss": 0.25})
    assert [json.loads(line)["loss"] for line in log.path.read_text().splitlines()] == [0.5, 0.25]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    """Python's own error of a write says what is wrong, but not where."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*metrics\.jsonl'"):
        MetricsLog(tmp_path / "metrics.jsonl").append({"step": 1})


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", writes=False)
    log.append({"step": 1})
    assert not log.path.exists()
    log.path.write_text("rank 0's\n")
    log.cut(0)
    assert log.path.read_text() == "rank 0's\n"
