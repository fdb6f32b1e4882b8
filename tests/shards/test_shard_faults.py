"""Shards that are cut, changed, forged or half-written: refused by name, and nothing of them is executed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import resource
import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import webdataset
import yaml

from cpd.cli import main
from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import read_json, sha256_file, write_json
from cpd.shards.index import build_index
from cpd.shards.members import read_samples
from cpd.shards.read import SampleTable
from cpd.shards.verify import verify_shard
from cpd.shards.write import Row, write_shard
from tests.shards.small_shards import CHUNKS_A, Corpus, row

KEY = "a" * 20

# Writes the shard argv[1] of the rows in argv[2], again and again, saying so before each clip it reads.
WRITER = """
import json, sys
from pathlib import Path
from cpd.shards.write import Row, write_shard
rows = [Row(Path(video), meta) for video, meta in json.loads(sys.argv[2])]
def told():
    for row in rows:
        print("row", flush=True)
        yield row
while True:
    write_shard(told(), sys.argv[1])
"""


def shard(corpus: Corpus, chunk: str = "val-0000") -> Path:
    return corpus.folder("a") / "shards" / f"{chunk}.tar"


@pytest.mark.slow
def test_a_writer_killed_anywhere_leaves_a_whole_shard_or_none(corpus: Corpus, tmp_path: Path) -> None:
    """Fault 54: the final name is the old shard or the new one, and only temporary names are left beside it."""
    rows = corpus.rows("a", "train-0000", 5)
    target = tmp_path / "out" / "x.tar"
    wanted = write_shard(rows, tmp_path / "y.tar")["sha256"]
    text = json.dumps([(str(r.video), r.meta) for r in rows])
    with subprocess.Popen([sys.executable, "-c", WRITER, str(target), text], stdout=subprocess.PIPE) as child:
        assert child.stdout
        for _ in range(3):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
    assert [path.name.startswith(".tmp.") for path in target.parent.iterdir()] == [True]
    for steps in (6, 13):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(target), text], stdout=subprocess.PIPE) as child:
            assert child.stdout
            for _ in range(steps):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        assert sha256_file(target) == wanted
    assert {path.name for path in target.parent.iterdir() if not path.name.startswith(".tmp.")} == {"x.tar"}


@pytest.fixture
def small_files() -> Any:
    """A disk on which no file grows beyond 8 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, previous)


def test_a_full_disk_says_so(corpus: Corpus, tmp_path: Path, small_files: None) -> None:
    """Fault 54."""
    with pytest.raises(CpdError, match=r"x\.tar") as caught:
        write_shard(corpus.rows("a", "train-0000", 5), tmp_path / "x.tar")
    assert caught.value.exit_code == EX_TEMPFAIL
    assert list(tmp_path.glob("*x.tar")) == []


def forged(path: Path, *, flip: int) -> None:
    """Flip one bit of every kind of byte, and make the sidecar agree: only what is inside can tell."""
    data = bytearray(path.read_bytes())
    data[flip] ^= 1 << flip % 8
    path.write_bytes(data)
    sidecar = read_json(path.with_suffix(".json"))
    write_json(path.with_suffix(".json"), {**sidecar, "sha256": hashlib.sha256(data).hexdigest()})


def test_every_header_byte_matters(corpus: Corpus) -> None:
    """Fault 56: webdataset stops at such a header without a word; here the samples no longer add up."""
    path = shard(corpus)
    whole, expected = path.read_bytes(), [(s.key, s.video, s.meta) for s in read_samples(path)]
    with tarfile.open(path) as tar:
        headers = [info.offset for info in tar]
    silent = 0
    for header in headers:
        for place in range(header, header + 512):
            data = bytearray(whole)
            data[place] ^= 1 << place % 8
            path.write_bytes(data)
            try:
                found = [(s.key, s.video, s.meta) for s in read_samples(path)]
            except CpdError:
                continue
            if found == expected:  # a blank for a leading zero of the checksum: the same number
                assert 148 <= place - header < 156
                continue
            silent += 1
            assert len(found) < 2, "the index's count tells"
    assert silent, "webdataset's silent case was met"


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_flipped_payload_is_found_though_the_sidecar_agrees(corpus: Corpus, place: float) -> None:
    """Fault 56."""
    path = shard(corpus)
    offset, size = read_samples(path)[0].video
    forged(path, flip=offset + int(place * size))
    with pytest.raises(CpdError, match="is not the clip that"):
        verify_shard(path)


