from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cpd.errors import EX_TEMPFAIL, CpdError
from cpd.fileio import named_errors, write_text
from cpd.tensors import disk_errors, write_tensors


def test_tensors_are_written_with_the_usual_mode(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a" / "x.safetensors", {"x": torch.arange(3)}, metadata={"who": "me"})
    (tmp_path / "plain").touch()
    assert load_file(tmp_path / "a" / "x.safetensors")["x"].tolist() == [0, 1, 2]
    assert (tmp_path / "a" / "x.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_other_errors_of_safetensors_stay_loud() -> None:
    with pytest.raises(SafetensorError, match="header"), disk_errors("x"):
        raise SafetensorError("Error while serializing: invalid header")
    with pytest.raises(CpdError, match="x: not written: No space left") as caught, disk_errors("x"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert caught.value.exit_code == EX_TEMPFAIL


def test_errors_of_a_full_disk_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/x\.txt'"):
        write_text(tmp_path / "x.txt", "x")
    with pytest.raises(OSError, match=r"^\[Errno 104\] reset$"), named_errors("x"):
        raise OSError(104, "reset")
