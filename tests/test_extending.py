"""The examples of docs/extending.md do what the page says of them, alone and in a copy of the package."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
import torch
import yaml

from cpd.config import Source, load_config
from cpd.errors import CpdError
from cpd.evaluate.datasets import Labelled
from cpd.evaluate.features import features_path
from cpd.evaluate.result import config_digest, read_result
from cpd.fileio import sha256_file
from cpd.sources.crawl_job import Job
from cpd.sources.ledger import Ledger
from cpd.sources.pair import Pair
from tests.evaluate.feature_files import put_features
from tests.small_corpus import write_corpus

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "extending.md"
FILES = dict(re.findall(r'```python title="([^"]+)"\n(.*?)```', PAGE.read_text(), re.S))
DIFFS = re.findall(r'```diff title="([^"]+)"\n(.*?)```', PAGE.read_text(), re.S)
EXAMPLES = {Path(name).stem: text for name, text in FILES.items() if "/commands/" not in name}
ROWS = {
    "videos": [
        {"video_id": "video0", "split": "train", "category": 9},
        {"video_id": "video1", "split": "val", "category": 1},
    ],
    "sentences": [
        {"video_id": "video0", "caption": "a car is shown"},
        {"video_id": "video0", "caption": "somebody drives"},
    ],
}


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    """The module that the page gives under this name."""
    path = tmp_path / f"{request.param}.py"
    path.write_text(EXAMPLES[request.param])
    spec = importlib.util.spec_from_file_location(request.param, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, request.param, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("example", ["msrvtt"], indirect=True)
def test_the_source_reads_pairs(example: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "videodata.json"
    path.write_text(json.dumps(ROWS))
    lists = {"train": str(path), "val": str(path)}
    source = Source(kind="folder", lists=lists, pairs={"train": 1, "val": 1}, videos="clips")
    pairs = example.read("msrvtt", source)
    assert [(p.id, p.title, p.path, p.label) for p in pairs["train"]] == [
        ("video0", "a car is shown", "clips/video0.mp4", "9")
    ]
    assert [(p.id, p.title) for p in pairs["val"]] == [("video1", "")]
    with pytest.raises(CpdError, match="videos is missing"):
        example.read("msrvtt", Source(kind="folder", lists=lists, pairs={"train": 1, "val": 1}))


@pytest.mark.parametrize("example", ["hashed_tower"], indirect=True)
def test_the_encoder_encodes(example: ModuleType) -> None:
    tower = example.HashedTower(dim=64, max_tokens=8)
    same, also, other = tower.encode(["a red ball", "Ball red a", "two green stars"])
    assert torch.equal(same, also)
    assert same.norm().item() == pytest.approx(1.0)
    assert not torch.equal(same, other)


@pytest.mark.parametrize("example", ["alignment"], indirect=True)
def test_the_objective_trains(example: ModuleType) -> None:
    v_BD = torch.randn(4, 8, requires_grad=True)
    t_BD = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
    objective = example.Alignment()
    first = objective(torch.nn.functional.normalize(v_BD, dim=1), t_BD, torch.arange(4))["loss"]
    first.backward()
    assert v_BD.grad is not None
    moved_BD = torch.nn.functional.normalize(v_BD.detach() - 0.1 * v_BD.grad, dim=1)
    assert objective(moved_BD, t_BD, torch.arange(4))["loss"] < first
    objective.load_state_dict(objective.state_dict())


@pytest.mark.parametrize("example", ["centroid"], indirect=True)
def test_the_protocol_measures(example: ModuleType) -> None:
    items_ND = torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.1, 1.0], [-0.1, 1.0]])
    train = Labelled(features={"res5": items_ND}, labels=["x", "x", "y", "y"], keys=list("abcd"))
    test = Labelled(features={"res5": items_ND[[0, 2]]}, labels=["x", "x"], keys=["e", "f"])
    measured = example.evaluate(train, test)
    assert measured.values["res5"]["top1"] == 50.0
    assert measured.predictions.top5["res5"] == [[0, 1], [1, 0]]


def apply_diff(path: Path, diff: str) -> None:
    """Do what a diff of the page says: each of its hunks, parted by @@, stands once in the file."""
    text = path.read_text()
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(old) == 1, f"{path.name} has not once what docs/extending.md changes:\n{old}"
        text = text.replace(old, new)
    path.write_text(text)


@dataclass(frozen=True)
class Extended:
    """A copy of the project in `folder` that has what the page adds, and a config in which all of it is used."""

    folder: Path
    over: Path

    @property
    def configfiles(self) -> tuple[Path, Path]:
        return self.folder / "config.yaml", self.over

    def python(self, *args: str) -> str:
        """What Python says of these arguments, with the copy before the package itself."""
        env = os.environ | {
            "PYTHONPATH": str(self.folder),
            "CPD_CONFIGFILES": os.pathsep.join(map(str, self.configfiles)),
        }
        done = subprocess.run(
            [sys.executable, *args], capture_output=True, text=True, check=False, cwd=self.folder, env=env
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def cpd(self, *args: str) -> str:
        return self.python("-m", "cpd", *args)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    folder = tmp_path_factory.mktemp("extended")
    for name in ("cpd", "workflow", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder)
    for name, text in FILES.items():
        assert not (folder / name).exists(), f"docs/extending.md: {name} is there already"
        (folder / name).write_text(text)
    for name, diff in DIFFS:
        apply_diff(folder / name, diff)
    return Extended(folder, _write_overlay(folder))


def _write_overlay(folder: Path) -> Path:
    """A source of the new kind, and an experiment and a table that use encoder, objective and protocol."""
    (folder / "videodata.json").write_text(json.dumps(ROWS))
    lists = dict.fromkeys(("train", "val"), str(folder / "videodata.json"))
    clips = folder / "clips"
    clips.mkdir()
    column = {"name": "centroid", "protocol": "centroid", "dataset": "kinetics", "metric": "res5.top1"}
    over = {
        "results": str(folder / "results"),
        "sources": {
            "msrvtt": {"kind": "msrvtt", "lists": lists, "pairs": {"train": 1, "val": 1}, "videos": str(clips)}
        },
        "encoders": {"hashed": {"kind": "hashed", "path": "none"}},
        "experiments": {
            "alone": {"sources": ["msrvtt"], "encoder": "hashed", "objective": {"name": "alignment"}},
        },
        "evaluate": {"features": {"clips": 4}},
        "tables": {"new": {"title": "new", "columns": [column], "rows": [{"name": "alone", "run": "alone"}]}},
    }
    (folder / "over.yaml").write_text(yaml.safe_dump(over))
    return folder / "over.yaml"


def test_a_new_source_is_planned_chunk_by_chunk(extended: Extended) -> None:
    assert extended.cpd("chunks", "--source", "msrvtt") == "msrvtt: 2 ids in 2 chunks\n"
    plan = extended.folder / "results" / "sources" / "msrvtt" / "plan" / "train-0000.jsonl"
    assert json.loads(plan.read_text())["title"] == "a car is shown"


def test_a_missing_list_of_a_new_source_is_told(extended: Extended, tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text("sources: {msrvtt: {lists: {train: gone.json, val: gone.json}}}")
    files = [*extended.configfiles, tmp_path / "gone.yaml"]
    with pytest.raises(AssertionError, match=r"gone\.json \(sources\.msrvtt\.lists\.train\): docs/data\.md"):
        extended.cpd("chunks", "--source", "msrvtt", "--configfile", *map(str, files))


@pytest.mark.parametrize(("kind", "title"), [("kinetics", "of the page"), ("msrvtt", "of the list")])
def test_a_new_source_that_is_crawled_keeps_its_list_s_titles(tmp_path: Path, kind: str, title: str) -> None:
    config = load_config(ROOT / "config.yaml")
    source = msgspec.structs.replace(config.sources["kinetics"], kind=kind)
    config = msgspec.structs.replace(config, results=str(tmp_path), data=str(tmp_path), sources={"new": source})
    pair = Pair(id="video0", source="new", split="train", url="https://example.org/0", title="of the list")
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        assert Job(config, "new", "train-0000", ledger)._title(pair, "of the page") == title


@pytest.mark.slow
def test_what_is_new_is_planned(extended: Extended) -> None:
    plan = json.loads(extended.cpd("plan", "--json", "--table", "new"))
    assert plan["total"]["jobs"]["centroid"] == 1
    assert plan["total"]["jobs"]["features"] == 2
    assert [found["experiment"] for found in plan["experiments"]] == ["alone"]


@pytest.mark.slow
def test_a_new_protocol_says_what_it_measured(extended: Extended) -> None:
    paper = extended.folder / "paper.yaml"  # the same settings for the package, which knows nothing of what is new
    paper.write_text(f"results: {extended.folder / 'results'}\nevaluate: {{features: {{clips: 4}}}}\n")
    config = load_config(ROOT / "config.yaml", paper)
    for split in ("train", "val"):
        put_features(config, "cpd-r34", source="kinetics", split=split, text=False)
    said = extended.cpd("centroid", "--run", "cpd-r34", "--dataset", "kinetics")
    path = extended.folder / "results" / "eval" / "cpd-r34" / "centroid" / "kinetics-test.json"
    assert str(path) in said
    result = read_result(path)
    assert result.values["emb"]["top1"] == 100.0
    assert (result.views["clips"], result.views["crops"]) == (4, 1)
    features = features_path(config, "cpd-r34", source="kinetics", split="val")
    assert result.inputs[str(features)] == sha256_file(features)
    assert result.config_digest == config_digest(config, "cpd-r34", protocol="centroid", dataset="kinetics")


@pytest.mark.slow
def test_a_new_protocol_has_a_rule(extended: Extended) -> None:
    wanted = extended.folder / "results" / "tables" / "new.md"
    files = list(map(str, extended.configfiles))
    said = extended.python("-m", "snakemake", "-n", "--cores", "1", "--configfile", *files, "--", str(wanted))
    assert re.search(r"^centroid +1$", said, re.M)
    assert re.search(r"^features +2$", said, re.M)


JOURNEY = """
import sys
from pathlib import Path

