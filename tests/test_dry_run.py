"""`cpd pretrain --dry-run`: what it says of parameters, MACs, memory and time is what training takes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpd.cli import main
from cpd.config import Views
from cpd.errors import CpdError
from cpd.models.resnet3d import slow_resnet
from cpd.pretrain import estimate
from cpd.pretrain.estimate import describe, measure, steps_of
from cpd.shards.loader import epoch_batches
from tests.small_corpus import open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


def test_multiply_adds_are_the_paper_s_and_activations_those_of_a_real_pass() -> None:
    assert measure(slow_resnet(34), Views(), clips=2).macs == pytest.approx(11.77e9, rel=1e-3)
    network, views = slow_resnet(10, width=4), Views(frames=4, size=32)
    cost = measure(network, views, clips=3)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = network(torch.randn(3, 3, 4, 32, 32))
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    assert cost.activations == sum(size for place, size in kept.items() if place not in own)
    assert out.shape == (3, 32)


@given(n=st.integers(1, 300), batch=st.integers(2, 40), ranks=st.integers(1, 4))
def test_steps_are_as_many_as_the_loader_makes(n: int, batch: int, ranks: int) -> None:
    assert steps_of(n, batch=batch, ranks=ranks) == len(epoch_batches(n, batch=batch, seed=0, epoch=0, world=ranks))


def test_ten_million_pairs_fit_by_sharing(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = open_corpus(corpus)
    over = {"heads": {"dim": 256}, "train": {"batch": 512}}
    cases = {name: {**over, "objective": {"shard_banks": name == "shared"}} for name in ("shared", "whole")}
    config = msgspec.structs.replace(config, experiments={**config.experiments, **cases})
    monkeypatch.setattr(estimate, "open_table", lambda results, parts: range(10_000_000))
    shared = describe(config, "shared", seed=0, folder=tmp_path, tflops=20)
    whole = describe(config, "whole", seed=0, folder=tmp_path, tflops=20)
    assert "  banks: 2.56 GB" in shared
    assert "  banks: 20.48 GB" in whole
    assert "(banks whole: 20.48 GB; shared by 8 ranks: 2.56 GB)" in shared
    assert "10000000 pairs" in shared
    assert "assuming 20 TFLOP/s on each of 8 GPUs" in shared


def test_the_speed_of_a_run_that_began_is_believed(corpus: Path, tmp_path: Path) -> None:
    rows = [{"event": "step", "step": k, "clips_per_second": rate} for k, rate in enumerate((2.0, 4.0, 100.0))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = describe(open_corpus(corpus), "cpd", seed=0, folder=tmp_path, tflops=20)
    assert "time: 5.0 s an epoch, 10.0 s in all (4.0 clips/s measured" in told


def test_in_batch_objectives_have_no_banks(corpus: Path, tmp_path: Path) -> None:
    told = describe(open_corpus(corpus), "ranking", seed=0, folder=tmp_path, tflops=20)
    assert "banks: 0.0 MB" in told
    assert "shared by" not in told


def test_a_tracker_that_is_not_installed_is_told_before_a_gpu_is_booked(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = open_corpus(corpus)
    config = msgspec.structs.replace(config, experiments={"case": {"train": {"log": ["wandb"]}}})
    with pytest.raises(CpdError, match="wandb is not installed"):
        describe(config, "case", seed=0, folder=tmp_path, tflops=20)


def test_command(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "cpd", "--dry-run", "--tflops", "0.001", "--configfile", str(corpus / "config.yaml")]) == 0
    told = capsys.readouterr().out
    for words in ("parameters: video", "GMAC a clip of 4 x 24 x 24", "memory a rank", "activations of", "time: "):
        assert words in told
    assert "assuming 0.001 TFLOP/s" in told
