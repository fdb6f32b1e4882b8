"""The real YouTube extractor against a stub of YouTube; media come from loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import pytest

from cpd.config import Crawl
from cpd.errors import CpdError
from cpd.sources.failures import Failure
from cpd.sources.fetch import Fetched, Fetcher, is_youtube
from cpd.sources.fetch_options import options
from tests.sources.scripted_site import ScriptedSite, serve_script
from tests.sources.youtube_stub import StubYoutube, Video, stub_youtube

ID = "-AbCdEfGh12"
HANGING = """#!/bin/sh
case "$*" in
*protocol=http) echo " -max_redirects" ;;
*-bsfs*) echo "ffmpeg version 9.0 Copyright (c) the FFmpeg developers" ;;
*) echo $$ >> {pids}; exec sleep 60 ;;
esac
"""
URL = "https://www.youtube.com/watch?v={}"


@pytest.fixture
def youtube() -> Iterator[StubYoutube]:
    with stub_youtube(StubYoutube()) as stub:
        yield stub


def fetcher(folder: Path, *, port: int = 1, **crawl) -> Fetcher:
    """A fetcher that may ask one port of loopback, where the stub's media are."""
    work = folder / "a %d $HOME work"
    work.mkdir(exist_ok=True)
    return Fetcher(Crawl(**crawl), work=work, loopback=False, allow=frozenset({("127.0.0.1", port)}))


def fetch(
    folder: Path, url: str = URL.format(ID), *, start: float = 0.0, end: float | None = None, port: int = 1, **crawl
) -> Fetched:
    with fetcher(folder, port=port, **crawl) as open_fetcher:
        return open_fetcher.fetch(url, name="key", start=start, end=end)


def test_title_and_media(tmp_path, youtube: StubYoutube, scripted_site: ScriptedSite):
    title = "Guy \U0001f389 \"JUMPS\" & 'laughs' | \ud83d caf\u00e9"
    youtube.videos[ID] = Video(title=title, media=f"http://127.0.0.1:{scripted_site.port}/media/x.mp4")
    got = fetch(tmp_path, sections=False, port=scripted_site.port)
    assert got.title == title.replace("\ud83d", "\ufffd")
    assert got.section is None
    assert got.file.read_bytes() == scripted_site.video
    assert got.file.name == "key.mp4"


def test_a_section_is_cut_where_it_was_asked_for(tmp_path, youtube, scripted_site):
    youtube.videos[ID] = Video(seconds=2, media=f"http://127.0.0.1:{scripted_site.port}/media/x.mp4")
    got = fetch(tmp_path, start=0.7, end=1.5, port=scripted_site.port)
    assert got.section == (0.7, 1.5)
    with av.open(str(got.file)) as container:
        assert sum(1 for _ in container.decode(video=0)) in (8, 9)


@pytest.mark.parametrize(
    ("video", "status"),
    [
        (Video(status="LOGIN_REQUIRED", reason="Private video"), "private"),
        (
            Video(status="ERROR", reason="Video unavailable", subreason="This video has been removed by the uploader"),
            "gone",
        ),
        (
            Video(
                status="ERROR",
                reason="Video unavailable",
                subreason="This video is no longer available because the YouTube account associated with this video "
                "has been terminated.",
            ),
            "gone",
        ),
        (
            Video(
                status="UNPLAYABLE",
                reason="Video unavailable",
                subreason="This video contains content from X, who has blocked it on copyright grounds",
            ),
            "gone",
        ),
        (Video(status="ERROR", reason="Video unavailable"), "gone"),
        (Video(status="LOGIN_REQUIRED", reason="Sign in to confirm your age"), "age"),
        (
            Video(
                status="UNPLAYABLE",
                reason="Video unavailable",
                subreason="The uploader has not made this video available in your country",
                countries=("DE", "FR"),
            ),
            "region",
        ),
        (Video(status="UNPLAYABLE", reason="Join this channel to get access to members-only content"), "private"),
        (Video(status="LIVE_STREAM_OFFLINE", reason="This live event will begin in 3 hours.", live=True), "live"),
        (Video(status="LOGIN_REQUIRED", reason="Sign in to confirm you\u2019re not a bot"), "blocked"),
        (
            Video(
                status="ERROR",
                reason="This content isn\u2019t available, try again later.",
            ),
            "blocked",
        ),
        (Video(seconds=5000, media="http://127.0.0.1:1/x.mp4"), "too_long"),
        (Video(is_reset=True), "network"),
        (Video(media=""), "unknown"),
        (Video(media="http://127.0.0.1:1/x.mp4"), "network"),
        (Video(status="ERROR", reason="Something nobody has seen"), "unknown"),
    ],
)
def test_what_youtube_may_say(tmp_path, youtube, video, status):
    youtube.videos[ID] = video
    with pytest.raises(Failure) as error:
        fetch(tmp_path)
    assert (error.value.status, error.value.transient) == (status, status in ("network", "unknown"))
    assert "://" not in error.value.reason
    assert error.value.reason


