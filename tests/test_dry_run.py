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
from cpd.models import encoders
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
    width = encoders.build(config.encoders["small"]).dim
    assert f"main memory a rank: {4 * 10 * width:.1f} MB of text features" in shared
    assert "assuming 20 TFLOP/s on each of 8 GPUs" in shared


def log_of(folder: Path, *rates: float, torn: str = "", **row: int) -> None:
    rows = [{"event": "step", "step": k, "clips_per_second": rate, **row} for k, rate in enumerate(rates)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)


def time_of(corpus: Path, folder: Path, *, gpus: int | None = None) -> str:
    told = describe(open_corpus(corpus), "cpd", seed=0, folder=folder, tflops=20, gpus=gpus)
    return told.splitlines()[-1]


@pytest.mark.parametrize(
    "torn", ["", '{"event": "step", "clips_per_sec', '{"event": "step", "clips_per_second": 900.0}']
)
def test_the_speed_of_a_run_that_began_is_believed(corpus: Path, tmp_path: Path, torn: str) -> None:
    """Also of one that is writing now, or was killed within a line."""
    log_of(tmp_path, 2.0, 4.0, 100.0, world_size=1, torn=torn)
    assert time_of(corpus, tmp_path, gpus=1) == (
        f"time: 5.0 s an epoch, 10.0 s in all (4.0 clips/s measured on 1 rank in {tmp_path})"
    )


def test_a_log_that_ends_within_its_first_line_tells_nothing(corpus: Path, tmp_path: Path) -> None:
    log_of(tmp_path, torn='{"event": "st')
    assert "assuming 20 TFLOP/s" in time_of(corpus, tmp_path)


@pytest.mark.parametrize(
    ("measured", "asked", "seconds", "words"),
    [
        (2, 2, "5.0 s an epoch, 10.0 s in all", "4.0 clips/s measured on 2 ranks in {})"),
        (2, 8, "1.2 s an epoch, 2.5 s in all", "2 ranks in {}; for 8 ranks times 8/2, assuming that speed grows"),
        (4, 1, "20.0 s an epoch, 40.0 s in all", "4 ranks in {}; for 1 rank times 1/4, assuming that speed grows"),
    ],
)
def test_a_speed_is_that_of_a_number_of_ranks(
    corpus: Path, tmp_path: Path, measured: int, asked: int, seconds: str, words: str
) -> None:
    log_of(tmp_path, 2.0, 4.0, 100.0, world_size=measured)
    told = time_of(corpus, tmp_path, gpus=asked)
    assert seconds in told
    assert words.format(tmp_path) in told


def test_a_log_that_names_no_ranks_is_not_believed(corpus: Path, tmp_path: Path) -> None:
    log_of(tmp_path, 2.0, 4.0, 100.0)
    told = time_of(corpus, tmp_path, gpus=2)
    assert "assuming 20 TFLOP/s on each of 2 GPUs" in told
    assert "does not say how many ranks had its 4.0 clips/s" in told


def test_a_damaged_log_is_named(corpus: Path, tmp_path: Path) -> None:
    log_of(tmp_path, torn='{"event": "st\n')
    with pytest.raises(CpdError, match=r"metrics\.jsonl.*") as caught:
        time_of(corpus, tmp_path)
    assert "move it away" in caught.value.hint


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
