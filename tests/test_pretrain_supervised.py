"""The same network trained on labels (Table 4's supervised row)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from cpd.config import Config, experiment
from cpd.engine.distributed import World
from cpd.engine.signals import Requeue
from cpd.errors import CpdError
from cpd.finetune import finetune
from cpd.models.checkpoint import load_video
from cpd.objectives.supervised import Labels
from cpd.pretrain import pretrain
from cpd.pretrain.run import prepare as prepare_pairs
from cpd.pretrain.supervised import prepare
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def with_case(config: Config, **over: object) -> Config:
    case = {"objective": {"name": "supervised"}, **over}
    return msgspec.structs.replace(config, experiments={**config.experiments, "case": case})


def test_the_loss_is_cross_entropy_written_out() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    parts = Labels(torch.tensor([1, 0, 1]))(logits, logits, torch.tensor([1, 2]))
    wanted = -(torch.tensor([2.0, 1.0]) - logits.exp().sum(1).log()).mean()
    torch.testing.assert_close(parts["loss"], wanted)
    assert parts["top1"] == 1.0


def test_it_learns_the_labels_and_leaves_heads_and_language_model_alone(corpus: Path) -> None:
    config = with_case(open_corpus(corpus), stages=[{"epochs": 12, "lr": 0.1}], train={"schedule": "cosine"})
    folder = Path(config.results) / "pretrain" / "case"
    metrics = pretrain(config, "case", seed=0, folder=folder)
    history = metrics["history"]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert metrics["validation"][-1]["n"] == 8
    assert metrics["validation"][-1]["top1"] >= 50  # of 4 colours
    weights, start = load_file(folder / "model.safetensors"), _start(config)
    assert torch.equal(weights["text_head.layers.0.weight"], start["text_head.layers.0.weight"])
    assert not torch.equal(weights["video.stem.0.weight"], start["video.stem.0.weight"])
    assert load_video(folder)[1].objective.name == "supervised"
    assert 0 <= finetune(config, "case", "whole", split="test").values["top1"] <= 100


def _start(config: Config) -> dict[str, torch.Tensor]:
    return prepare_pairs(config, experiment(config, "cpd"), seed=0, world=World()).model.state_dict()


@pytest.mark.parametrize("train", [{}, {"ema": 0.9}])
def test_stopped_and_resumed_is_bit_equal(corpus: Path, tmp_path: Path, train: dict) -> None:
    config = with_case(open_corpus(corpus), train=train)
    pretrain(config, "case", seed=0, folder=tmp_path / "whole")
    asked = iter(range(1, 100))
    with pytest.raises(Requeue):
        pretrain(config, "case", seed=0, folder=tmp_path / "parts", stop=lambda: "USR1" if next(asked) >= 4 else "")
    pretrain(config, "case", seed=0, folder=tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_what_has_no_meaning_is_refused(corpus: Path) -> None:
    config = with_case(open_corpus(corpus), stages=[{"epochs": 1, "lr": 0.1, "lr_text": 0.1}])
    with pytest.raises(CpdError, match="has no text"):
        prepare(config, experiment(config, "case"), seed=0, world=World())


def test_a_video_without_a_label_is_named(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cpd.pretrain import run

    def without(results: Path, parts: list) -> object:
        table = real(results, parts)
        table.meta[3]["label"] = ""
        return table

    real = run.open_table
    monkeypatch.setattr(run, "open_table", without)
    config = with_case(open_corpus(corpus))
    with pytest.raises(CpdError, match="1 samples have no label, first "):
        prepare(config, experiment(config, "case"), seed=0, world=World())
