"""Bad input at the command line: one clear message, an exit code, and nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OVERLAY = """
results: {folder}/results
data: {folder}/data
sources:
  mine: {{kind: folder, lists: {{train: {folder}/mine.csv}}, videos: {folder}, pairs: {{train: 2}}}}
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(OVERLAY.format(folder=tmp_path))
    return path


def cpd(*args: str, overlay: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cpd", *args, "--configfile", str(ROOT / "config.yaml"), str(overlay)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def assert_refused(done: subprocess.CompletedProcess[str], *wanted: str, overlay: Path) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    for part in wanted:
        assert part in done.stderr
    assert not [path for path in (overlay.parent / "results").rglob("*") if path.is_file()]


def test_missing_csv_column(overlay: Path) -> None:
    (overlay.parent / "mine.csv").write_text("file,tilte\na.mp4,one\nb.mp4,two\n")
    assert_refused(cpd("chunks", "--source", "mine", overlay=overlay), "mine.csv", "title", overlay=overlay)


def test_missing_csv(overlay: Path) -> None:
    assert_refused(cpd("chunks", "--source", "mine", overlay=overlay), "mine.csv", overlay=overlay)


def test_unreadable_csv(overlay: Path) -> None:
    (overlay.parent / "mine.csv").write_bytes(b"\xff\xfe\x00file,title\n\x81\x82\x00")
    assert_refused(cpd("chunks", "--source", "mine", overlay=overlay), "mine.csv", overlay=overlay)


def test_wrong_number_of_pairs_names_the_right_one(overlay: Path) -> None:
    (overlay.parent / "mine.csv").write_text("file,title\na.mp4,one\nb.mp4,two\nc.mp4,three\n")
    assert_refused(cpd("chunks", "--source", "mine", overlay=overlay), "train: 3", overlay=overlay)


def test_missing_weights(overlay: Path) -> None:
    done = cpd("features", "--run", "cpd-r34", "--source", "mine", "--split", "train", overlay=overlay)
    assert_refused(done, "cpd-r34", overlay=overlay)


def test_missing_shards(overlay: Path) -> None:
    done = cpd("pretrain", "cpd-r34", "--output", str(overlay.parent / "run"), overlay=overlay)
    assert_refused(done, "index.json", overlay=overlay)
    assert not (overlay.parent / "run").exists()


def test_unknown_source_and_verb(overlay: Path) -> None:
    assert_refused(cpd("chunks", "--source", "mien", overlay=overlay), "mien", overlay=overlay)
    done = subprocess.run([sys.executable, "-m", "cpd", "plann"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "plann" in done.stderr
    assert "did you mean 'plan'?" in done.stderr
