"""The pages and clips: what is found, what is refused, and that strangers' text stays text."""

from __future__ import annotations

import dataclasses
import hashlib
from html.parser import HTMLParser

import msgspec
import pytest
from starlette.testclient import TestClient

from cpd.config import Config
from cpd.errors import CpdError
from cpd.search.app import build_app
from cpd.search.searcher import Searcher
from cpd.search.serve import LOOPBACK_NAMES
from cpd.shards.read import VideoStore
from tests.search.small_search import HOSTILE, HOSTILE_LABEL, open_searcher

PRINTED = HOSTILE.replace("\ud800", "?")


class Page(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def every(self, tag: str, name: str) -> list[str]:
        return [str(attrs[name]) for found, attrs in self.tags if found == tag and name in attrs]


def get(client: TestClient, address: str, status: int = 200) -> Page:
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


def test_a_sentence_finds_the_clips_with_that_title(client: TestClient, searcher: Searcher) -> None:
    page = get(client, "/?q=a+blue+square+goes+right")
    assert len(page.every("video", "src")) == searcher.k
    best = page.every("video", "src")[0].removeprefix("/clip/").removesuffix(".mp4")
    assert searcher.gallery.titles[searcher.gallery.row_of[best]] == "a blue square goes right"
    assert page.every("meter", "value")[0] == "1.0000"
    assert "1.000" in page.text
    assert "10 clips compared in" in page.text
    assert page.every("input", "value") == ["a blue square goes right"]
    assert all("muted" in attrs and "loop" in attrs for tag, attrs in page.tags if tag == "video")


def test_what_the_network_reads_is_said(client: TestClient) -> None:
    assert "Read as" not in get(client, "/?q=a+red+square").text
    assert "Read as a red square." in get(client, "/?q=a+red%E2%98%85+square!").text


@pytest.mark.parametrize("address", ["/", "/?q=", "/?q=++", "/?other=1"])
def test_without_a_sentence_the_start_page_says_what_is_there(
    client: TestClient, searcher: Searcher, address: str
) -> None:
    page = get(client, address)
    gallery = searcher.gallery
    for wanted in ("10 of pairs-val", "told", "cross_pair", gallery.weights[:16], "a red square goes left"):
        assert wanted in page.text
    examples = [href for href in page.every("a", "href") if href.startswith("/?q=")]
    assert len(examples) == 6
    assert "Clips for" in get(client, examples[0]).text


@pytest.mark.parametrize(
    ("query", "message"),
    [("a" * 301, "300 are read"), ("a%00b", "control characters"), ("%1b[31m", "control characters")],
)
def test_a_query_that_is_refused(client: TestClient, query: str, message: str) -> None:
    assert message in get(client, f"/?q={query}", status=400).text


def test_bytes_that_are_no_text_do_no_harm(client: TestClient) -> None:
    assert "Clips for" in get(client, "/?q=%ff%fe+ball").text


def test_hostile_text_stays_text(client: TestClient, searcher: Searcher) -> None:
    row = next(row for row, clip in enumerate(searcher.gallery.clips) if clip.title == HOSTILE)
    key = searcher.gallery.clips[row].key
    for address in ("/?q=a+green+square+goes+left", f"/clip/{key}", "/?q=%3Cscript%3Ealert(1)%3C/script%3E"):
        page = get(client, address)
        assert page.every("script", "src") == ["/page.js"]
        assert [tag for tag, _ in page.tags].count("script") == 1
        assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object")]
        assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on") or name == "style"]
    shown = get(client, f"/clip/{key}")
    assert PRINTED in shown.text
    assert HOSTILE_LABEL in shown.text
    assert "<script>alert(1)</script>" in get(client, "/?q=%3Cscript%3Ealert(1)%3C/script%3E").text


def test_a_clip_of_the_gallery(client: TestClient, searcher: Searcher) -> None:
    clip = searcher.gallery.clips[4]
    page = get(client, f"/clip/{clip.key}")
    sources = page.every("video", "src")
    assert sources[0] == f"/clip/{clip.key}.mp4"
    assert len(sources) == 1 + searcher.k
    assert sources.count(sources[0]) == 1, "a clip is not like itself"
    assert "Nearest titles" in page.text
    assert "Nearest classes" in page.text
    assert "a red square goes right" in page.text


def test_the_bytes_of_a_clip_are_those_of_the_shard(client: TestClient, searcher: Searcher) -> None:
    for clip in searcher.gallery.clips:
        answer = client.get(f"/clip/{clip.key}.mp4")
        assert answer.headers["content-type"] == "video/mp4"
        assert hashlib.sha256(answer.content).hexdigest() == clip.sha256
    part = client.get(f"/clip/{clip.key}.mp4", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    size = len(answer.content)
    assert part.headers["content-range"] == f"bytes 4-7/{size}"
    beyond = client.get(f"/clip/{clip.key}.mp4", headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize(
    "address",
    [
        "/clip/" + "0" * 20, "/clip/" + "0" * 20 + ".mp4", "/clip/..%2f..%2fconfig.yaml", "/clip/../config.yaml",
        "/clip/%2e%2e/%2e%2e/etc/passwd", "/clip//etc/passwd", "/clip/..%5c..%5cx.mp4", "/clip/%00.mp4",
        "/dropped/nothing", "/dropped/nothing.mp4", "/dropped/..%2f..%2fx", "/config.yaml", "/style.css/../config.yaml",
        "/static/../../config.yaml", "/%2e%2e/config.yaml",
    ],
)  # fmt: skip
def test_other_addresses_lead_nowhere(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 404
    assert "results" not in answer.text


def test_every_answer_is_guarded(client: TestClient, searcher: Searcher) -> None:
    key = searcher.gallery.clips[0].key
    addresses = ["/", "/?q=ball", "/page.js", "/style.css", "/icon.svg", f"/clip/{key}.mp4", "/nowhere", "/?q=%00"]
    for address in addresses:
        headers = client.get(address).headers
        assert headers["x-content-type-options"] == "nosniff", address
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "0.0.0.0", ""])
def test_another_host_name_is_turned_away(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"Host": host})
    assert (answer.status_code, answer.text) == (400, "Invalid host header")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765"])
def test_names_of_the_loopback_are_right(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_other_methods_are_refused(client: TestClient) -> None:
    assert client.post("/").status_code == 405
    assert client.delete("/clip").status_code == 405
    assert client.get("/clip").status_code == 405


def test_a_fault_of_the_machine_is_told_to_its_owner_alone(
    client: TestClient, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(store: VideoStore, instance: int) -> bytes:
        raise CpdError("/secret/place.tar: gone", hint="run `cpd shards verify`")

    monkeypatch.setattr(VideoStore, "read", gone)
    answer = client.get(f"/clip/{searcher.gallery.clips[0].key}.mp4")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "/secret/place.tar: gone" in capsys.readouterr().err


def test_a_run_without_text_compares_clips_alone(config: Config) -> None:
    with open_searcher(config, "random") as searcher:
        assert searcher.gallery.clip_ND.shape == (10, 32), "res5"
        client = TestClient(build_app(searcher, hosts=LOOPBACK_NAMES), base_url="http://127.0.0.1")
        start = get(client, "/")
        assert "did not learn from titles" in start.text
        assert start.every("input", "name") == ["clip"]
        assert "did not learn from titles" in get(client, "/?q=ball", status=409).text
        page = get(client, f"/clip/{searcher.gallery.clips[0].key}")
        assert "Nearest" not in page.text
        assert len(page.every("video", "src")) == 1 + searcher.k


def test_a_source_without_titles_still_has_classes(config: Config) -> None:
    with open_searcher(config, "cpd", source="acts", split="all") as searcher:
        client = TestClient(build_app(searcher, hosts=LOOPBACK_NAMES), base_url="http://127.0.0.1")
        examples = [href for href in get(client, "/").every("a", "href") if href.startswith("/?q=")]
        assert "/?q=blue%20left" in examples
        page = get(client, f"/clip/{searcher.gallery.clips[0].key}")
        assert "Nearest titles" not in page.text
        assert "Nearest classes" in page.text


def test_what_a_visitor_must_know_is_said(searcher: Searcher) -> None:
    gallery = searcher.gallery
    control = dataclasses.replace(gallery, exp=msgspec.structs.replace(gallery.exp, shuffle_titles=True), failed=3)
    app = build_app(Searcher(control, searcher.network, k=1), hosts=LOOPBACK_NAMES)
    start = get(TestClient(app, base_url="http://127.0.0.1"), "/").text
    assert "learned from shuffled titles" in start
    assert "3 more could not be decoded" in start
