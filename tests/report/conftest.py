"""One study for all tests of the report; those that change it take a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cpd.config import Config
from cpd.report.content import Content, gather
from cpd.report.drawing import Drawing
from cpd.report.figures import draw
from cpd.report.page import render
from tests.report.report_corpus import config_of, write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def whole(study: Config) -> Content:
    return gather(study)


@pytest.fixture(scope="session")
def figures(whole: Content) -> dict[str, list[Drawing]]:
    return draw(whole)


@pytest.fixture(scope="session")
def html(whole: Content, figures: dict[str, list[Drawing]]) -> str:
    return render(whole, figures)


@pytest.fixture
def own(study: Config, tmp_path: Path) -> Config:
    """A copy of the study, to be changed. Results are of this folder's config, weights and all."""
    folder = Path(study.results).parent
    shutil.copytree(folder, tmp_path / "own")
    for path in (tmp_path / "own" / "results" / "eval").rglob("*.json"):
        path.write_text(path.read_text().replace(str(folder), str(tmp_path / "own")))
    return config_of(tmp_path / "own")
