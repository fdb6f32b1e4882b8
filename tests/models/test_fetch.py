from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cpd.errors import CpdError
from cpd.fileio import sha256_file
from cpd.models.fetch import local_weights


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def publish(tmp_path: Path, *, digest: str = "") -> Path:
    torch.save({"a": torch.zeros(3)}, tmp_path / "w.pth")
    digest = digest or sha256_file(tmp_path / "w.pth")[:8]
    return (tmp_path / "w.pth").rename(tmp_path / f"resnet50-{digest}.pth")


def test_weights_are_fetched_once_and_checked(tmp_path: Path, hub: Path) -> None:
    there = publish(tmp_path)
    found = local_weights(there.as_uri())
    assert found == hub / there.name
    assert found.read_bytes() == there.read_bytes()
    there.unlink()
    assert local_weights(there.as_uri()) == found
    found.write_bytes(b"bitrot")
    with pytest.raises(CpdError, match="does not begin with"):
        local_weights(there.as_uri())


def test_other_content_than_the_name_says_is_refused(tmp_path: Path, hub: Path) -> None:
    there = publish(tmp_path, digest="0123456789abcdef")
    with pytest.raises(CpdError, match="invalid hash value"):
        local_weights(there.as_uri())
    assert list(hub.iterdir()) == []


def test_what_is_not_fetched_is_named(tmp_path: Path, hub: Path) -> None:
    for address, message in (
        ("http://example.org/resnet50-0676ba61.pth", "not fetched over http"),
        ("https://example.org/resnet50.pth", "no SHA-256 in its name"),
        (f"{(tmp_path / 'gone-01234567.pth').as_uri()}", "gone-01234567"),
    ):
        with pytest.raises(CpdError, match=message):
            local_weights(address)
    assert local_weights("data/w.pth") == Path("data/w.pth")
