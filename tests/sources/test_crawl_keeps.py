"""What a crawl keeps, and for how long: takedowns, titles without videos, rates, cookies, the machine's own limits."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from cpd.errors import CpdError
from cpd.fileio import read_jsonl
from cpd.sources import preflight
from cpd.sources.crawl import crawl_path, ledger_path
from cpd.sources.deadline import deadline
from cpd.sources.guard import PrivateAddress, is_public, only_public
from cpd.sources.ledger import read_ledger
from cpd.sources.plan import plan_path, store_folder, write_plan
from cpd.sources.status import ids_per_hour, split_states
from cpd.sources.store import media_key
from cpd.sources.takedown import listed
from tests.sources.scripted_site import CHUNK, crawl, kinetics_config, make_config, other, vid


def test_takedown(tmp_path, scripted_site):
    """Fault 40: the id's row is `removed` and has no title, its files are gone, and it is not asked for again."""
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url)
    media = Path(crawl(config)[vid(1)]["path"])
    clip = store_folder(config, "k") / "clips" / CHUNK / f"{media_key('k', vid(1))}.mp4"
    clip.parent.mkdir(parents=True)
    clip.touch()
    (tmp_path / "takedown.txt").write_text(f"\ufeff# asked for on Monday\nk/{vid(1)}  # its author\nnever-crawled\n")
    without = other(config, takedown=str(tmp_path / "takedown.txt"))
    rows = crawl(without)
    assert (rows[vid(1)]["status"], rows[vid(1)]["path"], rows[vid(1)]["title"]) == ("removed", "", "")
    assert rows[vid(2)]["status"] == "ok"
    assert not media.exists()
    assert not media.with_suffix(".json").exists()
    assert not clip.exists()
    crawl(without)
    assert read_ledger(ledger_path(config, "k", CHUNK))[-1].status == "removed"
    assert scripted_site.hits[f"/watch/{vid(1)}"] == 1
    assert crawl(config)[vid(1)]["status"] == "ok"  # a list that was wrong can be mended


def test_a_takedown_touches_its_own_chunk_alone(tmp_path, scripted_site):
    """Fault 40: what the rule's params see, so that one shard is made again."""
    config = kinetics_config(tmp_path, [vid(n) for n in range(4)], url=scripted_site.url, chunk_size=2)
    (tmp_path / "list").write_text(f"{vid(3)}\nother/{vid(0)}\n")
    config = other(config, takedown=str(tmp_path / "list"))
    config = msgspec.structs.replace(config, sources={**config.sources, "other": config.sources["k"]})
    assert listed(config, "k", "train-0001") == []  # no plan yet
    write_plan(config, "k")
    assert [listed(config, "k", chunk) for chunk in ("train-0000", "train-0001")] == [[], [vid(3)]]


def test_a_takedown_list_that_is_wrong(tmp_path, scripted_site):
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url)
    (tmp_path / "list").write_text("kinetiks/x\n")
    with pytest.raises(CpdError, match=r"list:1: no source 'kinetiks'"):
        crawl(other(config, takedown=str(tmp_path / "list")))
    with pytest.raises(CpdError, match=r"crawl\.takedown: .*nowhere"):
        crawl(other(config, takedown=str(tmp_path / "nowhere")))
    assert not scripted_site.hits


def test_a_file_of_the_users_own_is_excluded_and_not_deleted(tmp_path, tiny_video):
    (tmp_path / "a.mp4").write_bytes(tiny_video.read_bytes())
    (tmp_path / "own.csv").write_text("file,title\na.mp4,A\n")
    source = {"kind": "folder", "lists": {"train": str(tmp_path / "own.csv")}, "pairs": {"train": 1}}
    config = make_config(tmp_path, {"k": source}, crawl={"takedown": str(tmp_path / "list")})
    write_plan(config, "k")
    identity = read_jsonl(plan_path(config, "k", CHUNK))[0]["id"]
    (tmp_path / "list").write_text(identity)
    assert crawl(config)[identity]["status"] == "removed"
    assert (tmp_path / "a.mp4").exists()


def test_titles_without_videos_and_the_videos_later(tmp_path, scripted_site):
    scripted_site.script = {f"/watch/{vid(2)}": [404], f"/media/{vid(3)}.mp4": [404]}
    config = kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)], url=scripted_site.url)
    titles = other(config, media=False)
    rows = crawl(titles)
    assert [row["status"] for row in rows.values()] == ["ok", "gone", "ok"]
    assert (rows[vid(1)]["title"], rows[vid(1)]["path"]) == (f"Title of {vid(1)}", "")
    assert not [path for path in scripted_site.hits if path.startswith("/media")]
    crawl_path(config, "k", CHUNK).unlink()
    hits = Counter(scripted_site.hits)
    assert crawl(titles) == rows
    assert scripted_site.hits == hits
    assert [row["status"] for row in crawl(config).values()] == ["ok", "gone", "gone"]
    assert scripted_site.hits[f"/watch/{vid(2)}"] == 1


def test_rate_and_time_left(tmp_path, scripted_site):
    assert ids_per_hour([]) is None
    assert ids_per_hour([5.0]) is None
    assert ids_per_hour([0.0, 1e6, 1e6 + 36, 1e6 + 72]) == 100.0  # what is older than an hour tells nothing
    config = kinetics_config(tmp_path, [vid(n) for n in range(4)], url=scripted_site.url, chunk_size=2, sleep=0.1)
    crawl(config)
    (state,) = split_states(config)
    assert (state.ok, state.pending) == (2, 2)
    assert state.rate is not None
    assert state.eta_hours == pytest.approx(2 / state.rate, abs=0.01)


def test_cookies_that_others_may_read(tmp_path, caplog):
    """Fault 84."""
    cookies = tmp_path / "cookies.txt"
    cookies.touch(mode=0o644)
    preflight.check_cookies(str(cookies))
    assert "can be read by others" in caplog.text
    caplog.clear()
    cookies.chmod(0o600)
    preflight.check_cookies(str(cookies))
    assert not caplog.text


def test_an_unreadable_block_is_no_block(tmp_path, caplog):
    preflight.block_path(tmp_path).write_text(json.dumps({"until": "soon"}))
    assert preflight.read_block(tmp_path) is None
    assert "unreadable" in caplog.text


def test_deadline_in_a_thread_is_none_and_the_timer_before_it_comes_back():
    kept = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 50)
    with deadline(0.2):
        pass
    assert 40 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    signal.setitimer(signal.ITIMER_REAL, *kept[1])
    assert signal.getsignal(signal.SIGALRM) == kept[0]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_wait_under, 0.01).result()


def _wait_under(seconds: float) -> None:
    with deadline(seconds):
        time.sleep(5 * seconds)


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("8.8.8.8", True),
        ("www.youtube.com", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("localhost", False),
        ("db.internal", False),
        ("intranet", False),
    ],
)
def test_what_is_inside(host, public):
    """Fault 27."""
    assert is_public(host) == public


def test_a_socket_to_the_inside_is_refused_under_guard_alone(scripted_site):
    """Fault 27: whichever library opens it."""
    import socket

    def connect() -> None:
        socket.create_connection(("localhost", scripted_site.port), timeout=5).close()

    connect()
    with only_public(frozenset()):
        with pytest.raises(PrivateAddress, match="inside this machine"):
            connect()
        with only_public(frozenset({("127.0.0.1", scripted_site.port)})):
            connect()
    connect()
