"""From a crawl's result to an index, through the true command line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpd.cli import main
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import read_json, read_jsonl, sha256_file, write_jsonl
from cpd.shards.keys import sample_key
from cpd.shards.read import SampleTable
from tests.video.counter_video import write_counter

IDS = ["-rfAAAAAAAA", "abc", "ABC", "private1", "late", "html", "empty", "bad id!"]
CRAWL = {"private1": ("private", "Private video"), "bad id!": ("invalid_id", "not an id")}
FATE = {
    "-rfAAAAAAAA": "ok",
    "abc": "ok",
    "ABC": "ok",
    "private1": "private",
    "late": "bad_interval",
    "html": "not_video",
    "empty": "empty_text",
    "bad id!": "invalid_id",
}


class Site:
    """A working folder with a config, a plan and the results of crawl, clean and tree."""

    def __init__(self, folder: Path, *, text: bool) -> None:
        self.text = text
        self.media = folder / "media"
        self.media.mkdir()
        self.folder = folder / "results/sources/s"
        source = {"kind": "titles", "lists": {"val": "x"}, "pairs": {"val": len(IDS)}, "chunk_size": 500, "text": text}
        config = {
            "results": "results",
            "data": "data",
            "sources": {"s": source},
            "datasets": {},
            "encoders": {},
            "experiments": {},
            "run": [],
            "tables": {},
            "clips": {"short_side": 48},
        }
        Path("config.yaml").write_text(yaml.safe_dump(config))
        self.write()

    def write(self) -> None:
        crawl = [self.crawl_row(name) for name in IDS]
        ok = [row for row in crawl if row["status"] == "ok"]
        write_jsonl(self.folder / "plan/val-0000.jsonl", [{"id": n, "source": "s", "split": "val"} for n in IDS])
        write_jsonl(self.folder / "crawl/val-0000.jsonl", crawl)
        if self.text:
            clean = [self.clean_row(row) for row in ok]
            write_jsonl(self.folder / "clean/val-0000.jsonl", clean)
            write_jsonl(self.folder / "tree/val-0000.jsonl", [{**row, "title_tree": "tree"} for row in clean])

    def crawl_row(self, name: str) -> dict[str, Any]:
        status, reason = CRAWL.get(name, ("ok", ""))
        row = {"id": name, "status": status, "reason": reason, "title": f"T {name}", "path": "", "sha256": ""}
        if status == "ok":
            path = self.media / f"{sample_key('s', name)}.mp4"
            if name == "html":
                path.write_text("<html>")
            elif not path.exists():
                write_counter(path, 30)
            row |= {"path": str(path), "sha256": sha256_file(path)}
        return row | {"start": 99.0 if name == "late" else 0.0, "end": None}

    def clean_row(self, row: dict[str, Any]) -> dict[str, Any]:
        fate = ("empty_text", "nothing left") if row["id"] == "empty" else ("ok", "")
        clean = "" if fate[1] else f"t {row['id']}"
        return {"id": row["id"], "title": row["title"], "title_clean": clean, "status": fate[0], "reason": fate[1]}

    def run(self, *verbs: str) -> list[int]:
        extra = {"index": [], "shards": []}
        return [
            main([*verb.split(), "--source", "s", *extra.get(verb.split()[0], ["--chunk", "val-0000"])])
            for verb in verbs
        ]


@pytest.fixture(params=[True, False], ids=["text", "labels"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path, text=request.param)


def test_from_crawl_to_index(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert site.run("clips", "shard", "index", "shards ls", "shards verify") == [0] * 5
    fate = FATE if site.text else {**FATE, "empty": "ok"}
    ledger = read_jsonl(site.folder / "shards/val-0000.ledger.jsonl")
    assert {row["id"]: row["status"] for row in ledger} == fate
    assert [row["id"] for row in ledger] == IDS
    assert all(bool(row["reason"]) == (row["status"] != "ok") for row in ledger)
    table = SampleTable.open("results", [("s", "val")])
    assert [meta["id"] for meta in table.meta] == [name for name in IDS if fate[name] == "ok"]
    assert table.meta[1]["title"] == "T abc"
    assert table.meta[1]["title_clean"] == ("t abc" if site.text else "")
    assert table.meta[1]["title_tree"] == ("tree" if site.text else "")
    assert table.meta[1]["frames"] == 30
    index = read_json(site.folder / "shards/index.json")
    assert sum(index["ledger"]["val"].values()) == len(IDS)
    assert "1 of 1 shards are whole" in capsys.readouterr().out
    clips = read_jsonl(site.folder / "clips/val-0000.jsonl")
    assert len(clips) == sum(row["status"] == "ok" for row in read_jsonl(site.folder / "crawl/val-0000.jsonl"))
    table.close()


def test_no_usable_pair_tells_why_and_leaves_no_index(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_jsonl(site.folder / "crawl/val-0000.jsonl")
    write_jsonl(
        site.folder / "crawl/val-0000.jsonl", [row | {"status": "gone", "reason": "404", "path": ""} for row in rows]
    )
    if site.text:
        write_jsonl(site.folder / "clean/val-0000.jsonl", [])
        write_jsonl(site.folder / "tree/val-0000.jsonl", [])
    assert site.run("clips", "shard", "index") == [0, 0, 2]
    told = capsys.readouterr().err
    assert "split 'val' has no usable pair" in told
    assert f"{len(IDS)} gone: 404" in told
    assert not (site.folder / "shards/index.json").exists()


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_again_changes_nothing_and_encodes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.run("clips", "shard", "index")
    before = tree_of(Path())
    monkeypatch.setattr("cpd.video.cut._run", lambda *_: pytest.fail("encoded again"))
    shutil.rmtree(site.folder / "clips")
    shutil.rmtree(site.folder / "shards")
    assert site.run("clips", "shard", "index") == [0, 0, 0]
    assert tree_of(Path()) == before


@pytest.mark.parametrize("change", ["interval", "media", "settings", "clip", "record", "torn record"])
def test_a_clip_is_cut_again_when_it_must(site: Site, change: str) -> None:
    site.run("clips")
    crawl = read_jsonl(site.folder / "crawl/val-0000.jsonl")
    clip = Path("data/store/s/clips/val-0000") / f"{sample_key('s', 'abc')}.mp4"
    first = read_jsonl(site.folder / "clips/val-0000.jsonl")[1]
    if change == "interval":
        crawl[1]["end"] = 0.4
        write_jsonl(site.folder / "crawl/val-0000.jsonl", crawl)
    elif change == "media":
        write_counter(Path(crawl[1]["path"]), 20)
        crawl[1]["sha256"] = sha256_file(crawl[1]["path"])
        write_jsonl(site.folder / "crawl/val-0000.jsonl", crawl)
    elif change == "settings":
        Path("config.yaml").write_text(Path("config.yaml").read_text().replace("short_side: 48", "short_side: 32"))
    elif change == "clip":
        clip.write_bytes(clip.read_bytes()[:-1])
    else:
        clip.with_suffix(".json").write_text("" if change == "torn record" else '{"recipe": "?"}')
    assert site.run("clips") == [0]
    again = read_jsonl(site.folder / "clips/val-0000.jsonl")[1]
    assert again["sha256"] == sha256_file(clip)
    assert (again == first) == (change in ("clip", "record", "torn record"))
    expected = {"interval": (10, 48), "media": (20, 48), "settings": (30, 32)}
    assert (again["frames"], again["height"]) == expected.get(change, (30, 48))


def test_half_written_files_are_swept_by_age(site: Site) -> None:
    import os

    folder = Path("data/store/s/clips/val-0000")
    folder.mkdir(parents=True)
    for name, age in (("old", 10_000), ("young", 0)):
        path = folder / f".tmp.{name}.mp4"
        path.write_bytes(b"x")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    site.run("clips")
    assert [path.name for path in folder.glob(".tmp.*")] == [".tmp.young.mp4"]
    shards = site.folder / "shards"
    shards.mkdir()
    for name, age in (("old", 100_000), ("young", 0)):
        path = shards / f".tmp.{name}.tar"
        path.write_bytes(b"x")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert site.run("shard", "index", "shards verify") == [0, 0, 0]
    assert [path.name for path in shards.glob(".tmp.*")] == [".tmp.young.tar"]


def test_a_full_disk_stops_the_chunk_and_keeps_what_is_done(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise CpdError("ffmpeg: No space left on device", exit_code=EX_TEMPFAIL)

    monkeypatch.setattr("cpd.video.cut._run", full)
    assert site.run("clips") == [EX_TEMPFAIL]
    assert not (site.folder / "clips/val-0000.jsonl").exists()


def test_a_stage_that_forgets_an_id_is_an_error(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.run("clips")
    path = site.folder / "clips/val-0000.jsonl"
    write_jsonl(path, [row for row in read_jsonl(path) if row["id"] != "ABC"])
    assert site.run("shard") == [2]
    assert "id 'ABC' is missing from clips/" in capsys.readouterr().err
    assert not (site.folder / "shards/val-0000.tar").exists()


def test_a_damaged_shard_is_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.run("clips", "shard", "index")
    path = site.folder / "shards/val-0000.tar"
    data = bytearray(path.read_bytes())
    data[3000] ^= 1
    path.write_bytes(data)
    assert site.run("shards verify") == [2]
    assert "val-0000.tar: its SHA-256" in capsys.readouterr().out


def test_unknown_names(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clips", "--source", "t", "--chunk", "val-0000"]) == 2
    assert main(["shard", "--source", "s", "--chunk", "val-0009"]) == 2
    assert "val-0009" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["clips", "shard", "index", "shards"])
def test_help_is_quick_to_import(verb: str) -> None:
    import sys

    code = (
        f"import sys, cpd.commands.{verb}\n"
        "sys.exit(str({'torch', 'av', 'cv2', 'webdataset', 'numpy'} & set(sys.modules) or '') or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
