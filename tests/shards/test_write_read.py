from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset

from cpd.errors import CpdError
from cpd.fileio import read_json, write_json
from cpd.shards.keys import KEY, sample_key
from cpd.shards.members import read_samples
from cpd.shards.read import SampleTable
from cpd.shards.write import Row, write_shard
from tests.shards.small_shards import Corpus, row


def test_keys_are_safe_and_apart() -> None:
    names = ["abc", "ABC", "-rfAAAAAAAA", "a.b", "../x", "1234567e890", "NaN", "\ud800"]
    keys = [sample_key("s", name) for name in names] + [sample_key("t", "abc")]
    assert len(set(keys)) == len(keys)
    assert all(KEY.match(key) for key in keys)


def test_the_same_bytes_again(corpus: Corpus, tmp_path: Path) -> None:
    rows = corpus.rows("a", "train-0000", 4)
    first, second = (write_shard(rows, tmp_path / name) for name in ("x.tar", "y.tar"))
    assert first == second
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()
    assert first["bytes"] == (tmp_path / "x.tar").stat().st_size


def test_opens_with_plain_tarfile(corpus: Corpus) -> None:
    with tarfile.open(corpus.folder("a") / "shards/train-0000.tar") as tar:
        infos = tar.getmembers()
        assert all(info.isreg() and info.mtime == 0 and info.uid == info.gid == 0 for info in infos)
        metas = [json.load(tar.extractfile(info)) for info in infos if info.name.endswith(".json")]  # type: ignore[arg-type]
    assert [meta["row"] for meta in metas] == [0, 1, 2, 3, 4]
    assert [meta["id"] for meta in metas] == [f"train-0000-{k}" for k in range(5)]


def test_opens_with_plain_webdataset(corpus: Corpus) -> None:
    path = corpus.folder("a") / "shards/train-0000.tar"
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in samples] == read_json(path.with_suffix(".json"))["keys"]
    assert [sample["mp4"] for sample in samples] == [corpus.videos[k % 3].read_bytes() for k in range(5)]


def test_refuses_what_it_must_not_write(corpus: Corpus, tmp_path: Path) -> None:
    good = corpus.rows("a", "train-0000", 2)
    changed = Row(good[0].video, {**good[0].meta, "sha256": "0" * 64})
    missing = Row(tmp_path / "absent.mp4", good[0].meta)
    dotted = Row(good[0].video, {**good[0].meta, "key": "a.b"})
    for rows, message in (
        ([good[0], good[0]], "twice"),
        ([changed], "changed"),
        ([missing], "missing"),
        ([dotted], "20 hex"),
    ):
        with pytest.raises(CpdError, match=message):
            write_shard(rows, tmp_path / "x.tar")
    assert not list(tmp_path.glob("*.tar*")), "a failed write leaves nothing"


def test_random_access(corpus: Corpus) -> None:
    table = SampleTable.open(corpus.results, [("a", "train"), ("b", "train")])
    assert len(table) == 15
    assert table.n_shards == 4
    assert [meta["source"] for meta in table.meta] == ["a"] * 12 + ["b"] * 3
    index = read_json(corpus.folder("a") / "shards/index.json")
    offsets = {entry["name"]: entry["offset"] for entry in index["train"]["shards"]}
    for instance in (14, 0, 7, 11, 5, 12):
        meta = table.meta[instance]
        chunk, number = meta["id"].rsplit("-", 1)
        offset = offsets[chunk] if meta["source"] == "a" else 12
        assert instance == offset + meta["row"]
        assert table.video(instance) == corpus.videos[int(number) % 3].read_bytes()
        assert table.keys[instance] == sample_key(meta["source"], meta["id"])
    table.close()


def test_the_store_pickles_without_its_files(corpus: Corpus) -> None:
    table = SampleTable.open(corpus.results, [("a", "train")])
    before = table.video(3)
    copy = pickle.loads(pickle.dumps(table.store))
    assert copy.read(3) == before
    assert np.array_equal(copy.range_N3, table.store.range_N3)
    copy.close()
    table.close()


