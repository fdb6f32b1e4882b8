"""Faults 21 to 40 of a crawl, where test_crawl.py has no test of them."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpd.cli import main
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.sources import preflight
from cpd.sources.crawl import crawl_chunk, crawl_path, ledger_path
from cpd.sources.failures import Failure, classify
from cpd.sources.ledger import read_ledger
from cpd.sources.plan import store_folder, write_plan
from cpd.sources.status import split_states
from cpd.sources.store import media_key
from tests.sources.scripted_site import CHUNK, ScriptedSite, crawl, kinetics_config, other, serve_script, vid


def command(folder: Path, *options: str) -> list[str]:
    return ["crawl", "--source", "k", *options, "--configfile", str(folder / "config.yaml")]


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cpd", *command(folder)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


# What activitynet's process_download_report.py and yt-dlp's users have seen; what passes is not given up.
TAXONOMY = [
    ("This video has been removed by the user", "gone"),
    ("This video is no longer available because the YouTube account has been terminated.", "gone"),
    ("This video is no longer available due to a copyright claim by X", "gone"),
    ("This video has been removed for violating YouTube's Terms of Service", "gone"),
    ("Video unavailable", "gone"),
    ("This video is unavailable.", "gone"),
    ("This video is private. Sign in if you've been granted access", "private"),
    ("Private video. Sign in if you've been granted access to this video", "private"),
    ("This video requires payment to watch", "private"),
    ("The uploader has not made this video available in your country.", "region"),
    ("This video is not available from your location due to geo restriction", "region"),
    ("Sign in to confirm your age. This video may be inappropriate for some users.", "age"),
    ("Sign in to confirm you\u2019re not a bot", "blocked"),
    ("HTTP Error 429: Too Many Requests", "blocked"),
    ("Your account has been rate-limited by YouTube for up to an hour", "blocked"),
    ("Please solve the captcha", "blocked"),
    ("Premieres in 3 hours", "live"),
    ("The read operation timed out", "network"),
    ("Unable to connect to proxy", "network"),
    ("ffmpeg exited with code 183", "network"),
    ("Requested format is not available", "unknown"),
    ("Some words of next year", "unknown"),
]


@pytest.mark.parametrize(("words", "status"), TAXONOMY)
def test_the_words_of_each_class(words, status):
    """Faults 21, 23 and 29."""
    failure = classify(RuntimeError(f"ERROR: {words}"))
    assert (failure.status, failure.transient) == (status, status in ("network", "unknown"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectionResetError("reset"), "network"),
        (TimeoutError("x"), "network"),
        (http.client.BadStatusLine("x"), "network"),
        (http.client.IncompleteRead(b"x", 9), "corrupt"),
    ],
)
def test_errors_of_sockets_may_pass(error, status):
    """Faults 22 and 26."""
    assert (classify(error).status, classify(error).transient) == (status, True)


def test_no_password_of_a_proxy_in_a_reason():
    assert "hunter2" not in classify(RuntimeError("Unable to connect to proxy bob:hunter2@10.0.0.1:3128")).reason


def test_a_reset_connection_is_tried_again(tmp_path, scripted_site):
    """Fault 22."""
    scripted_site.script = {f"/watch/{vid(1)}": ["reset", 200], f"/media/{vid(1)}.mp4": ["reset", 200]}
    assert crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url))[vid(1)]["status"] == "ok"


def test_exhausted_ids_are_asked_for_again_on_demand(tmp_path, scripted_site):
    """Fault 22: and those that failed for good are not."""
    scripted_site.script = {
        f"/watch/{vid(1)}": [500, 500, 500, 200],
        f"/media/{vid(2)}.mp4": ["truncated", "truncated", "truncated", 200],
        f"/watch/{vid(3)}": [404],
    }
    config = kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)], url=scripted_site.url)
    assert [row["status"] for row in crawl(config).values()] == ["network", "corrupt", "gone"]
    assert main(command(tmp_path)) == 0
    assert scripted_site.hits[f"/watch/{vid(1)}"] == 3
    assert main(command(tmp_path, "--retry-exhausted")) == 0
    assert [row["status"] for row in crawl(config).values()] == ["ok", "ok", "gone"]
    assert scripted_site.hits[f"/watch/{vid(3)}"] == 1


def test_after_a_block_nothing_is_asked_until_the_pause_is_over(tmp_path, scripted_site):
    """Fault 23: by no chunk of the source."""
    scripted_site.script = {f"/watch/{vid(1)}": [429, 200]}
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url, chunk_size=1, pause=3600.0)
    with pytest.raises(CpdError, match=f"k: blocked at id '{vid(1)}': HTTP 429"):
        crawl(config)
    for chunk in ("train-0000", "train-0001"):
        with pytest.raises(CpdError, match="k: blocked: HTTP 429") as error:
            crawl_chunk(config, "k", chunk)
        assert error.value.exit_code == EX_TEMPFAIL
    assert scripted_site.hits.total() == 1
    (state,) = split_states(config)
    assert state.blocked_until is not None
    assert (state.ok, state.failed, state.pending) == (0, {}, 2)
    preflight.block_path(store_folder(config, "k")).unlink()
    assert crawl(config)[vid(1)]["status"] == "ok"
    assert [row.status for row in read_ledger(ledger_path(config, "k", CHUNK))] == ["blocked", "ok"]


def test_a_crawl_may_wait_a_block_out(tmp_path, scripted_site, capsys):
    scripted_site.script = {f"/watch/{vid(2)}": [429, 429, 200], f"/watch/{vid(1)}": [403]}
    config = kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)], url=scripted_site.url, chunk_size=2, pause=0.1)
    crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, declared=1, chunk_size=2))
    kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)], url=scripted_site.url, chunk_size=2, pause=0.1)
    write_plan(config, "k")
    assert main(command(tmp_path, "--wait", "--retry", "private")) == 0
    out = capsys.readouterr().out
    assert out.count("waiting") == 2
    assert "k/train-0000: 2 ids: private 1, ok 1\nk/train-0001: 1 ids: ok 1\n" in out
    assert scripted_site.hits[f"/watch/{vid(1)}"] == 2  # asked again once, not after every block


def test_offline_is_told_in_seconds(tmp_path, monkeypatch):
    """Fault 24: also where packets vanish; the proxy is looked for where there is one."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    asked = []

    def nowhere(address: tuple[str, int], **_: object) -> None:
        asked.append(address)
        time.sleep(30)

    monkeypatch.setattr(preflight, "_PATIENCE", 0.1)
    monkeypatch.setattr(preflight.socket, "create_connection", nowhere)
    url = "https://www.youtube.com/watch?v={id}"
    for config in (
        kinetics_config(tmp_path, [vid(1)], url=url),
        kinetics_config(tmp_path, [vid(1)], url=url, proxy="socks5://proxy.example"),
    ):
        with pytest.raises(CpdError, match=r"no end after 0\.1 s") as error:
            crawl(config)
        assert error.value.exit_code == EX_TEMPFAIL
    monkeypatch.setenv("https_proxy", "http://bob:secret@10.0.0.1:3128")
    with pytest.raises(CpdError, match=r"10\.0\.0\.1: no end") as error:
        crawl(kinetics_config(tmp_path, [vid(1)], url=url))
    assert "secret" not in str(error.value)
    assert asked == [("www.youtube.com", 443), ("proxy.example", 1080), ("10.0.0.1", 3128)]
    assert read_ledger(ledger_path(config, "k", CHUNK)) == []


