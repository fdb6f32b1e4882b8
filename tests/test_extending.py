"""The examples of docs/extending.md do what the page says of them."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cpd.config import Source
from cpd.errors import CpdError
from cpd.evaluate.datasets import Labelled

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
EXAMPLES = dict(re.findall(r'```python title="cpd/\w+/(\w+)\.py"\n(.*?)```', PAGE.read_text(), re.S))


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
    rows = {
        "videos": [
            {"video_id": "video0", "split": "train", "category": 9},
            {"video_id": "video1", "split": "val", "category": 1},
        ],
        "sentences": [
            {"video_id": "video0", "caption": "a car is shown"},
            {"video_id": "video0", "caption": "somebody drives"},
        ],
    }
    path = tmp_path / "videodata.json"
    path.write_text(json.dumps(rows))
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
