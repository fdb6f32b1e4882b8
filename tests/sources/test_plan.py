"""Chunks are known from the config alone and never change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cpd.config import Config, Source
from cpd.errors import CpdError
from cpd.sources.plan import check_source, chunk_names, is_removed, plan_path, read_plan, write_plan
from tests.sources.scripted_site import kinetics_config

URL = "https://www.youtube.com/watch?v={id}"


def ids(*numbers: int) -> list[str]:
    return [f"video{number:06d}" for number in numbers]


def planned(config: Config, chunk: str) -> list[str]:
    return [pair.id for pair in read_plan(plan_path(config, "k", chunk))]


def plan(folder: Path, names: list[str], *, chunk_size: int = 2, declared: int | None = None) -> Config:
    config = kinetics_config(folder, names, url=URL, chunk_size=chunk_size, declared=declared)
    write_plan(config, "k")
    return config


def test_chunk_names_need_no_file():
    source = Source(kind="kinetics", lists={"train": "no", "val": "no"}, pairs={"train": 5, "val": 4}, chunk_size=2)
    assert chunk_names(source) == {
        "train": ["train-0000", "train-0001", "train-0002"],
        "val": ["val-0000", "val-0001"],
    }


def test_importing_the_plan_loads_nothing_heavy():
    code = "import sys, cpd.sources.plan; print([m for m in ('torch', 'pandas', 'yt_dlp', 'av') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_one_file_per_chunk_and_planning_twice_changes_no_byte(tmp_path):
    config = plan(tmp_path, ids(1, 2, 3))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    assert [planned(config, chunk) for chunk in ("train-0000", "train-0001")] == [ids(1, 2), ids(3)]
    plan(tmp_path, ids(1, 2, 3))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")} == files
    assert not list(tmp_path.rglob(".tmp*"))


def test_new_ids_come_after_the_old_ones_wherever_they_stand_in_the_list(tmp_path):
    """Faults 8, 9."""
    plan(tmp_path, ids(1, 2))
    config = plan(tmp_path, ids(9, 1, 8, 2))
    assert [planned(config, chunk) for chunk in ("train-0000", "train-0001")] == [ids(1, 2), ids(9, 8)]


def test_removed_ids_keep_their_slot_and_are_accounted_for(tmp_path):
    """Fault 9."""
    plan(tmp_path, ids(1, 2, 3))
    config = plan(tmp_path, ids(1, 3), declared=3)
    rows = read_plan(plan_path(config, "k", "train-0000"))
    assert [(row.id, is_removed(row)) for row in rows] == [(ids(1)[0], False), (ids(2)[0], True)]
    assert planned(config, "train-0001") == ids(3)


def test_the_wrong_count_names_the_pairs_to_set_and_assigns_nothing(tmp_path):
    """Fault 7."""
    with pytest.raises(CpdError) as error:
        plan(tmp_path, ids(1, 2, 3), declared=5)
    assert "the list of train has 3 ids" in error.value.message
    assert "sources.k.pairs: {train: 3}" in error.value.hint
    assert (tmp_path / "data/store/k/plan/assign.jsonl").read_text() == ""
    assert not (tmp_path / "results").exists()


def test_a_changed_chunk_size_is_refused(tmp_path):
    plan(tmp_path, ids(1, 2, 3))
    with pytest.raises(CpdError, match="assigned to train-0001, which chunk_size 3 would move"):
        plan(tmp_path, ids(1, 2, 3), chunk_size=3)


@pytest.mark.parametrize("lost", [1, 20, 60])
def test_a_torn_assignment_is_healed(tmp_path, lost):
    plan(tmp_path, ids(1, 2, 3))
    path = tmp_path / "data/store/k/plan/assign.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-lost])
    plan(tmp_path, ids(1, 2, 3))
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("line", "told"), [("{broken", "not JSON"), ("\udcff", "not JSON"), ("{}", "not an assignment"), ("7", "not an")]
)
def test_a_broken_assignment_is_not_guessed(tmp_path, line, told):
    plan(tmp_path, ids(1, 2, 3))
    path = tmp_path / "data/store/k/plan/assign.jsonl"
    path.write_bytes(line.encode(errors="surrogateescape") + b"\n" + path.read_bytes())
    with pytest.raises(CpdError, match=rf"assign.jsonl:1: {told}"):
        plan(tmp_path, ids(1, 2, 3))


def test_a_plan_that_is_none_is_told(tmp_path):
    path = tmp_path / "plan.jsonl"
    path.write_text(json.dumps({"id": "a"}) + "\n")
    with pytest.raises(CpdError, match=r"plan.jsonl: not a plan"):
        read_plan(path)


def test_unknown_names_are_told(tmp_path):
    config = kinetics_config(tmp_path, ids(1, 2, 3), url=URL, chunk_size=2)
    with pytest.raises(CpdError, match="no source 'x'"):
        check_source(config, "x")
    with pytest.raises(CpdError, match="k has no chunk 'train-0002'"):
        check_source(config, "k", chunk="train-0002")
    check_source(config, "k", chunk="train-0001")
