"""The defects of the authors' code (PAPER section 4), one regression test each, named after it.

(b) and (f) are in tests/engine (they need ranks and the loop), (c) is in tests/test_finetune.py.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
import torch

from cpd import config as cpd_config
from cpd.config import Views
from cpd.engine.distributed import World
from cpd.models.resnet3d import slow_resnet
from cpd.models.text_tower import TextTower
from cpd.objectives import cross_pair
from cpd.objectives.bank import Bank
from cpd.objectives.noise import NoiseSource
from cpd.pretrain.run import Pretraining, prepare
from cpd.shards.loader import clip_loader
from cpd.video.sample import train_indices
from cpd.video.transforms import train_clip
from tests.small_corpus import break_video, open_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder)
    return folder


@pytest.fixture
def run(corpus: Path) -> Pretraining:
    config = open_corpus(corpus)
    return prepare(config, cpd_config.experiment(config, "cpd"), seed=0, world=World())


@pytest.mark.parametrize("depth", [10, 50])
def test_defect_a_shortcuts_pass_gradients_and_keep_time(depth: int) -> None:
    """The authors built shortcut A from `.data`, and an int stride in B strode over time."""
    module = slow_resnet(depth, width=4).stages[2][0]  # res4's first block halves the map and doubles the channels
    last = module.bn2 if depth == 10 else module.bn3
    torch.nn.init.zeros_(last.weight)  # nothing passes the other path: what arrives came by the shortcut
    torch.nn.init.ones_(last.bias)
    x = torch.randn(2, module.conv1.in_channels, 6, 8, 8, requires_grad=True)
    out = module(x)
    assert out.shape[2:] == (6, 4, 4)
    out.square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.shortcut.parameters())


def test_defect_d_padding_does_not_change_a_text_feature(corpus: Path) -> None:
    """Without an attention mask the authors' padded and unpadded titles have a cosine of 0.89."""
    tower = TextTower.from_path(str(corpus / "encoder"), max_tokens=16).eval()
    short, long = "a red square", "a red square goes left a blue square goes right"
    with torch.no_grad():
        alone = tower(**tower.tokenize([short]))[0]
        padded = tower(**tower.tokenize([short, long]))[0]
    assert torch.cosine_similarity(alone, padded, dim=0) == pytest.approx(1.0, abs=1e-6)


def test_defect_e_no_eps_inside_the_log() -> None:
    """log(h + eps) caps the loss at -log(eps) and loses small ones; ours is the fp64 value, with its gradient."""
    bank_ND = torch.eye(2)
    noise_BM = torch.ones(1, 1, dtype=torch.int64)
    for cosine, tau in ((1.0, 0.04), (-1.0, 0.005)):
        f_BD = torch.tensor([[cosine, 0.0]], requires_grad=True)
        loss = cross_pair.nce_loss(f_BD, bank_ND, torch.zeros(1, dtype=torch.int64), noise_BM, tau=tau, log_z=-50.0)
        positive = cosine / tau + 50.0
        noise = 50.0
        wanted = math.log1p(math.exp(-positive)) + noise + math.log1p(math.exp(-noise))
        assert loss.item() == pytest.approx(wanted, rel=1e-6)
        loss.backward()
    assert f_BD.grad is not None
    assert f_BD.grad[0, 0].item() == pytest.approx(-200.0, rel=1e-4)  # with eps inside the log it is 0 here


def test_defect_g_banks_are_in_no_broadcast(run: Pretraining) -> None:
    """DDP sent 430 MB of bank buffers in every forward pass: ours belong to no module at all."""
    bank = Bank(20, 16, seed=0)
    assert not isinstance(bank, torch.nn.Module)
    assert not isinstance(run.objective, torch.nn.Module)
    tensors = [*run.model.parameters(), *run.model.buffers()]
    assert not any(tensor.shape == bank.rows_ND.shape for tensor in tensors)


def test_defect_h_validation_is_deterministic(run: Pretraining) -> None:
    """The authors validated on random crops: the same weights scored differently each time."""
    first = run.held_out()
    for seed in (1, 2):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        assert run.held_out() == first


def test_defect_i_uniform_noise_needs_no_table() -> None:
    """A Python loop over N built an alias table; for N = 10^15 nothing but a plain draw can work."""
    source = NoiseSource(10**15, seed=0, device="cpu")
    rows = source.draw_for(torch.tensor([3, 10**15 - 1]), 1000, purpose="v2t")
    assert rows.min() >= 0
    assert rows.max() < 10**15
    assert rows.double().mean().item() == pytest.approx(5e14, rel=0.1)


def test_defect_j_frames_are_exactly_the_stride_apart() -> None:
    """linspace gave a spacing of 4.43."""
    rng = np.random.default_rng(0)
    for n_frames in (29, 40, 250):
        indices = train_indices(n_frames, Views(), rng)
        assert np.diff(indices).tolist() == [4] * 7


def test_defect_k_a_bad_video_is_reported_and_no_other_takes_its_place(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    config = open_corpus(tmp_path)
    run = prepare(config, cpd_config.experiment(config, "cpd"), seed=0, world=World())
    table = run.clips.table
    break_video(config, "pairs", "train", table.keys[5])
    batches = clip_loader(table, views=run.exp.views, batches=[[4, 5, 6, 7]], seed=0, epoch=0, workers=0, train=True)
    (batch,) = list(batches)
    assert [key for key, _ in batch.failed] == [table.keys[5]]
    assert batch.index_B.tolist() == [4, 6, 7]
    assert batch.keys == [table.keys[i] for i in (4, 6, 7)]


def test_defect_l_the_gallery_is_whole_whatever_the_batch(corpus: Path) -> None:
    """The last incomplete batch fell out of the authors' validation, so that its gallery varied."""
    config = open_corpus(corpus)
    for n in (3, 7, 8, 10):
        exp = cpd_config.experiment(config, "cpd")
        exp = msgspec.structs.replace(exp, validation=cpd_config.Validation(source="pairs", n=n))
        score = prepare(config, exp, seed=0, world=World()).held_out()
        assert score.values["n"] == n


def test_defect_m_colours_are_jittered_alike_in_all_frames() -> None:
    """The authors left colour jitter out, against the paper."""
    assert Views().jitter > 0
    picture = np.random.default_rng(0).integers(60, 200, (48, 48, 3), dtype=np.uint8)
    frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for _ in range(4)]
    plain = Views(frames=4, size=48, scales=(1.0,), flip=False, jitter=0.0)
    jittered = Views(frames=4, size=48, scales=(1.0,), flip=False)
    still = train_clip(frames, plain, np.random.default_rng(1))
    moved = [train_clip(frames, jittered, np.random.default_rng(seed)) for seed in (1, 2)]
    assert not np.array_equal(moved[0], still)
    assert not np.array_equal(moved[0], moved[1])
    for clip_THWC in moved:
        assert all(np.array_equal(clip_THWC[0], frame) for frame in clip_THWC)
