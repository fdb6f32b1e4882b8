from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from cpd.config import Config
from cpd.search.app import build_app
from cpd.search.searcher import Searcher
from cpd.search.serve import LOOPBACK_NAMES
from tests.search.small_search import open_searcher, write_search_corpus


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return write_search_corpus(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="session")
def searcher(config: Config) -> Iterator[Searcher]:
    """The run whose clips are found by their titles."""
    with open_searcher(config, "told") as made:
        yield made


@pytest.fixture
def client(searcher: Searcher) -> TestClient:
    app = build_app(searcher, hosts=LOOPBACK_NAMES)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