def test_few_files_stay_open(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cpd.shards.read._OPEN_FILES", 2)
    table = SampleTable.open(corpus.results, [("a", "train"), ("b", "train")])
    for instance in (0, 5, 9, 14, 0):
        assert table.video(instance)
        assert len(table.store._files) <= 2
    table.close()


def test_unknown_split_and_missing_index(corpus: Corpus) -> None:
    with pytest.raises(CpdError, match="has no split 'ledger'"):
        SampleTable.open(corpus.results, [("a", "ledger")])
    with pytest.raises(CpdError, match=r"index\.json: no such file"):
        SampleTable.open(corpus.results, [("c", "train")])


def test_a_changed_shard_is_refused_at_the_start(corpus: Corpus) -> None:
    """Fault 57."""
    path = corpus.folder("a") / "shards/train-0001.tar"
    whole = path.read_bytes()
    for damaged in (b"", whole[:512], whole[:-512], whole[: len(whole) // 2], bytes(1024), gzip.compress(whole)):
        path.write_bytes(damaged)
        with pytest.raises(CpdError, match=r"train-0001\.tar"):
            SampleTable.open(corpus.results, [("a", "train")])
    path.unlink()
    with pytest.raises(CpdError, match=r"train-0001\.tar"):
        SampleTable.open(corpus.results, [("a", "train")])


def test_a_shard_cut_while_open(corpus: Corpus) -> None:
    table = SampleTable.open(corpus.results, [("b", "train")])
    path = corpus.folder("b") / "shards/train-0000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(CpdError, match="cut short"):
        table.video(2)
    table.close()


KEY_A, KEY_B = "a" * 20, "b" * 20


@pytest.mark.parametrize(
    "names",
    [
        [f"{KEY_A}.json", f"{KEY_A}.pkl"],
        [f"{KEY_A}.json", f"../{KEY_A}.mp4"],
        [f"/{KEY_A}.json", f"/{KEY_A}.mp4"],
        ["a.b.json", "a.b.mp4"],
        [f"{KEY_A}.json"],
        [f"{KEY_A}.mp4", f"{KEY_A}.json"],
        [f"{KEY_A}.json", f"{KEY_B}.json", f"{KEY_A}.mp4", f"{KEY_B}.mp4"],
        [f"{KEY_A}.json", f"{KEY_A}.mp4"] * 2,
        [f"{KEY_A}.json", f"{KEY_A}.json"],
    ],
)
def test_strange_members_are_refused(tmp_path: Path, names: list[str]) -> None:
    """Faults 58 and 59."""
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(CpdError, match=r"x\.tar"):
        read_samples(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo(f"{KEY_A}.json")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(CpdError, match=r"x\.tar"):
        read_samples(path)


def test_empty_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name in (f"{KEY_A}.json", f"{KEY_A}.mp4"):
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(CpdError, match="empty"):
        read_samples(path)


def test_metadata_of_another_sample_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    rows = corpus.rows("b", "train-0000", 2)
    path = corpus.folder("b") / "shards/train-0000.tar"
    sidecar = write_shard(rows, path)
    path.write_bytes(path.read_bytes().replace(b'"row": 1', b'"row": 7'))
    write_json(path.with_suffix(".json"), {**sidecar})
    index = read_json(path.parent / "index.json")
    index["train"]["shards"][0] |= {"n": 2, "bytes": path.stat().st_size}
    write_json(path.parent / "index.json", index)
    with pytest.raises(CpdError, match="another sample"):
        SampleTable.open(corpus.results, [("b", "train")])


def test_titles_survive_byte_for_byte(corpus: Corpus) -> None:
    """Fault 11: whatever the title says, it is data."""
    title = "a'b\"$(x)`y`;{}\n\u202e\u0000 🐼 \\ \ud800"
    made = row("b", "train", "x", corpus.videos[0], 30)
    corpus.add("b", "train-0000", [Row(made.video, {**made.meta, "title": title})])
    corpus.index("b", {"train": ["train-0000"]})
    assert SampleTable.open(corpus.results, [("b", "train")]).meta[0]["title"] == title
