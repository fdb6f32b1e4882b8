from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpd.engine.checkpoint import Checkpoints, differences, rng_state, set_rng_state
from cpd.errors import EX_TEMPFAIL, CpdError
from tests.mounts import NEEDS_MOUNTS, inside


def state(step: int) -> dict:
    return {"x": torch.full((50,), float(step)), "progress": {"step": step, "failed": {"k": "torn"}}}


@pytest.fixture
def two(tmp_path: Path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path / "checkpoints", 2, identity={"lr": 0.1})
    checkpoints.save(1, state(1))
    checkpoints.save(2, state(2))
    return checkpoints


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def test_newest_comes_back(two: Checkpoints) -> None:
    loaded = two.load()
    assert loaded is not None
    assert loaded["progress"] == state(2)["progress"]
    assert torch.equal(loaded["x"], state(2)["x"])


def test_nothing_saved_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", 2).load() is None


@settings(max_examples=20, deadline=None)
@given(at=st.floats(0, 1), how=st.sampled_from(["flip", "cut", "gone"]))
def test_damaged_newest_falls_back_with_a_warning(
    tmp_path_factory: pytest.TempPathFactory, at: float, how: str
) -> None:
    checkpoints = Checkpoints(tmp_path_factory.mktemp("c"), 2)
    checkpoints.save(1, state(1))
    path = checkpoints.save(2, state(2))
    if how == "flip":
        flip(path, at)
    elif how == "cut":
        os.truncate(path, int(at * (path.stat().st_size - 1)))
    else:
        path.unlink()
    with pytest.warns(UserWarning, match="step-2.pt: not usable"):
        loaded = checkpoints.load()
    assert loaded is not None
    assert loaded["progress"]["step"] == 1


def test_all_damaged_is_an_error_and_nothing_is_removed(two: Checkpoints) -> None:
    for step in two.steps():
        flip(two.folder / f"step-{step}.pt", 0.5)
    before = sorted(path.name for path in two.folder.iterdir())
    with (
        pytest.warns(UserWarning, match="not usable"),
        pytest.raises(CpdError, match="none of 2 checkpoints can be read"),
    ):
        two.load()
    assert sorted(path.name for path in two.folder.iterdir()) == before


def test_unfinished_first_checkpoint_is_told_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "step-3.pt").write_bytes(b"half")
    with pytest.warns(UserWarning, match="only an unfinished checkpoint"):
        assert Checkpoints(tmp_path, 2).load() is None


@pytest.mark.parametrize("forced", ["0", "1"])
def test_planted_pickle_is_not_executed(two: Checkpoints, monkeypatch: pytest.MonkeyPatch, forced: str) -> None:
    marker = two.folder / "executed"

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (marker,))

    path = two.folder / "step-2.pt"
    torch.save({"x": Evil()}, path)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    sidecar["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    with pytest.warns(UserWarning, match="not usable"):
        loaded = two.load()
    assert loaded is not None
    assert loaded["progress"]["step"] == 1
    assert not marker.exists()
    pickle.loads(pickle.dumps(Evil()))  # the bait works when it is unpickled
    assert marker.exists()


def test_other_identity_is_refused_with_the_difference(two: Checkpoints) -> None:
    other = Checkpoints(two.folder, 2, identity={"lr": 0.2, "world_size": 2})
    with pytest.raises(CpdError, match=r"lr: 0.1 -> 0.2\n  world_size: None -> 2"):
        other.load()


def test_keeps_the_last_k(two: Checkpoints) -> None:
    for step in (3, 4, 5):
        two.save(step, state(step))
    assert two.steps() == [4, 5]
    assert sorted(path.name for path in two.folder.iterdir()) == [
        f"step-{s}.{e}" for s in (4, 5) for e in ("json", "pt")
    ]


def test_saving_after_a_fallback_drops_the_bad_ones(two: Checkpoints) -> None:
    two.save(9, state(9))
    flip(two.folder / "step-9.pt", 0.5)
    two.save(3, state(3))
    assert two.steps() == [2, 3]


def test_full_disk_leaves_the_old_one(two: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CpdError, match="checkpoint not written") as caught:
        two.save(3, state(3))
    assert caught.value.exit_code == EX_TEMPFAIL
    monkeypatch.undo()
    loaded = two.load()
    assert loaded is not None
    assert loaded["progress"]["step"] == 2
    assert not list(two.folder.glob(".tmp*"))


FILLS_ITS_DISK = """
import sys, torch
from cpd.engine.checkpoint import Checkpoints
from cpd.errors import CpdError

checkpoints = Checkpoints("disk/checkpoints", 3)
for step in (1, 2):
    checkpoints.save(step, {"x": torch.full((1000,), float(step))})
before = {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()}
assert len(before) == 4
for save in (lambda x: checkpoints.save(3, x), lambda x: checkpoints.save_part(3, 0, x)):
    try:
        save({"x": torch.zeros(10**6)})
    except CpdError as error:
        print(error.exit_code, error)
    assert {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()} == before
    assert checkpoints.load()["x"].tolist() == [2.0] * 1000
checkpoints.save(3, {"x": torch.full((1000,), 3.0)})
assert checkpoints.load()["x"][0] == 3
"""


@NEEDS_MOUNTS
def test_a_really_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One message with the file and exit code 75; the checkpoints before are there, byte for byte, and are loaded."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "disk").mkdir()
    done = inside("mount -t tmpfs -o size=400k none disk", [sys.executable, "-c", FILLS_ITS_DISK], tmp_path)
    assert done.returncode == 0, done.stderr
    whole, part = (line for line in done.stdout.splitlines() if not line.startswith("Hint"))
    assert whole.startswith(f"{EX_TEMPFAIL} disk/checkpoints/step-3.pt: checkpoint not written")
    assert part.startswith(f"{EX_TEMPFAIL} disk/checkpoints/step-3.rank-0.part: checkpoint not written")
    assert done.stdout.count("Hint: free some space and run again") == 2


def test_clear_removes_ours_only(two: Checkpoints) -> None:
    (two.folder / "notes.txt").write_text("mine")
    two.clear()
    assert [path.name for path in two.folder.iterdir()] == ["notes.txt"]
    shutil.rmtree(two.folder)


def test_random_states_come_back_through_weights_only(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    checkpoints.save(1, {"rng": rng_state()})
    wanted = random.random(), np.random.rand(), torch.rand(3)
    loaded = checkpoints.load()
    assert loaded is not None
    set_rng_state(loaded["rng"])
    assert wanted[:2] == (random.random(), np.random.rand())
    assert torch.equal(wanted[2], torch.rand(3))


def test_differences_names_nested_keys() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c: 2 -> 3"]
    assert differences({"a": 1}, {"a": 1}) == []
