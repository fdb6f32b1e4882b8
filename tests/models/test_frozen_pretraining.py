"""Pretraining itself with the published encoders and the other backbones: the towers go through the whole engine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cpd.config import Config, Encoder
from cpd.engine.loop import Requeue
from cpd.errors import CpdError
from cpd.models.checkpoint import load_embedder, load_video
from cpd.models.sentence_tower import SentenceTower
from cpd.pretrain import pretrain
from tests.models.published_files import WORDS, write_skip_thoughts, write_word2vec
from tests.small_corpus import COLOURS, MOTIONS, open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    rng = np.random.default_rng(0)
    words = ["square", "goes", *COLOURS, *MOTIONS]
    write_word2vec(folder / "w2v.bin", {word: rng.normal(size=6) for word in words}, binary=True)
    write_skip_thoughts(folder / "skip", words=[*WORDS, *(word for word in words if word not in WORDS)])
    return folder


def with_kind(corpus: Path, kind: str) -> Config:
    config = open_corpus(corpus)
    path = corpus / ("w2v.bin" if kind == "word2vec" else "skip")
    return msgspec.structs.replace(config, encoders={"small": Encoder(path=str(path), kind=kind)})


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many titles each call of `encode` took."""
    calls: list[int] = []
    encode = SentenceTower.encode

    def counted(self: SentenceTower, titles: list[str], batch_size: int = 256) -> torch.Tensor:
        calls.append(len(titles))
        return encode(self, titles, batch_size)

    monkeypatch.setattr(SentenceTower, "encode", counted)
    return calls


@pytest.mark.parametrize("kind", ["word2vec", "skip_thoughts"])
def test_titles_are_encoded_once_and_a_killed_run_goes_on(
    corpus: Path, tmp_path: Path, kind: str, encoded: list[int]
) -> None:
    config = with_kind(corpus, kind)
    pretrain(config, "cpd", seed=0, folder=tmp_path / "whole")
    assert len(encoded) == 2  # the distinct titles of train, and of validation, once each for both epochs
    asked = iter(range(1, 100))
    with pytest.raises(Requeue):
        pretrain(config, "cpd", seed=0, folder=tmp_path / "parts", stop=lambda: "SIGTERM" if next(asked) >= 4 else "")
    pretrain(config, "cpd", seed=0, folder=tmp_path / "parts")
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not any(name.startswith("text.") for name in whole)
    rows = load_embedder(tmp_path / "whole").embed_sentences(["a red square goes left", "a blue square goes right"])
    assert rows.shape == (2, 16)
    assert not torch.allclose(rows[0], rows[1])


def test_a_second_frozen_stage_takes_the_features_that_are_there(
    corpus: Path, tmp_path: Path, encoded: list[int]
) -> None:
    over = {"stages": [{"epochs": 1, "lr": 0.05}, {"epochs": 1, "lr": 0.01}]}
    config = with_kind(corpus, "word2vec")
    config = msgspec.structs.replace(config, experiments={**config.experiments, "control": over})
    pretrain(config, "control", seed=0, folder=tmp_path / "run")
    assert len(encoded) == 2  # train and validation


def test_a_stage_that_would_train_one_ends_before_any_step(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(CpdError, match="kind word2vec, which stays frozen"):
        pretrain(with_kind(corpus, "word2vec"), "curriculum", seed=0, folder=tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_frame_by_frame_network_trains_and_loads(corpus: Path, tmp_path: Path) -> None:
    config = open_corpus(corpus)
    backbone = {"depth": 10, "width": 4, "temporal": False, "shortcut": "A", "folded": True, "channels_last": True}
    config = msgspec.structs.replace(
        config, experiments=config.experiments | {"frames": {"backbone": backbone | {"pixels": "imagenet"}}}
    )
    pretrain(config, "frames", seed=0, folder=tmp_path / "run")
    video, exp = load_video(tmp_path / "run")
    assert exp.backbone.pixels == "imagenet"
    assert video.renormalises
    assert all(m.kernel_size[0] == 1 for m in video.modules() if isinstance(m, torch.nn.Conv3d))
