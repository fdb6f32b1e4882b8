"""Files are whole or absent, and what cannot be read is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpd import fileio
from cpd.errors import CpdError


def write_half(path: Path) -> None:
    with fileio.atomic_path(path) as beside:
        beside.write_text("half")
        raise OSError("no space")


def test_a_failure_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    fileio.write_text(path, "old")
    with pytest.raises(OSError, match="no space"):
        write_half(path)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_the_final_name_appears_only_when_the_content_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "a.txt", []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(path.exists()), real(handle))[1])
    fileio.write_text(path, "new")
    assert synced, "nothing was synced"
    assert synced[0] is False, "the content was synced before the name was there"
    assert path.read_text() == "new"


def test_a_killed_writer_leaves_no_final_name(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    code = (
        "import os, signal, sys; from cpd.fileio import atomic_path\n"
        "with atomic_path(sys.argv[1]) as beside:\n"
        "    beside.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode != 0
    assert not path.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("nan")]}])
def test_json_holds_finite_numbers_alone(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        fileio.write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


def test_jsonl_comes_back(tmp_path: Path) -> None:
    rows = [{"title": 'a "quoted"\u2028line\n'}, {"n": 1}, {}]
    fileio.write_jsonl(tmp_path / "a.jsonl", rows)
    assert fileio.read_jsonl(tmp_path / "a.jsonl") == rows


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b'{"a": 1}\n{"a": \n', "a.jsonl:2: not JSON"),
        (b'{"a": "\xff"}\n', "byte 7 is not UTF-8"),
        (None, "no such file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, wanted: str) -> None:
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CpdError, match=wanted):
        fileio.read_jsonl(path)
    if content is not None:
        with pytest.raises(CpdError, match="not JSON"):
            fileio.read_json(path)


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert fileio.sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_written_for_its_owner_alone_gets_the_usual_mode(tmp_path: Path) -> None:
    usual, own = tmp_path / "usual", tmp_path / "own"
    usual.touch()
    own.touch(mode=0o600)
    fileio.give_usual_mode(own)
    assert own.stat().st_mode == usual.stat().st_mode
    assert sorted(tmp_path.iterdir()) == [own, usual]
