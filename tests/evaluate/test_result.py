"""Result files: what goes in comes out, and nothing that is not a number."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from cpd.config import Config, load_config
from cpd.errors import CpdError
from cpd.evaluate import result as r


def make(config: Config, values: dict[str, object]) -> r.Result:
    return r.make_result(
        config,
        "cpd-r34@2",
        protocol="knn",
        dataset="ucf101",
        split="1",
        values=values,
        n=7,
        inputs={},
        wall_seconds=1.0,
    )


def test_round_trip(config: Config, tmp_path: Path) -> None:
    made = make(config, {"emb": {"top1": 50.0, "chance": {"top1": 1}}})
    r.write_result(tmp_path / "a.json", made)
    assert r.read_result(tmp_path / "a.json") == made
    assert (made.experiment, made.seed, made.views["clips"]) == ("cpd-r34", 2, 10)
    assert {"python", "torch", "numpy"} <= set(made.versions)


@pytest.mark.parametrize("bad", [math.nan, math.inf, "high", None, True])
def test_what_is_not_a_finite_number_is_refused(config: Config, tmp_path: Path, bad: object) -> None:
    with pytest.raises(CpdError, match=r"emb\.top1"):
        r.write_result(tmp_path / "a.json", make(config, {"emb": {"top1": bad}}))
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"protocol": 1}'])
def test_a_bad_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(CpdError, match=r"bad\.json"):
        r.read_result(tmp_path / "bad.json")


def test_digest_follows_what_the_numbers_depend_on(configfiles: list[Path], tmp_path: Path) -> None:
    def digest(text: str, run: str = "cpd-r34", protocol: str = "knn") -> str:
        (tmp_path / "more.yaml").write_text(text)
        config = load_config(*configfiles, tmp_path / "more.yaml")
        return r.config_digest(config, run, protocol=protocol, dataset="ucf101")

    base = digest("seeds: [0]")
    assert base == digest("evaluate: {linear: {epochs: 3}}") == digest("crawl: {sleep: 1.0}")
    others = [
        digest("evaluate: {knn: {k: 3}}"),
        digest("evaluate: {features: {clips: 2}}"),
        digest("defaults: {heads: {dim: 8}}"),
        digest("seeds: [0]", run="cpd-r34@1"),
        digest("seeds: [0]", run="cpd-r50"),
        digest("seeds: [0]", protocol="linear"),
    ]
    assert len({base, *others}) == 7


def test_runs_and_seeds() -> None:
    assert [r.run_name("a", 0), r.run_name("a", 3)] == ["a", "a@3"]
    assert [r.parse_run("a"), r.parse_run("a@3")] == [("a", 0), ("a", 3)]
    with pytest.raises(CpdError, match="'x' is not a seed"):
        r.parse_run("a@x")


def test_msgspec_struct_is_the_json_of_the_contract() -> None:
    names = {field.name for field in msgspec.structs.fields(r.Result)}
    assert names == {
        "protocol", "run", "experiment", "seed", "dataset", "split", "values", "n", "views", "config_digest",
        "code_digest", "versions", "world_size", "wall_seconds", "inputs",
    }  # fmt: skip


def test_a_protocol_that_was_added_is_recorded_as_on_frozen_features(configfiles: list[Path], tmp_path: Path) -> None:
    """It has no settings of its own and stands in no list: views and digest are those of the features."""

    def digest(text: str) -> str:
        (tmp_path / "more.yaml").write_text(text)
        config = load_config(*configfiles, tmp_path / "more.yaml")
        return r.config_digest(config, "cpd-r34", protocol="centroid", dataset="kinetics")

    base = digest("seeds: [0]")
    assert base == digest("evaluate: {finetune: {epochs: 3}, knn: {k: 3}}")
    assert base != digest("evaluate: {features: {clips: 2}}")
    config = load_config(*configfiles)
    made = {
        protocol: r.make_result(
            config, "cpd-r34", protocol=protocol, dataset="kinetics", split="test", values={}, n=1, inputs={},
            wall_seconds=1.0, code=["cpd.errors"],
        )
        for protocol in ("centroid", "finetune", "knn")
    }  # fmt: skip
    assert made["centroid"].views == made["knn"].views != made["finetune"].views
