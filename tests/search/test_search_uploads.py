"""Dropped clips: seen as the pipeline sees them; what cannot be used says why, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
import torch
from starlette.testclient import TestClient

from cpd.config import Config
from cpd.models.checkpoint import load_embedder
from cpd.search import app, recent, upload
from cpd.search.pages import LONGEST_NAME, shown_name
from cpd.search.searcher import Searcher
from cpd.search.serve import LOOPBACK_NAMES
from cpd.video.probe import VideoError
from tests import small_corpus
from tests.search.small_search import open_searcher


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def video(tmp_path: Path) -> bytes:
    small_corpus.write_video(tmp_path / "video.mp4", colour="blue", motion="right", seed=5)
    return (tmp_path / "video.mp4").read_bytes()


def drop(client: TestClient, content: bytes, *, name: str = "mine.mp4", **more: object):
    return client.post("/clip", files={"clip": (name, content)}, follow_redirects=False, **more)


def left_over() -> list[Path]:
    return list(Path(tempfile.gettempdir()).iterdir())


def test_a_dropped_clip_gets_titles_classes_and_clips(client: TestClient, video: bytes) -> None:
    answer = drop(client, video)
    assert answer.status_code == 303
    address = answer.headers["location"]
    page = client.get(address)
    assert page.status_code == 200
    for wanted in ("mine.mp4", "Nearest titles", "Nearest classes", "Clips like it", "Clip looked at in"):
        assert wanted in page.text
    assert client.get(address).text == page.text, "its page can be reloaded"
    part = client.get(f"{address}.mp4", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    assert left_over() == []


def test_a_clip_is_embedded_as_the_library_embeds_it(config: Config, searcher: Searcher, tmp_path: Path) -> None:
    small_corpus.write_video(tmp_path / "v.mp4", colour="red", motion="left", seed=9)
    with (tmp_path / "v.mp4").open("rb") as file:
        seen = searcher.network.look(file)
    embedder = load_embedder(Path(config.results) / "pretrain" / "told")
    emb_D, res5_F = embedder.embed_file(tmp_path / "v.mp4", views=searcher.gallery.views, clips=config.clips)
    torch.testing.assert_close(seen.emb_D, emb_D)
    torch.testing.assert_close(seen.res5_F, torch.nn.functional.normalize(res5_F, dim=0))


def test_a_clip_of_the_gallery_finds_itself(config: Config) -> None:
    with open_searcher(config, "cpd", source="acts", split="all") as searcher:
        client = TestClient(app.build_app(searcher, hosts=LOOPBACK_NAMES), base_url="http://127.0.0.1")
        for row in (0, 13, 31):
            page = client.get(drop(client, searcher.gallery.video(row)).headers["location"]).text
            found = page.split("/clip/")[1:]
            assert searcher.gallery.clips[row].key in "".join(found[:8]), "among the first"
        assert searcher.gallery.short_side == small_corpus.SIDE


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"hello, I am a text\n" * 50, "not_video"),
        (b"<!doctype html><script>alert(1)</script>", "not_video"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "not_video"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not_video"),
        (b"\x00\x00\x00\x18ftypisom" + b"\0" * 500, "corrupt"),
    ],
)
def test_what_is_no_clip_is_told(client: TestClient, content: bytes, status: str) -> None:
    answer = drop(client, content, name="thing.mp4")
    assert answer.status_code == 422
    assert "thing.mp4 cannot be used" in answer.text
    assert status in answer.text
    assert tempfile.gettempdir() not in answer.text
    assert left_over() == []


def test_a_torn_clip_is_told(client: TestClient, video: bytes) -> None:
    assert drop(client, video[: len(video) // 2]).status_code == 422
    assert left_over() == []


def test_no_file_or_an_empty_one(client: TestClient) -> None:
    for answer in (drop(client, b""), client.post("/clip", data={"clip": "text"}), client.post("/clip", content=b"x")):
        assert answer.status_code == 400
        assert "No file was chosen" in answer.text


def test_a_broken_form(client: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/clip", content=b"nothing of the kind", headers=headers).status_code == 400
    without = client.post("/clip", content=b"", headers={"Content-Type": "multipart/form-data"})
    assert without.status_code == 400


def test_a_large_file_is_refused_before_it_is_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "LARGEST", 2 << 20)
    answer = drop(client, b"\0" * (3 << 20))
    assert answer.status_code == 413
    assert "too large: 3 MB; 2 MB are the limit" in answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert left_over() == []


def test_what_claims_to_be_enormous_is_not_even_swallowed(client: TestClient) -> None:
    answer = client.post("/clip", content=b"x", headers={"Content-Length": str(upload.SWALLOWED + 1)})
    assert answer.status_code == 413


def test_a_file_of_unknown_length_is_refused(client: TestClient) -> None:
    answer = client.post("/clip", content=iter([b"a", b"b"]))
    assert answer.status_code == 411


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
def test_other_pages_may_not_send_clips(client: TestClient, video: bytes, origin: str) -> None:
    assert drop(client, video, headers={"Origin": origin}).status_code == 403


def test_this_page_may(client: TestClient, video: bytes) -> None:
    assert drop(client, video, headers={"Origin": "http://127.0.0.1"}).status_code == 303


def test_more_than_a_few_at_once_are_asked_to_wait(
    client: TestClient, video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "AT_ONCE", 0)
    answer = drop(client, video)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    monkeypatch.setattr(upload, "AT_ONCE", 1)
    for content in (video, b"no video", video):
        assert drop(client, content).status_code in (303, 422), "a place is given back, whatever came of it"


def test_the_pages_answer_while_a_clip_is_looked_at(searcher: Searcher, video: bytes) -> None:
    """Looking happens in a thread: the event loop serves others meanwhile."""
    import httpx

    looking, go_on = asyncio.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    class Slow:
        def look(self, media: object) -> None:
            loops[0].call_soon_threadsafe(looking.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loops[0]).result(60)
            raise VideoError("corrupt", "after all")

        def sentences(self, texts: list[str]) -> torch.Tensor:
            return searcher.network.sentences(texts)

    async def scene() -> tuple[int, int]:
        loops.append(asyncio.get_running_loop())
        site = app.build_app(Searcher(searcher.gallery, Slow(), k=2), hosts=LOOPBACK_NAMES)  # type: ignore[arg-type]
        transport = httpx.ASGITransport(site)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
            sent = asyncio.create_task(browser.post("/clip", files={"clip": ("a.mp4", video)}))
            await looking.wait()
            other = await browser.get("/?q=a+red+square")
            assert not sent.done()
            go_on.set()
            return other.status_code, (await sent).status_code

    assert asyncio.run(scene()) == (200, 422)


def test_names_of_files_are_shown_as_text() -> None:
    assert shown_name("C:\\fakepath\\a.mp4") == "a.mp4"
    assert shown_name("../../etc/passwd") == "passwd"
    assert shown_name("a\u202egpj.mp4\x00") == "agpj.mp4"
    assert shown_name("///") == "a clip"
    assert len(shown_name("x" * 5000)) == LONGEST_NAME


def test_a_hostile_name_is_escaped(client: TestClient, video: bytes) -> None:
    page = client.get(drop(client, video, name="<script>alert(1)</script>.mp4").headers["location"]).text
    assert "<script>alert" not in page
    answer = drop(client, b"x" * 100, name="<img src=x onerror=alert(1)>")
    assert "<img" not in answer.text


def test_only_the_last_dropped_clips_are_kept() -> None:
    kept = recent.Recent()
    tokens = [kept.add(recent.Dropped(str(n), b"", None)) for n in range(recent.KEPT + 2)]  # type: ignore[arg-type]
    assert len(set(tokens)) == len(tokens)
    assert [kept.get(token) is None for token in tokens] == [True] * 2 + [False] * recent.KEPT
