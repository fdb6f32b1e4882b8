"""An imported network goes through the evaluation commands like a trained one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from cpd.cli import main
from cpd.evaluate import features
from tests.models import foreign
from tests.small_corpus import write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    file = write_corpus(folder)
    weights = folder / "resnet50.pth"
    torch.save(foreign.video_state("torchvision") | foreign.classifier("torchvision"), weights)
    config = yaml.safe_load(file.read_text())
    backbone = {"depth": 50, "width": foreign.WIDTH, "temporal": False, "pixels": "imagenet", "weights": str(weights)}
    config["experiments"]["imagenet"] = {"objective": {"name": "none"}, "stages": [], "backbone": backbone}
    views = {"clips": 2, "crops": 1, "frames": 4, "stride": 2, "size": 24}
    config["evaluate"] |= {"features": views, "linear": {"epochs": 2, "batch": 8}, "knn": {"k": 3}}
    file.write_text(yaml.safe_dump(config))
    return file


def test_features_knn_linear_and_finetuning(corpus: Path) -> None:
    results = corpus.parent / "results"

    def cpd(*words: str) -> None:
        assert main([*words, "--configfile", str(corpus)]) == 0

    cpd("import", "imagenet")
    cpd("features", "--run", "imagenet", "--source", "acts", "--split", "all")
    found = features.load(results / "features" / "imagenet" / "acts-all.safetensors")
    assert found.res5_NF.shape == (32, 128)
    assert np.isfinite(found.res5_NF.numpy()).all()
    for protocol in ("knn", "linear", "finetune"):
        cpd(protocol, "--run", "imagenet", "--dataset", "acts", "--split", "1")
        result = json.loads((results / "eval" / "imagenet" / protocol / "acts-1.json").read_text())
        assert str(results / "pretrain" / "imagenet" / "model.safetensors") in result["inputs"]
    assert (results / "pretrain" / "imagenet" / "metrics.json").exists()