@pytest.fixture
def command(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The corpus with a config, for the command line."""
    monkeypatch.chdir(tmp_path)
    source = {"kind": "titles", "lists": {"train": "x", "val": "x"}, "pairs": {"train": 12, "val": 2}}
    empty: dict[str, Any] = {"datasets": {}, "encoders": {}, "experiments": {}, "run": [], "tables": {}}
    Path("config.yaml").write_text(
        yaml.safe_dump({"results": "results", "data": "data", "sources": {"a": source}, **empty})
    )
    return corpus


def verify(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code = main(["shards", "verify", "--source", "a", *more])
    return code, capsys.readouterr().out


def test_ls_adds_up(command: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", "ls", "--source", "a"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in told[:4]] == ["train-0000", "train-0001", "train-0002", "val-0000"]
    sizes = sum(path.stat().st_size for path in (command.folder("a") / "shards").glob("*.tar"))
    assert told[4] == f"4 shards: 14 samples, {sizes} bytes"
    assert main(["shards", "ls", "--source", "a", "--split", "val"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 shards: 2 samples")
    assert main(["shards", "ls", "--source", "a", "--split", "test"]) == 2


@pytest.mark.parametrize("name", ["train-0003.tar", "train-0000.tar.gz"])
def test_an_extra_shard_is_named(command: Corpus, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Fault 57: nothing reads it, so somebody should know."""
    assert verify(capsys)[0] == 0
    extra = command.folder("a") / "shards" / name
    data = shard(command).read_bytes()
    extra.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    code, told = verify(capsys)
    assert code == 2
    assert f"{name}: not in index.json" in told
    assert "4 of 4 shards are whole" in told
    with SampleTableOf(command) as table:
        assert len(table) == 12


class SampleTableOf:
    def __init__(self, corpus: Corpus) -> None:
        self.table = SampleTable.open(corpus.results, [("a", "train")])

    def __enter__(self) -> SampleTable:
        return self.table

    def __exit__(self, *_: object) -> None:
        self.table.close()


def test_an_empty_shard_is_no_stray(command: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    path = command.folder("a") / "shards" / "train-0003.tar"
    write_json(path.with_suffix(".json"), write_shard([], path))
    assert verify(capsys)[0] == 0


@pytest.mark.parametrize("damage", ["missing", "zero", "only EOF", "gz", "exchanged"])
def test_verify_names_every_bad_shard(command: Corpus, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    """Fault 57: each shard is looked at, whatever the one before it is."""
    path = shard(command, "train-0001")
    if damage == "missing":
        path.unlink()
    elif damage == "exchanged":  # a whole shard of another time
        command.add("a", "train-0001", command.rows("a", "train-0001", 3))
    else:
        path.write_bytes({"zero": b"", "only EOF": bytes(10240), "gz": gzip.compress(path.read_bytes())}[damage])
    code, told = verify(capsys)
    assert code == 2
    lines = dict(line.split("  ", 1) for line in told.splitlines() if "  " in line)
    assert [lines[name] for name in ("train-0000", "train-0002", "val-0000")] == ["ok"] * 3
    assert lines["train-0001"] != "ok"
    with pytest.raises(CpdError, match="train-0001"):
        SampleTable.open(command.results, [("a", "train")])


@pytest.mark.parametrize("text", ["[]", "{}", '{"n": "2"}', "null", ""])
def test_a_sidecar_that_is_none(corpus: Corpus, text: str) -> None:
    shard(corpus).with_suffix(".json").write_text(text)
    with pytest.raises(CpdError, match=r"val-0000\.json"):
        verify_shard(shard(corpus))
    with pytest.raises(CpdError, match=r"val-0000\.json"):
        build_index(corpus.folder("a"), CHUNKS_A)


@pytest.mark.parametrize("text", ["[]", '{"train": []}', '{"train": {"n": 1, "shards": [{"name": "x"}]}}'])
def test_an_index_that_is_none(corpus: Corpus, text: str) -> None:
    (corpus.folder("a") / "shards/index.json").write_text(text)
    with pytest.raises(CpdError, match=r"index\.json"):
        SampleTable.open(corpus.results, [("a", "train")])


@pytest.mark.parametrize("text", [b"[]", b"{}", b"\xff", b'{"key": 1}'])
def test_metadata_that_is_none(corpus: Corpus, text: bytes) -> None:
    """Fault 58: the sample is named, though digest and count are as they should be."""
    path = shard(corpus)
    video = corpus.videos[0].read_bytes()
    with tarfile.open(path, "w") as tar:
        for name, data in ((f"{KEY}.json", text), (f"{KEY}.mp4", video)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    keys = hashlib.sha256(KEY.encode()).hexdigest()
    said = {"n": 1, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
    write_json(path.with_suffix(".json"), {**said, "keys": [KEY], "keys_sha256": keys})
    index = read_json(path.parent / "index.json")
    index["val"] = {"n": 1, "shards": [{**said, "name": "val-0000", "offset": 0}]}
    write_json(path.parent / "index.json", index)
    for look in (lambda: verify_shard(path), lambda: SampleTable.open(corpus.results, [("a", "val")])):
        with pytest.raises(CpdError, match=rf"val-0000\.tar: {KEY}"):
            look()


def test_an_empty_clip_is_not_written(corpus: Corpus, tmp_path: Path) -> None:
    """Fault 58."""
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(CpdError, match="the clip is empty"):
        write_shard([row("a", "val", "x", empty, 30)], tmp_path / "x.tar")


def test_opens_with_the_tar_command_and_decodes_with_webdataset(corpus: Corpus, tmp_path: Path) -> None:
    """What docs/shards.md shows: no tool of ours is needed to look inside."""
    path = shard(corpus)
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True).stdout.split()
    keys = read_json(path.with_suffix(".json"))["keys"]
    assert listed == [f"{key}.{suffix}" for key in keys for suffix in ("json", "mp4")]
    subprocess.run(["tar", "-xf", path, "-C", tmp_path], check=True)
    assert (tmp_path / f"{keys[1]}.mp4").read_bytes() == corpus.videos[1].read_bytes()
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False).map(lambda s: json.loads(s["json"])))
    assert [sample["key"] for sample in samples] == keys
    assert Row(path, samples[0]).meta["frames"] == 30
