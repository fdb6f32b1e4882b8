"""Fixtures of the shard tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.shards.small_shards import CHUNKS_A, Corpus
from tests.video.counter_video import write_counter


@pytest.fixture(scope="session")
def counter_videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Counting videos of 30, 40 and 50 frames."""
    folder = tmp_path_factory.mktemp("counters")
    return [write_counter(folder / f"{n}.mp4", n, width=64, height=48) for n in (30, 40, 50)]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, counter_videos: list[Path]) -> Corpus:
    made = Corpus(tmp_path_factory.mktemp("corpus") / "results", counter_videos)
    for chunk, n in (("train-0000", 5), ("train-0001", 4), ("train-0002", 3), ("val-0000", 2)):
        made.add("a", chunk, made.rows("a", chunk, n))
    made.add("b", "train-0000", made.rows("b", "train-0000", 3))
    made.index("a", CHUNKS_A)
    made.index("b", {"train": ["train-0000"]})
    return made


@pytest.fixture
def corpus(tmp_path: Path, made_once: Corpus) -> Corpus:
    """A copy of its own for each test, to damage as it likes."""
    shutil.copytree(made_once.results, tmp_path / "results")
    return Corpus(tmp_path / "results", made_once.videos)
