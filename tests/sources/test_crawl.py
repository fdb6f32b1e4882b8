"""Crawls of a scripted site: every id accounted for, nothing fetched twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from cpd.config import Config
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import sha256_file
from cpd.sources import preflight
from cpd.sources.crawl import crawl_path, ledger_path
from cpd.sources.ledger import read_ledger
from cpd.sources.plan import plan_path, write_plan
from tests.sources.scripted_site import CHUNK, crawl, kinetics_config, make_config, make_video, rows_of, vid


def statuses(config: Config) -> dict[str, str]:
    return {identity: row["status"] for identity, row in rows_of(config).items()}


def test_a_title_and_its_media(tmp_path, scripted_site, tiny_video):
    scripted_site.titles["-rfAAAAAAAA"] = "Guy &quot;JUMPS&quot; \U0001f389 $(x) | caf\u00e9"
    (row,) = crawl(kinetics_config(tmp_path, ["-rfAAAAAAAA"], url=scripted_site.url)).values()
    assert (row["status"], row["reason"]) == ("ok", "")
    assert row["title"] == 'Guy "JUMPS" \U0001f389 $(x) | caf\u00e9'
    assert row["sha256"] == sha256_file(row["path"]) == sha256_file(tiny_video)
    assert (row["bytes"], row["start"], row["end"], row["label"]) == (tiny_video.stat().st_size, 0.0, 2.0, "jumping")


@pytest.mark.parametrize(
    ("path", "script", "status", "reason", "asked"),
    [
        ("/watch/{}", [404], "gone", "HTTP 404", 1),
        ("/watch/{}", [410], "gone", "HTTP 410", 1),
        ("/watch/{}", [403], "private", "HTTP 403", 1),
        ("/watch/{}", [451], "region", "HTTP 451", 1),
        ("/watch/{}", [500], "network", "HTTP 500", 3),
        ("/watch/{}", [500, 503, 200], "ok", "", 3),
        ("/watch/{}", ["html"], "not_video", "the page holds no video", 1),
        ("/watch/{}", ["elsewhere"], "not_video", "the page names media outside the site", 1),
        ("/media/{}.mp4", [404], "gone", "HTTP 404", 1),
        ("/media/{}.mp4", [500, 200], "ok", "", 2),
        ("/media/{}.mp4", ["truncated"], "corrupt", "truncated", 3),
        ("/media/{}.mp4", ["truncated", 200], "ok", "", 2),
        ("/media/{}.mp4", ["html"], "corrupt", "not a video container", 1),
    ],
)
def test_what_a_site_may_answer(tmp_path, scripted_site, path, script, status, reason, asked):
    scripted_site.script = {path.format(vid(1)): script}
    row = crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url))[vid(1)]
    assert row["status"] == status
    assert row["reason"].startswith(reason)
    assert (row["path"] != "") == (status == "ok")
    assert scripted_site.hits[path.format(vid(1))] == asked
    assert not list(tmp_path.rglob(".tmp*"))


def test_too_large_stops_the_download(tmp_path, scripted_site):
    row = crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, max_bytes=1000))[vid(1)]
    assert row["status"] == "too_large"
    assert "the limit is 1000" in row["reason"]


def test_a_stalled_server_does_not_hang_the_chunk(tmp_path, scripted_site):
    scripted_site.script = {f"/media/{vid(1)}.mp4": ["stall"]}
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url, timeout=0.3, retries=0)
    rows = crawl(config)
    assert [row["status"] for row in rows.values()] == ["network", "ok"]


def test_sections_keep_only_the_interval(tmp_path, scripted_site):
    import av

    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, end=1, sections=True)
    row = crawl(config)[vid(1)]
    assert (row["status"], row["start"], row["end"]) == ("ok", 0.0, 1.0)
    with av.open(row["path"]) as container:
        assert sum(1 for _ in container.decode(video=0)) in (10, 11)
    other = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, end=2, sections=True)
    assert crawl(other)[vid(1)]["end"] == 2.0  # another interval is another file
    crawl(other)
    assert scripted_site.hits[f"/watch/{vid(1)}"] == 2


def test_invalid_ids_are_rows_and_never_asked_for(tmp_path, scripted_site):
    wild = ["", "../../x", "$(touch PWNED)", "a" * 300]
    config = kinetics_config(tmp_path, [vid(1), *wild], url=scripted_site.url)
    rows = crawl(config)
    assert {identity: rows[identity]["status"] for identity in wild} == dict.fromkeys(wild, "invalid_id")
    assert set(scripted_site.hits) == {f"/watch/{vid(1)}", f"/media/{vid(1)}.mp4"}
    assert not [path for path in tmp_path.rglob("*") if "PWNED" in path.name or "aaa" in path.name]


def test_a_second_run_asks_for_nothing_and_changes_no_byte(tmp_path, scripted_site):
    scripted_site.script = {f"/watch/{vid(2)}": [404], f"/watch/{vid(3)}": [500]}
    config = kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)] + ["bad id"], url=scripted_site.url)
    crawl(config)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    hits = Counter(scripted_site.hits)
    crawl(config)
    assert scripted_site.hits == hits
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_the_result_is_a_function_of_ledger_and_store(tmp_path, scripted_site):
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url)
    rows = crawl(config)
    crawl_path(config, "k", CHUNK).unlink()
    ledger_path(config, "k", CHUNK).unlink()  # even without its ledger row, what is in the store is adopted
    assert crawl(config) == rows
    assert scripted_site.media_hits(vid(1)) == 1
    assert [row.status for row in read_ledger(ledger_path(config, "k", CHUNK))] == ["ok", "ok"]


@pytest.mark.parametrize("damage", ["gone", "short", "flipped"])
def test_a_damaged_file_of_the_store_is_fetched_again(tmp_path, scripted_site, tiny_video, damage):
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url)
    path = Path(crawl(config)[vid(1)]["path"])
    data = path.read_bytes()
    path.write_bytes(data[:100] if damage == "short" else bytes([data[0] ^ 1]) + data[1:])
    if damage == "gone":
        path.unlink()
    assert crawl(config)[vid(1)]["status"] == "ok"
    assert path.read_bytes() == tiny_video.read_bytes()
    assert (scripted_site.media_hits(vid(1)), scripted_site.media_hits(vid(2))) == (2, 1)


def test_a_block_stops_the_chunk_and_costs_the_id_nothing(tmp_path, scripted_site):
    scripted_site.script = {f"/watch/{vid(2)}": [429, 429, 429, 429, 200]}
    config = kinetics_config(tmp_path, [vid(1), vid(2), vid(3)], url=scripted_site.url, retries=1)
    for _ in range(4):
        with pytest.raises(CpdError, match=f"blocked at id '{vid(2)}'") as error:
            crawl(config)
        assert error.value.exit_code == EX_TEMPFAIL
        assert not crawl_path(config, "k", CHUNK).exists()
    assert scripted_site.hits[f"/watch/{vid(3)}"] == 0
    assert {row["status"] for row in crawl(config).values()} == {"ok"}
    assert scripted_site.media_hits(vid(1)) == 1


def test_an_outage_is_not_blamed_on_the_ids(tmp_path, scripted_site):
    ids = [vid(n) for n in range(12)]
    scripted_site.script = {f"/watch/{identity}": [500, 500, 200] for identity in ids}
    config = kinetics_config(tmp_path, ids, url=scripted_site.url, retries=1)
    with pytest.raises(CpdError, match="no answer for 8 ids in a row") as error:
        crawl(config)
    assert error.value.exit_code == EX_TEMPFAIL
    scripted_site.script = {}
    assert {row["status"] for row in crawl(config).values()} == {"ok"}


def test_attempts_go_on_where_a_killed_run_stopped(tmp_path, scripted_site):
    scripted_site.script = {f"/watch/{vid(1)}": [500]}
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, retries=2)
    crawl(config)
    path = ledger_path(config, "k", CHUNK)
    first = path.read_bytes().split(b"\n")[0]
    path.write_bytes(first + b"\n")
    assert crawl(config)[vid(1)]["status"] == "network"
    assert scripted_site.hits[f"/watch/{vid(1)}"] == 3 + 2


def test_retry_asks_again_for_what_failed_for_good(tmp_path, scripted_site):
    scripted_site.script = {f"/watch/{vid(1)}": [403, 200], f"/watch/{vid(2)}": [404]}
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url)
    crawl(config)
    crawl(config, retry=["private"])
    assert statuses(config) == {vid(1): "ok", vid(2): "gone"}
    assert scripted_site.hits[f"/watch/{vid(2)}"] == 1


def test_too_few_ok_is_told_by_reason(tmp_path, scripted_site):
    scripted_site.script = {f"/watch/{vid(n)}": [404] for n in (1, 2)}
    config = kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)], url=scripted_site.url, min_ok_ratio=0.5)
    with pytest.raises(CpdError, match=r"1 of 3 ids are ok \(gone 2, ok 1\)"):
        crawl(config)
    assert not crawl_path(config, "k", CHUNK).exists()


def test_removed_ids_are_accounted_for_and_may_come_back(tmp_path, scripted_site):
    config = kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url)
    crawl(config)
    row = crawl(kinetics_config(tmp_path, [vid(1)], url=scripted_site.url, declared=2))[vid(2)]
    assert (row["status"], row["reason"], row["path"]) == ("gone", "removed from the list", "")
    assert crawl(kinetics_config(tmp_path, [vid(1), vid(2)], url=scripted_site.url))[vid(2)]["status"] == "ok"
    assert scripted_site.media_hits(vid(2)) == 1


def test_media_on_disk_are_adopted_in_place(tmp_path, tiny_video):
    (tmp_path / "a b.mp4").write_bytes(tiny_video.read_bytes())
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "own.csv").write_text(
        "file,title,start,end\na b.mp4,A,0.5,1\nno.mp4,B,,\nempty.mp4,C,,\na b.mp4,D,2,1\n"
    )
    source = {"kind": "folder", "lists": {"train": str(tmp_path / "own.csv")}, "pairs": {"train": 4}}
    config = make_config(tmp_path, {"k": source})
    ok, gone, empty, interval = crawl(config).values()
    assert (ok["status"], ok["title"], ok["start"], ok["end"]) == ("ok", "A", 0.5, 1.0)
    assert (ok["path"], ok["sha256"]) == (str(tmp_path / "a b.mp4"), sha256_file(tiny_video))
    assert [row["status"] for row in (gone, empty, interval)] == ["gone", "corrupt", "bad_interval"]
    (tmp_path / "no.mp4").write_bytes(tiny_video.read_bytes())
    assert crawl(config)[gone["id"]]["status"] == "ok"  # a file that turns up is taken
    assert not (tmp_path / "data/store/k/media").exists()


def test_a_full_disk_stops_the_chunk_and_blames_no_id(tmp_path, scripted_site):
    config = kinetics_config(tmp_path, [vid(1)], url=scripted_site.url)
    write_plan(config, "k")
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
    code = (
        limit
        + "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        + "from cpd.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = run_cpd(tmp_path, "-c", code, "crawl", "--source", "k", "--chunk", CHUNK)
    assert done.returncode == EX_TEMPFAIL, done.stderr
    assert "the disk is full" in done.stderr
    assert crawl(config)[vid(1)]["status"] == "ok"


def test_offline_stops_before_any_id_is_blamed(tmp_path, monkeypatch):
    config = kinetics_config(tmp_path, [vid(1)], url="https://www.youtube.com/watch?v={id}")

    def no_network(*_: object, **__: object) -> None:
        raise OSError(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(preflight.socket, "create_connection", no_network)
    with pytest.raises(CpdError, match=r"www\.youtube\.com: Temporary failure") as error:
        crawl(config)
    assert error.value.exit_code == EX_TEMPFAIL
    assert read_ledger(ledger_path(config, "k", CHUNK)) == []


def test_nothing_secret_is_written(tmp_path, scripted_site):
    (tmp_path / "cookies.txt").write_text("# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t0\tSID\tCANARY\n")
    url = scripted_site.url + "?token=CANARY"
    scripted_site.script = {f"/watch/{vid(1)}?token=CANARY": [500]}
    config = kinetics_config(tmp_path, [vid(1)], url=url, cookies=str(tmp_path / "cookies.txt"), retries=0)
    crawl(config)
    written = [ledger_path(config, "k", CHUNK), crawl_path(config, "k", CHUNK)]
    assert not [path for path in written if b"CANARY" in path.read_bytes()]


def run_cpd(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args, "--configfile", str(folder / "config.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_kill_nine_again_and_again(tmp_path, scripted_site):
    """Killed after 4, then 4 more ids: all accounted for, at most one refetch a kill, no leftovers."""
    ids = [vid(n) for n in range(16)]
    scripted_site.script = {f"/watch/{vid(3)}": [404], f"/watch/{vid(9)}": [500, 200]}
    config = kinetics_config(tmp_path, [*ids, "bad id"], url=scripted_site.url, sleep=0.05)
    write_plan(config, "k")
    ledger = ledger_path(config, "k", CHUNK)
    for kill in (1, 2):
        _kill_when_rows(tmp_path, ledger, rows=5 * kill)
        assert not crawl_path(config, "k", CHUNK).exists()
    done = run_cpd(tmp_path, "-m", "cpd", "crawl", "--source", "k", "--chunk", CHUNK)
    assert done.returncode == 0, done.stderr
    assert "17 ids" in done.stdout
    expected = dict.fromkeys(ids, "ok") | {vid(3): "gone", "bad id": "invalid_id"}
    assert statuses(config) == expected
    fetched = [scripted_site.media_hits(identity) for identity in ids if identity != vid(3)]
    assert min(fetched) == 1
    assert sum(fetched) - len(fetched) <= 2
    assert not list(tmp_path.rglob(".tmp*"))


def _kill_when_rows(folder: Path, ledger: Path, *, rows: int) -> None:
    """Start a crawl and kill -9 it as soon as the ledger has so many rows."""
    command = [sys.executable, "-m", "cpd", "crawl", "--source", "k", "--chunk", CHUNK]
    process = subprocess.Popen(
        [*command, "--configfile", str(folder / "config.yaml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(read_ledger(ledger)) < rows and time.monotonic() < deadline:
        assert process.poll() is None, "the crawl ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


def test_status_at_every_stage(tmp_path, scripted_site, capsys):
    from cpd.cli import main

    scripted_site.script = {f"/watch/{vid(2)}": [404], f"/watch/{vid(3)}": [429]}
    config = kinetics_config(tmp_path, [vid(n) for n in (1, 2, 3)], url=scripted_site.url)
    command = ["status", "--configfile", str(tmp_path / "config.yaml")]

    def state() -> dict:
        assert main([*command, "--json"]) == 0
        return json.loads(capsys.readouterr().out)[0]

    assert (state()["ids"], state()["ok"], state()["pending"], state()["planned"]) == (3, 0, 3, 0)
    with pytest.raises(CpdError):
        crawl(config)
    half = state()
    assert (half["ok"], half["failed"], half["pending"], half["crawled"]) == (1, {"gone": 1}, 1, 0)
    scripted_site.script.pop(f"/watch/{vid(3)}")
    crawl(config)
    whole = state()
    assert (whole["ok"], whole["failed"], whole["pending"], whole["crawled"]) == (2, {"gone": 1}, 0, 1)
    assert whole["bytes"] == 2 * len(scripted_site.video)
    assert main(command) == 0
    assert "gone 1" in capsys.readouterr().out


def test_the_site_of_a_source_is_served_while_its_chunk_is_crawled(tmp_path, tiny_video):
    (tmp_path / "site" / "media").mkdir(parents=True)
    (tmp_path / "site" / "media" / "x.mp4").write_bytes(tiny_video.read_bytes())
    title = "Tom & Jerry's \u201cBIG\u201d <b>Jump</b> \U0001f389 &amp; \u65e5\u672c"
    fine = {"status": 200, "title": title, "seconds": 2, "media": "x.mp4"}
    pages = {
        vid(1): fine,
        vid(2): fine | {"status": 404},
        vid(3): fine | {"status": 403},
        vid(4): fine | {"seconds": 99},
    }
    (tmp_path / "site" / "pages.json").write_text(json.dumps(pages))
    config = kinetics_config(tmp_path, list(pages), url="http://127.0.0.1:{port}/watch/{id}", max_duration=30.0)
    source = msgspec.structs.replace(config.sources["k"], site=str(tmp_path / "site"))
    config = msgspec.structs.replace(config, sources={"k": source})
    rows = crawl(config)
    assert [row["status"] for row in rows.values()] == ["ok", "gone", "private", "too_long"]
    assert rows[vid(1)]["title"] == title
    assert "{port}" in plan_path(config, "k", CHUNK).read_text()  # a port in the plan would change with every run


def test_a_container_that_is_too_short_is_told(tmp_path):
    from cpd.sources.container import check_container
    from cpd.sources.failures import Failure

    path = make_video(tmp_path / "v %d 'q'.mp4", seconds=1)
    check_container(path, seconds=0.9)
    with pytest.raises(Failure, match=r"truncated: 1.00 s of 2.00 s"):
        check_container(path, seconds=2)


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile tiny.mp4\n", "#EXTM3U\n#EXTINF:1,\ntiny.mp4\n", "<html>", "", "\0" * 999]
)
def test_what_is_no_container_is_refused(tmp_path, tiny_video, text):
    from cpd.sources.container import check_container
    from cpd.sources.failures import Failure

    (tmp_path / "tiny.mp4").write_bytes(tiny_video.read_bytes())
    (tmp_path / "x.mp4").write_text(text)
    with pytest.raises(Failure, match="not a video container"):
        check_container(tmp_path / "x.mp4")
