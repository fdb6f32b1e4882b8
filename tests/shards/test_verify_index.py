from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from cpd.errors import CpdError
from cpd.fileio import read_json, read_jsonl, sha256_file, write_json, write_jsonl
from cpd.shards.index import build_index
from cpd.shards.verify import verify_shard
from tests.shards.small_shards import CHUNKS_A, Corpus, row


def shard(corpus: Corpus, chunk: str = "train-0000") -> Path:
    return corpus.folder("b" if chunk == "b" else "a") / "shards" / f"{chunk}.tar"


def bless(path: Path) -> None:
    """Make the sidecar agree with a changed shard, to test what is behind the digest."""
    sidecar = read_json(path.with_suffix(".json"))
    write_json(path.with_suffix(".json"), {**sidecar, "sha256": sha256_file(path), "bytes": path.stat().st_size})


def test_whole_shards_pass(corpus: Corpus) -> None:
    assert verify_shard(shard(corpus))["n"] == 5


def test_every_truncation_is_found(corpus: Corpus, tmp_path: Path) -> None:
    """Fault 56: webdataset reads most of these without a word, even where the sidecar is made to agree."""
    path = shard(corpus, "val-0000")
    whole = path.read_bytes()
    padding = len(whole) - len(whole.rstrip(b"\0"))
    for size in range(0, len(whole), 512):
        path.write_bytes(whole[:size])
        with pytest.raises(CpdError, match=r"val-0000\.tar"):
            verify_shard(path)
    for size in range(0, len(whole) - padding - 512, 512):
        path.write_bytes(whole[:size])
        bless(path)
        with pytest.raises(CpdError, match=r"val-0000\.tar"):
            verify_shard(path)


def test_flipped_bits_are_found(corpus: Corpus) -> None:
    path = shard(corpus, "val-0000")
    whole = path.read_bytes()
    for place in (*range(0, 512, 37), 1024, len(whole) // 2):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(CpdError, match=r"val-0000\.tar"):
            verify_shard(path)


def test_what_the_digest_does_not_tell(corpus: Corpus) -> None:
    broken = corpus.videos[0].parent / "broken.mp4"
    broken.write_bytes(corpus.videos[0].read_bytes()[:2000])
    cases = {
        "cannot be decoded|corrupt|opened|damaged": row("a", "val", "x", broken, 30),
        "decodes to 30 of 31 frames": row("a", "val", "x", corpus.videos[0], 31),
    }
    for message, bad in cases.items():
        path = corpus.add("a", "val-0000", [bad])
        with pytest.raises(CpdError, match=message):
            verify_shard(path)


def test_another_shard_under_its_name(corpus: Corpus) -> None:
    path = shard(corpus, "val-0000")
    path.write_bytes(shard(corpus).read_bytes())
    bless(path)
    with pytest.raises(CpdError, match="its keys are not those of its sidecar"):
        verify_shard(path)


def test_missing_shard_and_sidecar(corpus: Corpus) -> None:
    shard(corpus, "val-0000").unlink()
    with pytest.raises(CpdError, match="no such shard"):
        verify_shard(shard(corpus, "val-0000"))
    shard(corpus).with_suffix(".json").unlink()
    with pytest.raises(CpdError, match="no such file"):
        verify_shard(shard(corpus))


def test_index_is_dense(corpus: Corpus) -> None:
    index = build_index(corpus.folder("a"), CHUNKS_A)
    assert [(s["name"], s["n"], s["offset"]) for s in index["train"]["shards"]] == [
        ("train-0000", 5, 0),
        ("train-0001", 4, 5),
        ("train-0002", 3, 9),
    ]
    assert (index["train"]["n"], index["val"]["n"]) == (12, 2)
    assert index["ledger"] == {"train": {"ok": 12}, "val": {"ok": 2}}
    assert index["val"]["shards"][0]["sha256"] == sha256_file(shard(corpus, "val-0000"))


def fail(corpus: Corpus, chunk: str, *, keep: int) -> None:
    """Let all but `keep` ids of a chunk fail."""
    path = shard(corpus, chunk)
    rows = read_jsonl(path.with_suffix(".ledger.jsonl"))
    corpus.add("a", chunk, corpus.rows("a", chunk, keep))
    failed = [{**r, "status": "private" if k % 2 else "gone", "reason": "no"} for k, r in enumerate(rows[keep:])]
    write_jsonl(path.with_suffix(".ledger.jsonl"), rows[:keep] + failed)
    write_jsonl(corpus.folder("a") / "plan" / f"{chunk}.jsonl", [{"id": r["id"]} for r in rows])


def test_failures_are_counted_and_empty_chunks_have_no_shard(corpus: Corpus) -> None:
    fail(corpus, "train-0000", keep=2)
    fail(corpus, "train-0001", keep=0)
    index = build_index(corpus.folder("a"), CHUNKS_A)
    assert [(s["name"], s["n"], s["offset"]) for s in index["train"]["shards"]] == [
        ("train-0000", 2, 0),
        ("train-0002", 3, 2),
    ]
    assert index["ledger"]["train"] == {"ok": 5, "gone": 4, "private": 3}


def test_a_split_without_pairs_tells_why(corpus: Corpus) -> None:
    fail(corpus, "val-0000", keep=0)
    with pytest.raises(CpdError, match=r"split 'val' has no usable pair:\n  1 gone: no\n  1 private: no"):
        build_index(corpus.folder("a"), CHUNKS_A)


@pytest.mark.parametrize("change", ["drop", "double", "rename", "fail"])
def test_every_planned_id_is_accounted_for(corpus: Corpus, change: str) -> None:
    """Fault 10."""
    path = shard(corpus).with_suffix(".ledger.jsonl")
    rows = read_jsonl(path)
    last = rows[-1]
    changed = {
        "drop": rows[:-1],
        "double": [*rows, last],
        "rename": [*rows[:-1], {**last, "id": "other"}],
        "fail": [*rows[:-1], {**last, "status": "gone"}],
    }
    write_jsonl(path, changed[change])
    with pytest.raises(CpdError, match=r"train-0000\.ledger\.jsonl"):
        build_index(corpus.folder("a"), CHUNKS_A)


def test_a_key_in_two_shards(corpus: Corpus) -> None:
    corpus.add("a", "val-0000", corpus.rows("a", "train-0001", 4))
    with pytest.raises(CpdError, match="is in train-0001 and in val-0000"):
        build_index(corpus.folder("a"), CHUNKS_A)


def test_a_changed_shard_is_not_indexed(corpus: Corpus) -> None:
    path = shard(corpus)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    assert hashlib.sha256(data).hexdigest() != read_json(path.with_suffix(".json"))["sha256"]
    with pytest.raises(CpdError, match=r"train-0000\.tar: its SHA-256"):
        build_index(corpus.folder("a"), CHUNKS_A)