def test_a_title_alone(tmp_path, youtube):
    """One request, no format needed, and YouTube's own words where there is none."""
    youtube.videos = {
        ID: Video(title="Guy \U0001f389 JUMPS"),
        "gone0000000": Video(status="ERROR", reason="Video unavailable"),
        "bot00000000": Video(status="LOGIN_REQUIRED", reason="Sign in to confirm you\u2019re not a bot"),
        "live0000000": Video(
            title="Show", status="LIVE_STREAM_OFFLINE", reason="This live event will begin", live=True
        ),
    }
    with fetcher(tmp_path, media=False) as open_fetcher:
        assert open_fetcher.fetch_title(URL.format(ID), name="key") == "Guy \U0001f389 JUMPS"
        assert youtube.requests == ["/watch"]
        told = {}
        for identity in list(youtube.videos)[1:]:
            with pytest.raises(Failure) as error:
                open_fetcher.fetch_title(URL.format(identity), name="key")
            told[identity] = error.value.status
    assert told == {"gone0000000": "gone", "bot00000000": "blocked", "live0000000": "live"}


@pytest.mark.parametrize("sections", [True, False])
def test_media_inside_this_network_are_not_asked_for(tmp_path, youtube, scripted_site, sections):
    """Fault 27: not where a page names them, by number or by name, and not by a redirect of what it names."""
    bait = f"http://127.0.0.1:{scripted_site.port}/media/bait.mp4"
    with serve_script(ScriptedSite(video=b"")) as public:
        for media in ("http://169.254.169.254/latest.mp4", "http://localhost/x.mp4", "http://[::1]/x.mp4", bait):
            public.script = {"/media/x.mp4": [f"-> {media}"]}
            for named in (media, f"http://127.0.0.1:{public.port}/media/x.mp4"):
                if named == bait:
                    continue  # by its host alone it cannot be told from the one that is allowed here
                youtube.videos[ID] = Video(media=named)
                with pytest.raises(Failure) as error:
                    fetch(tmp_path, end=1.0, sections=sections, port=public.port)
                assert error.value.status == "not_video"
    assert not scripted_site.hits


def test_a_redirect_to_another_public_server_is_followed(tmp_path, youtube, scripted_site):
    scripted_site.script = {"/media/x.mp4": [f"-> http://127.0.0.1:{scripted_site.port}/media/y.mp4"]}
    youtube.videos[ID] = Video(seconds=2, media=f"http://127.0.0.1:{scripted_site.port}/media/x.mp4")
    assert fetch(tmp_path, end=1.0, port=scripted_site.port).section == (0.0, 1.0)
    assert scripted_site.hits["/media/x.mp4"] == 1  # ffmpeg is given the place that was reached


def test_a_program_that_hangs_is_ended(tmp_path, youtube, scripted_site, monkeypatch):
    """Fault 49, in the crawl: ffmpeg is killed when the time for the id is over."""
    fake = tmp_path / "ffmpeg"
    fake.write_text(HANGING.format(pids=tmp_path / "pids"))
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    youtube.videos[ID] = Video(seconds=2, media=f"http://127.0.0.1:{scripted_site.port}/media/x.mp4")
    with pytest.raises(Failure, match="no end after 2 s") as error:
        fetch(tmp_path, end=1.0, port=scripted_site.port, id_timeout=2.0)
    assert (error.value.status, error.value.transient) == ("network", True)
    pids = (tmp_path / "pids").read_text().split()
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_an_ffmpeg_that_would_follow_redirects_is_refused(tmp_path, monkeypatch):
    fake = tmp_path / "ffmpeg-old"
    fake.write_text("#!/bin/sh\necho -timeout\n")
    fake.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(fake))
    with pytest.raises(CpdError, match="has no option -max_redirects"):
        fetcher(tmp_path)


def test_a_clip_after_the_end_is_a_bad_interval(tmp_path, youtube):
    youtube.videos[ID] = Video(seconds=40, media="http://127.0.0.1:1/x.mp4")
    with pytest.raises(Failure) as error:
        fetch(tmp_path, start=50, end=60)
    assert error.value.status == "bad_interval"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/playlist?list=PL0123456789",
        "https://www.youtube.com/watch?v=-AbCdEfGh12&list=PL0123456789",
        "https://vimeo.com/1234",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "ytsearch:cats",
        "data:text/html,x",
    ],
)
def test_nothing_but_a_youtube_video_is_asked_for(tmp_path, youtube, url):
    with pytest.raises(Failure):
        fetch(tmp_path, url)
    assert youtube.requests == []


def test_the_cookie_file_is_read_and_not_rewritten(tmp_path, youtube, scripted_site):
    youtube.videos[ID] = Video(media=f"http://127.0.0.1:{scripted_site.port}/media/x.mp4")
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t0\tSID\tsecret\n")
    before = cookies.read_bytes()
    fetch(tmp_path, sections=False, port=scripted_site.port, cookies=str(cookies))
    assert cookies.read_bytes() == before
    with pytest.raises(CpdError, match=r"crawl\.cookies: .*no\.txt: No such file"):
        fetch(tmp_path, cookies=str(tmp_path / "no.txt"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.youtube.com/watch?v=abcdefghijk", True),
        ("https://youtu.be/abcdefghijk", True),
        ("https://m.youtube.com/watch?v=abcdefghijk", True),
        ("https://youtube.com.example.org/watch", False),
        ("https://cdn.example.org/p/1.mp4", False),
        ("not an address", False),
    ],
)
def test_which_extractor_a_page_gets(url: str, expected: bool) -> None:
    assert is_youtube(url) is expected


@pytest.mark.parametrize("extractor", ["youtube", "generic"])
def test_one_extractor_alone_is_allowed(extractor: str) -> None:
    chosen = options(Crawl(), extractor=extractor, loopback=False, hook=None)
    assert chosen["allowed_extractors"] == [f"^{extractor}$"]