def test_a_server_that_drips_does_not_hang_the_chunk(tmp_path, scripted_site):
    """Fault 25: no read times out, yet the id has its time and no more."""
    scripted_site.script = {f"/media/{vid(1)}.mp4": ["drip"]}
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url, id_timeout=1.0, retries=0)
    rows = crawl(config)
    assert [row["status"] for row in rows.values()] == ["network", "ok"]
    assert re.search(r"no end after 1 s|timed out", rows[vid(1)]["reason"])


@pytest.mark.parametrize("place", ["watch/{}", "media/{}.mp4"])
@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/meta-data", "http://localhost:{}/media/bait.mp4", "file:///etc/passwd"]
)
def test_redirects_leave_the_site_for_nowhere(tmp_path, scripted_site, place, target):
    """Fault 27: one port of loopback was allowed, and it is not the bait's."""
    path = "/" + place.format(vid(1))
    with serve_script(ScriptedSite(video=scripted_site.video)) as bait:
        scripted_site.script = {path: ["-> " + target.format(bait.port)]}
        row = crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, retries=0))[vid(1)]
    assert row["path"] == ""
    assert row["status"] in ("not_video", "network") if target.startswith("file") else row["status"] == "not_video"
    assert not bait.hits


def test_loopback_is_asked_for_only_when_allowed(tmp_path, scripted_site):
    """Fault 27."""
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, allow_private=False)
    with pytest.raises(CpdError, match=r"sources\.k\.url is on 127\.0\.0\.1"):
        crawl(config)
    assert not scripted_site.hits


@pytest.mark.parametrize("wild", ["dQw4w9WgXcQ&list=PL012", "ytsearch:cats", "https://youtu.be/dQw4w9WgXcQ", "file:x"])
def test_addresses_in_the_id_column_are_no_ids(tmp_path, scripted_site, wild):
    """Fault 28."""
    config = kinetics_config(tmp_path, [wild], url=scripted_site.url)
    assert crawl(config)[wild]["status"] == "invalid_id"
    assert not scripted_site.hits


def test_what_nobody_has_seen_is_told(tmp_path, scripted_site, capsys, monkeypatch):
    """Fault 29: class unknown, tried again, counted and listed."""
    from cpd.sources.fetch import Fetcher

    def strange(self: Fetcher, url: str, **_: object) -> None:
        scripted_site.hits[url] += 1
        raise Failure("unknown", "words of next year", transient=True)

    monkeypatch.setattr(Fetcher, "fetch", strange)
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url)
    write_plan(config, "k")
    assert main(command(tmp_path)) == 0
    assert "1 ids: unknown 1\n  unknown, 1 x: words of next year\n" in capsys.readouterr().out
    assert scripted_site.hits.total() == 3
    assert main(["status", "--configfile", str(tmp_path / "config.yaml")]) == 0
    assert "k/train: unknown, 1 x: words of next year" in capsys.readouterr().out


