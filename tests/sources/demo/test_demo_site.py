import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yt_dlp

from cpd import fileio
from cpd.errors import CpdError
from cpd.sources.demo import site

MEDIA = bytes(range(256)) * 300
TITLES = {
    "plainTitle0": "Red ball bouncing",
    "-dashFirst_": "Ball & Box | ShapeTube #shorts",
    "entities001": "&quot;A Red Ball&quot; &amp; friends",
    "quotes00001": "\"Double\" 'single' </script><b>bold</b>",
    "emoji000001": "👨‍👩‍👧 Шар 赤い “curly” \\ back\\nslash",
    "longVideo01": "A minute",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    pages = {
        i: {"title": title, "seconds": 60.0 if i == "longVideo01" else 4.0, "status": 200, "media": "ab.mp4"}
        for i, title in TITLES.items()
    }
    pages["dead0000000"] = {"title": "x", "seconds": 4.0, "status": 404, "media": ""}
    pages["private0000"] = {"title": "x", "seconds": 4.0, "status": 403, "media": ""}
    fileio.write_json(folder / "pages.json", pages)
    fileio.write_bytes(folder / "media/ab.mp4", MEDIA)
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with site.serve(folder) as port:
        yield port


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), body


class Quiet:
    def debug(self, message: str) -> None: ...

    info = warning = error = debug


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> yt_dlp.YoutubeDL:
    template = str(tmp_path_factory.mktemp("downloads") / "%(id)s.%(ext)s")
    return yt_dlp.YoutubeDL({"quiet": True, "logger": Quiet(), "outtmpl": template, "retries": 0})


@pytest.mark.parametrize("video_id", TITLES)
def test_yt_dlp_finds_title_and_duration_and_fetches_every_byte(
    client: yt_dlp.YoutubeDL, port: int, video_id: str
) -> None:
    info = client.extract_info(f"http://127.0.0.1:{port}/watch/{video_id}", download=True)
    assert info["extractor"] == "generic"
    assert (info["id"], info["title"]) == (video_id, TITLES[video_id])
    assert info["duration"] == (60 if video_id == "longVideo01" else 4)
    assert Path(info["requested_downloads"][0]["filepath"]).read_bytes() == MEDIA


@pytest.mark.parametrize(("video_id", "status"), [("dead0000000", 404), ("private0000", 403), ("neverListed", 404)])
def test_yt_dlp_meets_the_errors(client: yt_dlp.YoutubeDL, port: int, video_id: str, status: int) -> None:
    with pytest.raises(yt_dlp.utils.DownloadError) as caught:
        client.extract_info(f"http://127.0.0.1:{port}/watch/{video_id}", download=False)
    assert caught.value.exc_info[1].status == status
    assert ask(port, f"/media/{video_id}.mp4")[0] == status


@pytest.mark.parametrize(
    ("header", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=76000-", 76000, len(MEDIA)),
        ("bytes=76000-999999", 76000, len(MEDIA)),
        ("bytes=-10", len(MEDIA) - 10, len(MEDIA)),
        ("bytes=-999999", 0, len(MEDIA)),
    ],
)
def test_ranges(port: int, header: str, first: int, stop: int) -> None:
    status, headers, body = ask(port, "/media/plainTitle0.mp4", Range=header)
    assert (status, body) == (206, MEDIA[first:stop])
    assert headers["Content-Range"] == f"bytes {first}-{stop - 1}/{len(MEDIA)}"


@pytest.mark.parametrize("header", [f"bytes={len(MEDIA)}-", "bytes=-0"])
def test_ranges_beyond_the_end(port: int, header: str) -> None:
    status, headers, body = ask(port, "/media/plainTitle0.mp4", Range=header)
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{len(MEDIA)}")


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=x-"])
def test_ranges_that_may_be_ignored_give_the_whole(port: int, header: str) -> None:
    assert ask(port, "/media/plainTitle0.mp4", Range=header)[::2] == (200, MEDIA)


def test_head_tells_the_length_alone(port: int) -> None:
    status, headers, body = ask(port, "/media/plainTitle0.mp4", method="HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(MEDIA)), b"")


@pytest.mark.parametrize(
    "path",
    ["/", "/pages.json", "/media/../pages.json", "/media/plainTitle0", "/watch/plainTitle0.mp4", "/media/ab.mp4"],
)
def test_nothing_else_is_served(port: int, path: str) -> None:
    assert ask(port, path)[0] == 404


def test_hits_are_counted(port: int) -> None:
    before = json.loads(ask(port, "/hits")[2]).get("/watch/emoji000001", 0)
    for _ in range(3):
        ask(port, "/watch/emoji000001?again")
    assert json.loads(ask(port, "/hits")[2])["/watch/emoji000001"] == before + 3


def test_only_loopback_is_bound(port: int) -> None:
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))


def test_a_client_that_hangs_up_is_no_error(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(b"GET /media/plainTitle0.mp4 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert ask(port, "/watch/plainTitle0")[0] == 200
    assert capfd.readouterr().err == ""


def test_a_taken_port_and_a_missing_site_are_told(port: int, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CpdError, match=f"port {port}"), site.serve(folder, port=port):
        pass
    with pytest.raises(CpdError, match=r"pages\.json: no such file"), site.serve(tmp_path):
        pass


def test_the_port_is_free_again_afterwards(folder: Path) -> None:
    with site.serve(folder) as port:
        assert ask(port, "/hits")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/hits")
