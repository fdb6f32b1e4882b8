"""Byte ranges, against Starlette's own answers for a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cpd.search.ranges import find_range, serve_bytes

CONTENT = bytes(range(100))
TAG = '"abc"'


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    (tmp_path / "file").write_bytes(CONTENT)

    def ours(request: Request) -> Response:
        return serve_bytes(request, CONTENT, media_type="video/mp4", etag="abc")

    def theirs(request: Request) -> Response:
        return FileResponse(tmp_path / "file", media_type="video/mp4")

    return TestClient(Starlette(routes=[Route("/ours", ours), Route("/theirs", theirs)]))


@pytest.mark.parametrize(
    "wanted",
    ["0-0", "0-", "5-9", "5-1000", "99-", "99-99", "-1", "-100", "-1000", "0-99", "100-", "100-200", "4000-"],
)
def test_as_a_file_is_served(client: TestClient, wanted: str) -> None:
    headers = {"Range": f"bytes={wanted}"}
    ours, theirs = client.get("/ours", headers=headers), client.get("/theirs", headers=headers)
    assert ours.status_code == theirs.status_code
    assert ours.headers.get("content-range") == theirs.headers.get("content-range")
    if ours.status_code == 206:
        assert ours.content == theirs.content
        assert ours.headers["content-length"] == theirs.headers["content-length"]


@pytest.mark.parametrize(
    "header",
    [
        "bytes=", "bytes=-", "bytes=a-b", "bytes=5-2", "lines=1-2", "bytes=0-1,5-6", "bytes 0-1", "bytes=--1",
        f"bytes=0-{'9' * 5000}", "bytes=١-٢",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_ignored(header: str) -> None:
    assert find_range(header, 100) is None


def test_the_whole_says_that_ranges_are_served(client: TestClient) -> None:
    answer = client.get("/ours")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == TAG


def test_what_the_browser_has_already(client: TestClient) -> None:
    answer = client.get("/ours", headers={"If-None-Match": TAG})
    assert (answer.status_code, answer.content) == (304, b"")
    assert client.get("/ours", headers={"If-None-Match": '"other"'}).status_code == 200
    for tag, status in ((TAG, 206), ('"other"', 200)):
        assert client.get("/ours", headers={"If-Range": tag, "Range": "bytes=1-2"}).status_code == status


def test_suffix_of_nothing_cannot_be_served(client: TestClient) -> None:
    answer = client.get("/ours", headers={"Range": "bytes=-0"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100")
    assert client.head("/ours").headers["content-length"] == "100"