def test_too_much_that_may_pass_fails_the_chunk_and_gives_up_nothing(tmp_path, scripted_site):
    """Fault 30: 3 of 5."""
    scripted_site.script = {f"/watch/{vid(n)}": [500] * 3 + [200] for n in (1, 2, 3)}
    config = kinetics_config(tmp_path, [vid(n) for n in range(1, 6)], url=scripted_site.url, max_transient_ratio=0.5)
    with pytest.raises(CpdError, match=r"3 of 5 ids failed in a way that may pass \(3 x 'HTTP 500'\)") as error:
        crawl(config)
    assert error.value.exit_code == EX_TEMPFAIL
    assert not crawl_path(config, "k", CHUNK).exists()
    assert {row["status"] for row in crawl(config).values()} == {"ok"}
    assert scripted_site.media_hits(vid(4)) == 1


def test_one_odd_id_does_not_hold_up_a_short_list(tmp_path, scripted_site):
    """Fault 30."""
    scripted_site.script = {f"/watch/{vid(1)}": [500]}
    rows = crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, max_transient_ratio=0.5))
    assert rows[vid(1)]["status"] == "network"


def test_nine_dead_of_ten_are_told_by_reason(tmp_path, scripted_site):
    """Fault 31."""
    scripted_site.script = {f"/watch/{vid(n)}": [404 if n % 2 else 403] for n in range(1, 10)}
    ids = [vid(n) for n in range(10)]
    with pytest.raises(CpdError, match=r"1 of 10 ids are ok \(gone 5, private 4, ok 1\); crawl\.min_ok_ratio is 0.2"):
        crawl(kinetics_config(tmp_path, ids, url=scripted_site.url, min_ok_ratio=0.2))


def test_two_crawls_of_one_chunk(tmp_path, scripted_site):
    """Faults 33 and 37: one of them works, the other says so; nothing is asked for twice."""
    ids = [vid(n) for n in range(8)]
    config = kinetics_config(tmp_path, ids, url=scripted_site.url, sleep=0.3)
    write_plan(config, "k")
    both = [start(tmp_path), start(tmp_path)]
    told = [process.communicate(timeout=60) for process in both]
    assert sorted(process.returncode for process in both) == [0, EX_TEMPFAIL]
    assert sum("another crawl of this chunk is running" in err for _, err in told) == 1
    assert {scripted_site.media_hits(identity) for identity in ids} == {1}


def test_ctrl_c_at_any_moment(tmp_path, scripted_site):
    """Fault 32: the file in flight is lost and no other; nothing is left behind."""
    ids = [vid(n) for n in range(10)]
    config = kinetics_config(tmp_path, ids, url=scripted_site.url, sleep=0.1)
    write_plan(config, "k")
    for rows in (2, 5):
        process = start(tmp_path)
        while len(read_ledger(ledger_path(config, "k", CHUNK))) < rows:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert "run the same command again" in out
        assert "Traceback" not in err
        assert not list(tmp_path.rglob(".tmp*"))
    assert {row["status"] for row in crawl(config).values()} == {"ok"}
    assert scripted_site.hits.total() <= 2 * 10 + 2 * 2


def test_leftovers_of_killed_runs_are_swept(tmp_path, scripted_site):
    """Fault 38: this chunk's, whatever their age, and never taken for results."""
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url)
    work = store_folder(config, "k") / "media" / f".tmp.{CHUNK}.00ff"
    work.mkdir(parents=True)
    (work / f"{media_key('k', vid(1))}.mp4").write_bytes(b"half")
    beside = crawl_path(config, "k", CHUNK).parent
    beside.mkdir(parents=True)
    for name in (f".tmp.1.ab.{CHUNK}.jsonl", ".tmp.1.ab.train-0001.jsonl"):
        (beside / name).touch()
    assert crawl(config)[vid(1)]["bytes"] == len(scripted_site.video)
    assert not work.exists()
    assert sorted(path.name for path in beside.iterdir()) == [".tmp.1.ab.train-0001.jsonl", f"{CHUNK}.jsonl"]
    work.mkdir()
    crawl(config)
    assert not work.exists()


def test_a_disk_that_is_nearly_full(tmp_path, scripted_site):
    """Fault 39: nothing is asked for, nothing is lost."""
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url)
    with pytest.raises(CpdError, match=r"GB are free, crawl\.min_free_bytes is 1000000000\.00 GB") as error:
        crawl(other(config, min_free_bytes=10**18))
    assert error.value.exit_code == EX_TEMPFAIL
    assert not scripted_site.hits
    assert crawl(config)[vid(1)]["status"] == "ok"
