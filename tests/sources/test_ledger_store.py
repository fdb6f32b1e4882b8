"""What survives a crash: the ledger's rows and the store's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.sources.ledger import PENDING, Ledger, attempts, read_ledger
from cpd.sources.store import Store, media_key


def write_three(path: Path) -> bytes:
    with Ledger(path) as ledger:
        ledger.append("a", "ok", attempt=1, bytes=3, sha256="00")
        ledger.append("b", "network", reason="HTTP 500", attempt=1)
        ledger.append("c", "gone", reason="HTTP 404 \n \u2028 'x'", attempt=1)
    return path.read_bytes()


def test_every_torn_tail_is_healed_and_no_whole_row_is_lost(tmp_path):
    path = tmp_path / "ledger.jsonl"
    whole = write_three(path)
    assert whole.count(b"\n") == 3
    for cut in range(1, len(whole) + 1):
        path.write_bytes(whole[:-cut])
        kept = read_ledger(path)
        # a last row that only lost its line end is whole
        assert len(kept) in (whole[:-cut].count(b"\n"), whole[:-cut].count(b"\n") + 1)
        with Ledger(path) as ledger:
            ledger.append("d", "ok")
        assert [row.id for row in read_ledger(path)] == [row.id for row in kept] + ["d"]
        assert [row.seq for row in read_ledger(path)] == list(range(1, len(kept) + 2))


def test_one_writer_at_a_time(tmp_path):
    with Ledger(tmp_path / "x.jsonl"), pytest.raises(CpdError, match="another crawl") as error:
        Ledger(tmp_path / "x.jsonl")
    assert error.value.exit_code == EX_TEMPFAIL
    Ledger(tmp_path / "x.jsonl").__exit__(None, None, None)


def test_attempts_count_since_the_id_was_opened(tmp_path):
    path = tmp_path / "x.jsonl"
    with Ledger(path) as ledger:
        for status, attempt, count in [
            ("network", 1, 1),
            ("blocked", 0, 1),
            ("network", 2, 2),
            (PENDING, 0, 0),
            ("network", 1, 1),
            ("ok", 2, 0),
        ]:
            ledger.append("a", status, attempt=attempt)
            assert ledger.attempts("a") == count
    assert attempts(read_ledger(path)) == 0


def put(store: Store, folder: Path, data: bytes, title: str = "T") -> str:
    key = media_key("s", "a")
    file = folder / "new.mp4"
    file.write_bytes(data)
    store.put(key, file=file, identity="a", title=title, section=(1.0, 2.5))
    return key


def test_keys_tell_ids_apart_that_differ_by_case_only():
    assert media_key("s", "aB") != media_key("s", "ab")
    assert media_key("s", "aB").islower() or media_key("s", "aB").isdigit()


def test_put_and_replace(tmp_path):
    store = Store(tmp_path)
    key = put(store, tmp_path, b"one", "old")
    put(store, tmp_path, b"three", "new")
    record = store.record(key)
    assert record is not None
    assert (record.title, record.bytes, record.section) == ("new", 5, (1.0, 2.5))
    assert store.path(record, key=key).read_bytes() == b"three"
    assert store.is_intact(record, key=key)
    assert sorted(path.name for path in (tmp_path / "media" / key[:2]).iterdir()) == [f"{key}.json", f"{key}.mp4"]


def test_a_short_or_missing_file_is_absent_and_a_flipped_bit_is_seen(tmp_path):
    store = Store(tmp_path)
    key = put(store, tmp_path, b"hello")
    record = store.record(key)
    assert record is not None
    path = store.path(record, key=key)
    path.write_bytes(b"hellO")
    assert store.record(key) is not None
    assert not store.is_intact(record, key=key)
    path.write_bytes(b"hell")
    assert store.record(key) is None
    path.unlink()
    assert store.record(key) is None


def test_a_record_that_is_not_ours_is_absent(tmp_path):
    store = Store(tmp_path)
    key = put(store, tmp_path, b"hello")
    (tmp_path / "media" / key[:2] / f"{key}.json").write_text("{")
    assert store.record(key) is None


def test_work_folders_of_killed_runs_are_swept(tmp_path):
    """Fault 38: of this chunk alone, and before anything is fetched."""
    store = Store(tmp_path)
    for name in (".tmp.train-0000.ab12", ".tmp.train-0001.cd34"):
        (tmp_path / "media" / name).mkdir(parents=True)
        (tmp_path / "media" / name / "x.mp4.part").touch()
    assert store.sweep("train-0000") == 1
    assert [path.name for path in (tmp_path / "media").iterdir()] == [".tmp.train-0001.cd34"]
    with store.work("train-0000") as folder, store.work("train-0000") as other:
        assert folder != other
        (folder / "y.mp4").touch()
    assert not folder.exists()


def test_titles_alone_make_way_for_media(tmp_path):
    store = Store(tmp_path)
    key = media_key("s", "a")
    with store.work("train-0000") as work:
        store.put_title(key, work=work, identity="a", title="T")
        assert (store.title(key), store.record(key)) == ("T", None)
    put(store, tmp_path, b"hello", "new")
    assert store.title(key) == "new"
    assert store.record(key) is not None
    assert store.discard(key) == 2
    assert store.title(key) is None
