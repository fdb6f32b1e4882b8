"""Shards that somebody made to do harm: nothing in them is executed or followed."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from cpd.errors import CpdError
from cpd.fileio import write_json
from cpd.shards.members import read_samples
from cpd.shards.read import SampleTable

KEY = "a" * 20


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch PWNED",)


@pytest.mark.parametrize("suffix", ["pkl", "pyd", "pth", "npy", "mp4.pkl"])
def test_nothing_in_a_shard_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """Fault 59."""
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(Evil())
    with tarfile.open("x.tar", "w") as tar:
        for name in (f"{KEY}.json", f"{KEY}.{suffix}"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(CpdError, match=r"x\.tar"):
        read_samples("x.tar")
    assert not Path("PWNED").exists()


def test_sparse_members_are_refused(tmp_path: Path) -> None:
    """Fault 59: 5 bytes in the file that unfold to a gigabyte, and count as a regular file."""
    path = tmp_path / "x.tar"
    header = bytearray(512)
    header[0:24] = f"{KEY}.json".encode().ljust(24, b"\0")[:24]
    header[0 : len(KEY) + 5] = f"{KEY}.json".encode()
    header[100:108], header[108:116], header[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    header[124:136], header[136:148], header[156:157] = b"00000000005\0", b"00000000000\0", b"S"
    header[257:265] = b"ustar  \0"
    header[386:398], header[398:410], header[483:495] = b"00000000000\0", b"00000000005\0", b"10000000000\0"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    path.write_bytes(bytes(header) + b"{   }".ljust(512, b"\0") + bytes(1024))
    with tarfile.open(path) as tar:
        assert tar.getmembers()[0].isreg()
        assert tar.getmembers()[0].size == 1 << 30
    with pytest.raises(CpdError, match="is not KEY"):
        read_samples(path)


@pytest.mark.parametrize("address", ["pipe:touch PWNED", "http://127.0.0.1:9/x", "pipe:touch PWNED; cat"])
def test_addresses_are_folders_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Fault 60: shards are opened as files by the names in the index, never through webdataset's openers."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CpdError, match="no such file"):
        SampleTable.open(address, [("a", "train")])
    shards = tmp_path / "results/sources/a/shards"
    entry = {"name": address, "n": 1, "offset": 0, "bytes": 1, "sha256": ""}
    write_json(shards / "index.json", {"train": {"n": 1, "shards": [entry]}, "ledger": {}})
    with pytest.raises(CpdError, match="no such shard"):
        SampleTable.open("results", [("a", "train")])
    time.sleep(0.05)
    assert not Path("PWNED").exists()