from cpd.cli import main
from cpd.config import load_config
from cpd.search.gallery import open_gallery
from cpd.search.place import find_run

path = sys.argv[1]
for verb in (
    "pretrain alone",
    "features --run alone --source acts --split all",
    "centroid --run alone --dataset acts --split 1",
):
    assert main([*verb.split(), "--configfile", path]) == 0, verb
gallery = open_gallery(find_run("alone", load_config(Path(path))), source="acts", split="all")
print("has_text", gallery.has_text)
"""


@pytest.mark.slow
def test_a_run_of_a_new_encoder_and_objective_trains(extended: Extended, tmp_path: Path) -> None:
    path = write_corpus(tmp_path)
    config = yaml.safe_load(path.read_text())
    config["encoders"]["hashed"] = {"kind": "hashed", "path": "none"}
    stages = [{"epochs": 1, "lr": 0.05}]
    config["experiments"]["alone"] = {"encoder": "hashed", "objective": {"name": "alignment"}, "stages": stages}
    path.write_text(yaml.safe_dump(config))
    said = extended.python("-c", JOURNEY, str(path))
    written = json.loads((tmp_path / "results" / "pretrain" / "alone" / "config.json").read_text())
    assert (written["encoder"]["kind"], written["text_dim"]) == ("hashed", 512)
    assert re.search(r"res5\.motion", said), "the classes' factors are scored, too"
    assert said.endswith("has_text True\n"), "the search page does not deny that it learned from titles"
