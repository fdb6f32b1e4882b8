from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.scripted_site import ScriptedSite, make_video, serve_script


@pytest.fixture(scope="session")
def tiny_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "tiny.mp4")


@pytest.fixture
def scripted_site(tiny_video: Path) -> Iterator[ScriptedSite]:
    with serve_script(ScriptedSite(video=tiny_video.read_bytes())) as site:
        yield site


@pytest.fixture
def official_lists() -> Path:
    folder = Path(__file__).parents[2] / os.environ.get("CPD_SHARED", "../shared") / "lists"
    if not folder.is_dir():
        pytest.skip(f"the official lists are not there: {folder}")
    return folder
