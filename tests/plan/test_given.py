"""Files that a person puts there: which they are, and what is said when they are not there."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from cpd.cli import main
from cpd.config import Config, load_config
from cpd.errors import CpdError
from cpd.fileio import sha256_file
from cpd.models import skip_thoughts
from cpd.plan import given

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def paper() -> Config:
    return load_config(ROOT / "config.yaml")


def test_the_published_files_are_those_that_the_encoder_reads() -> None:
    assert given.SKIP_THOUGHTS == skip_thoughts.FILES


def test_every_kind_of_source_says_where_it_can_be_had(paper: Config) -> None:
    kinds = msgspec.json.schema(Config)["$defs"]["Source"]["properties"]["kind"]["enum"]
    assert set(given.SOURCES) == set(kinds)
    assert [one.key for one in given.of_source(paper, "lsmdc")] == ["sources.lsmdc.lists.train", "sources.lsmdc.videos"]
    lists = paper.sources["kinetics"].lists
    assert {str(one.path) for one in given.of_source(paper, "kinetics")} == set(lists.values())


def test_the_demo_makes_its_own() -> None:
    demo = load_config(ROOT / "config.yaml", ROOT / "config.demo.yaml")
    assert not [one for name in demo.sources for one in given.of_source(demo, name)]
    assert not [key for name in demo.run for key in given.keys_of_run(demo, name)]


def test_runs_read_files_of_their_encoder_and_weights(paper: Config) -> None:
    assert given.keys_of_run(paper, "cpd-r34-tree-skip") == ["encoders.skip-thoughts"]
    assert given.keys_of_run(paper, "cpd-r34") == [], "a hub name"
    assert given.keys_of_run(paper, "imagenet-r50") == [], "an address"
    assert len(given.of_key(paper, "encoders.skip-thoughts")) == 6


def test_a_local_folder_of_transformers_counts_with_every_file(paper: Config, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    encoder = msgspec.structs.replace(paper.encoders["distilbert"], path=str(tmp_path))
    local = msgspec.structs.replace(paper, encoders={**paper.encoders, "distilbert": encoder})
    assert [one.path.name for one in given.of_encoder(local, "distilbert")] == ["config.json", "model.safetensors"]


def test_command_names_file_key_and_place_then_digests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    over = tmp_path / "over.yaml"
    over.write_text("experiments: {cpd-r34: {backbone: {weights: mine/weights.pth}}}\n")
    arguments = ["given", "experiments.cpd-r34", "--output", "out.json", "--configfile", str(ROOT / "config.yaml")]
    assert main([*arguments, str(over)]) == 2
    told = capsys.readouterr().err
    for words in ("mine/weights.pth", "experiments.cpd-r34.backbone.weights", "cpd import"):
        assert words in told
    assert not (tmp_path / "out.json").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "weights.pth").write_bytes(b"weights")
    assert main([*arguments, str(over)]) == 0
    assert json.loads((tmp_path / "out.json").read_text()) == {"mine/weights.pth": sha256_file("mine/weights.pth")}


def test_unknown_keys_are_told(paper: Config) -> None:
    for key in ("encoders.nope", "nope.distilbert", "encoders"):
        with pytest.raises(CpdError, match="in the config"):
            given.of_key(paper, key)


def test_chunks_of_a_source_without_its_list_say_where_it_can_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["chunks", "--source", "lsmdc", "--configfile", str(ROOT / "config.yaml")]) == 2
    told = capsys.readouterr().err
    for words in (
        "data/lists/lsmdc",
        "sources.lsmdc.lists.train",
        "agreement",
        "data/videos/lsmdc",
        "sources.lsmdc.videos",
    ):
        assert words in told
