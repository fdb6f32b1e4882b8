"""Every way in which built results can be wrong is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cpd.check.counts import problems_of_counts
from cpd.check.results import check
from cpd.check.values import problems_of_values
from cpd.cli import main
from cpd.evaluate.result import model_path, read_result
from tests.check.world import World, make_world, retrieval


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def test_a_world_in_order_has_no_problem(world: World) -> None:
    found = check(world.config)
    assert found.problems == []
    assert (found.tables, found.cells, found.results, found.runs) == (1, 2, 4, 2)


Damage = Callable[[World], Any]
CASES: dict[str, tuple[Damage, str]] = {
    "above 100": (lambda w: w.put("cpd-r34", "finetune", {"top1": 100.5, "top5": 101.0}, n=3), "not a percentage"),
    "below 0": (lambda w: w.put("cpd-r34", "finetune", {"top1": -1.0, "top5": 1.0}, n=3), "top1 is -1.0"),
    "top5 below top1": (lambda w: w.put("cpd-r34", "finetune", {"top1": 80.0, "top5": 70.0}, n=3), "above top5"),
    "recall falls": (lambda w: w.put("cpd-r34", "retrieval", retrieval(r10=20.0), n=4), "t2v.r1 25.0 is above"),
    "rank 0": (lambda w: w.put("cpd-r34", "retrieval", retrieval(rank=0.0), n=4), "not a rank among 4"),
    "rank above n": (lambda w: w.put("cpd-r34", "retrieval", retrieval(rank=4.5), n=4), "not a rank among 4"),
    "one item too few": (
        lambda w: w.put("cpd-r34", "finetune", {"top1": 80.0, "failed": 0}, n=2),
        "n is 2, but ucf101-1 has 3 test items",
    ),
    "one item too many": (lambda w: w.put("cpd-r34", "retrieval", retrieval(), n=5), "n is 5"),
    "half a failed": (lambda w: w.put("cpd-r34", "finetune", {"top1": 1.0, "failed": 0.5}, n=3), "not a count"),
    "a seed is missing": (lambda w: w.result("cpd-r34@1", "finetune").unlink(), "missing: "),
    "a result is torn": (lambda w: w.result("cpd-r34", "finetune").write_text("{"), "finetune/ucf101-1.json"),
    "other weights": (
        lambda w: model_path(w.config, "cpd-r34").write_bytes(b"others"),
        "was not measured on",
    ),
    "no weights": (lambda w: model_path(w.config, "cpd-r34").unlink(), "model.safetensors is not there"),
    "another experiment": (
        lambda w: w.edit(model_path(w.config, "cpd-r34").with_name("config.json"), experiment={"title": "title"}),
        "trained with another title",
    ),
    "no config.json": (
        lambda w: model_path(w.config, "cpd-r34").with_name("config.json").unlink(),
        "config.json is not there",
    ),
    "other settings": (
        lambda w: (w.folder / "over.yaml").write_text(
            (w.folder / "over.yaml").read_text().replace("retrieval: {n: 4}", "retrieval: {n: 3}")
        ),
        "other settings than the config's",
    ),
    "no provenance": (lambda w: w.edit(w.result("cpd-r34", "finetune"), versions={}), "has no provenance"),
    "of another run": (
        lambda w: w.result("cpd-r34", "finetune").write_bytes(w.result("cpd-r34@1", "finetune").read_bytes()),
        "says that it is",
    ),
    "renamed": (lambda w: w.edit(w.result("cpd-r34", "finetune"), experiment="other"), "is of other with seed 0"),
    "no lists": (
        lambda w: (Path(w.config.results) / "sources" / "ucf101" / "crawl" / "all-0000.jsonl").unlink(),
        "all-0000.jsonl",
    ),
    "a table by hand": (
        lambda w: (Path(w.config.results) / "tables" / "control.json").write_text(
            (Path(w.config.results) / "tables" / "control.json").read_text().replace("80.0", "90.0")
        ),
        "control.json is not what the results say",
    ),
    "no table": (
        lambda w: (Path(w.config.results) / "tables" / "control.json").unlink(),
        "control.json is not there",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_violation_is_found(world: World, name: str) -> None:
    damage, wanted = CASES[name]
    damage(world)
    assert [problem for problem in check(world.config).problems if wanted in problem], check(world.config).problems


def test_results_that_read_different_files_of_one_name_are_told(world: World) -> None:
    for protocol, digest in (("finetune", "one"), ("retrieval", "another")):
        path = world.result("cpd-r34", protocol)
        inputs = json.loads(path.read_text())["inputs"]
        world.edit(path, inputs={**inputs, "index.json": digest})
    assert [p for p in check(world.config).problems if "index.json was not the same" in p]


def test_items_that_could_not_be_decoded_are_no_problem(world: World) -> None:
    for run in ("cpd-r34", "cpd-r34@1"):
        world.put(run, "finetune", {"top1": 80.0, "top5": 90.0, "failed": 1}, n=2)
    world.build_tables()
    assert check(world.config).problems == []


def test_failures_of_the_features_are_asked_only_when_n_is_not_the_lists(world: World) -> None:
    world.put("cpd-r34", "retrieval", retrieval(rank=1.0), n=3)
    problems = check(world.config).problems
    assert [problem for problem in problems if "features/cpd-r34/kinetics-val" in problem], problems


def test_a_protocol_that_was_added_is_one_on_features(world: World) -> None:
    """Those that could not be decoded are named by its features, as for the protocols that there are."""
    world.put("cpd-r34", "centroid", {"emb": {"top1": 50.0}}, n=4)
    result = read_result(world.result("cpd-r34", "centroid"))
    assert [
        problem for problem in problems_of_counts(world.config, result) if "features/cpd-r34/kinetics-val" in problem
    ]


def test_nested_values_are_walked(world: World) -> None:
    result = read_result(world.result("cpd-r34", "finetune"))
    deep = msgspec.structs.replace(result, values={"emb": {"top1": 5.0, "chance": {"top1": 200.0}}, "x": True})
    assert problems_of_values(deep) == ["x is True, not a number", "emb.chance.top1 is 200.0, not a percentage"]


def test_command_writes_only_when_all_is_well(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    output = world.folder / "check.json"
    arguments = ["table", "--check", "--output", str(output), "--configfile", *map(str, world.configfiles)]
    assert main(arguments) == 0
    assert "ok: 2 measured cells of 1 tables, from 4 results of 2 runs" in capsys.readouterr().out
    assert json.loads(output.read_text())["problems"] == []
    output.unlink()
    world.put("cpd-r34", "finetune", {"top1": 180.0}, n=3)
    assert main(arguments) == 1
    assert "top1 is 180.0, not a percentage" in capsys.readouterr().err
    assert not output.exists()
