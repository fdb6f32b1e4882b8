"""The four losses against their definitions, written out loop by loop, and against lightly's."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from cpd.objectives.rho import byol, moco, simclr, swav
from cpd.objectives.rho.pairs import agreement, mean_over_pairs
from tests.objectives.rho.lightly_modules import lightly

sizes = {"views": st.integers(2, 4), "videos": st.integers(2, 5), "seed": st.integers(0, 99)}


def unit(*shape: int, seed: int) -> Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)


def pairs(views: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(views) for j in range(views) if i != j]


def slow_moco(q: Tensor, k: Tensor, queue: Tensor, tau: float) -> Tensor:
    found = []
    for i, j in pairs(len(q)):
        for b in range(q.shape[1]):
            scores = [q[i, b] @ k[j, b] / tau] + [q[i, b] @ row / tau for row in queue]
            found.append(-torch.log(scores[0].exp() / sum(score.exp() for score in scores)))
    return sum(found) / len(found)


def slow_simclr(z: Tensor, tau: float) -> Tensor:
    found = []
    for i, j in pairs(len(z)):
        for b in range(z.shape[1]):
            others = [(v, g) for v in range(len(z)) for g in range(z.shape[1]) if g != b]
            scores = [z[i, b] @ z[j, b] / tau] + [z[i, b] @ z[v, g] / tau for v, g in others]
            found.append(-torch.log(scores[0].exp() / sum(score.exp() for score in scores)))
    return sum(found) / len(found)


def slow_byol(p: Tensor, k: Tensor) -> Tensor:
    found = [-2 * (p[i, b] @ k[j, b]) for i, j in pairs(len(p)) for b in range(p.shape[1])]
    return sum(found) / len(found)


def slow_sinkhorn(score: Tensor, epsilon: float, iterations: int) -> Tensor:
    code = (score / epsilon).exp()
    videos, prototypes = code.shape
    for _ in range(iterations):
        for k in range(prototypes):
            code[:, k] *= videos / prototypes / code[:, k].sum()
        for b in range(videos):
            code[b] /= code[b].sum()
    return code


def slow_swav(score: Tensor, code: Tensor, tau: float) -> Tensor:
    found = []
    for i, j in pairs(len(score)):
        for b in range(score.shape[1]):
            p = (score[i, b] / tau).exp() / (score[i, b] / tau).exp().sum()
            found.append(-sum(code[j, b, k] * torch.log(p[k]) for k in range(len(p))))
    return sum(found) / len(found)


def same(got: Tensor, wanted: Tensor, *inputs: Tensor) -> None:
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(torch.autograd.grad(got, inputs), torch.autograd.grad(wanted, inputs))


@settings(deadline=None, max_examples=15)
@given(**sizes)
def test_moco_is_the_slow_one(views: int, videos: int, seed: int) -> None:
    q, k = unit(views, videos, 6, seed=seed).requires_grad_(), unit(views, videos, 6, seed=seed + 100)
    queue = unit(7, 6, seed=seed + 200)
    same(moco.loss(q, k, queue, tau=0.1), slow_moco(q, k, queue, 0.1), q)


@settings(deadline=None, max_examples=15)
@given(**sizes)
def test_simclr_is_the_slow_one(views: int, videos: int, seed: int) -> None:
    z = unit(views, videos, 6, seed=seed).requires_grad_()
    same(simclr.loss(z, z, 0, tau=0.1), slow_simclr(z, 0.1), z)


@settings(deadline=None, max_examples=15)
@given(**sizes)
def test_byol_is_the_slow_one(views: int, videos: int, seed: int) -> None:
    p, k = unit(views, videos, 6, seed=seed).requires_grad_(), unit(views, videos, 6, seed=seed + 100)
    same(byol.loss(p, k), slow_byol(p, k), p)


@settings(deadline=None, max_examples=15)
@given(**sizes)
def test_swav_is_the_slow_one(views: int, videos: int, seed: int) -> None:
    score = (unit(views, videos, 6, seed=seed) @ unit(8, 6, seed=seed + 1).T).requires_grad_()
    code = torch.stack([swav.sinkhorn(s, epsilon=0.05, iterations=3) for s in score])
    wanted = torch.stack([slow_sinkhorn(s.detach(), 0.05, 3) for s in score])
    torch.testing.assert_close(code, wanted)
    same(swav.loss(score, code, tau=0.1), slow_swav(score, code, 0.1), score)


def test_gradcheck() -> None:
    z, k, queue = unit(3, 2, 4, seed=0).requires_grad_(), unit(3, 2, 4, seed=1), unit(5, 4, seed=2)
    assert torch.autograd.gradcheck(lambda x: moco.loss(x, k, queue, tau=0.3), z)
    assert torch.autograd.gradcheck(lambda x: simclr.loss(x, x, 0, tau=0.3), z)
    assert torch.autograd.gradcheck(lambda x: byol.loss(x, k), z)
    assert torch.autograd.gradcheck(lambda x: swav.loss(x, k, tau=0.3), z)


def test_lightly_agrees_on_nt_xent() -> None:
    loss = lightly("lightly.loss.ntx_ent_loss").NTXentLoss(temperature=0.1)
    raw = 3 * unit(2, 5, 6, seed=3).requires_grad_()
    z = normalize(raw, dim=-1)  # lightly normalises within
    same(simclr.loss(z, z, 0, tau=0.1), loss(raw[0], raw[1]), raw)


def test_lightly_agrees_on_byol() -> None:
    loss = lightly("lightly.loss.negative_cosine_similarity").NegativeCosineSimilarity()
    raw, k = 3 * unit(2, 5, 6, seed=3).requires_grad_(), unit(2, 5, 6, seed=4)
    wanted = loss(raw[0], k[1]) + loss(raw[1], k[0])  # each is -cos, of half of the pairs
    same(byol.loss(normalize(raw, dim=-1), k), wanted, raw)


def test_lightly_agrees_on_moco() -> None:
    """Its loss with a memory bank takes one direction: ours is the mean of both."""
    loss = lightly("lightly.loss.ntx_ent_loss").NTXentLoss(temperature=0.1, memory_bank_size=(7, 6))
    q, k, queue = (t.float() for t in (unit(2, 5, 6, seed=3), unit(2, 5, 6, seed=4), unit(7, 6, seed=5)))
    loss.memory_bank.bank.copy_(queue)
    wanted = (loss(q[0], k[1]) + loss(q[1], k[0])) / 2
    torch.testing.assert_close(moco.loss(q, k, queue, tau=0.1), wanted)


def test_lightly_agrees_on_swav() -> None:
    other = lightly("lightly.loss.swav_loss")
    score = (unit(2, 5, 6, seed=3) @ unit(8, 6, seed=4).T).requires_grad_()
    code = torch.stack([swav.sinkhorn(s, epsilon=0.05, iterations=3) for s in score])
    torch.testing.assert_close(code[0], other.sinkhorn(score[0].detach(), iterations=3, epsilon=0.05))
    wanted = other.SwaVLoss(temperature=0.1)([score[0], score[1]], []).squeeze()
    same(swav.loss(score, code, tau=0.1), wanted, score)


def test_every_ordered_pair_counts_once() -> None:
    seen: list[tuple[int, int]] = []

    def note(i: int, j: int) -> Tensor:
        seen.append((i, j))
        return torch.tensor([1.0 * (i == 0), 3.0])

    assert mean_over_pairs(note, 4, 2) == pytest.approx((3 / 12 + 3) / 2)
    assert sorted(seen) == pairs(4)
    assert len(seen) == 4 * 3


def test_other_clips_of_a_video_are_no_negatives() -> None:
    """The pairs of clips 0 and 1 of video 0 do not see where its clip 2 is, but do see another video's."""
    z = unit(3, 4, 6, seed=1)

    def moved(video: int) -> Tensor:
        changed = z.clone()
        changed[2, video] = z[0, 0]
        return simclr.loss(z[:2, :1], changed, 0, tau=0.1)

    plain = simclr.loss(z[:2, :1], z, 0, tau=0.1)
    torch.testing.assert_close(moved(0), plain)
    assert moved(1) > plain


def test_random_features_cost_what_chance_costs() -> None:
    z = torch.zeros(2, 4, 3)
    assert float(simclr.loss(z, z, 0, tau=0.1)) == pytest.approx(math.log(7))
    assert float(moco.loss(z, z, torch.zeros(9, 3), tau=0.1)) == pytest.approx(math.log(10))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype) -> None:
    """exp(1 / 0.05) overflows fp16, and a half-precision sum over a queue would lose what matters."""
    z = unit(2, 4, 6, seed=1).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = simclr.loss(z, z, 0, tau=0.05)
        codes = swav.sinkhorn((z[0] @ z[1].T).to(dtype), epsilon=0.05, iterations=3)
    torch.testing.assert_close(got, simclr.loss(z, z, 0, tau=0.05))
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.sum(1), torch.ones(4))


def test_codes_use_all_prototypes_and_stay_finite() -> None:
    score = torch.zeros(6, 3, dtype=torch.float64)
    score[:, 0] = 1.0  # all videos like the first prototype best
    code = swav.sinkhorn(score + 1e-3 * unit(6, 3, seed=0), epsilon=0.05, iterations=50)
    torch.testing.assert_close(code.sum(0), torch.full((3,), 2.0, dtype=torch.float64), atol=1e-3, rtol=0)
    hard = swav.sinkhorn(100 * score.float(), epsilon=0.05, iterations=3)  # exp(2000) is no float
    assert hard.isfinite().all()


def test_agreement_is_the_mean_cosine() -> None:
    z = unit(4, 3, 6, seed=5)
    wanted = sum((z[i] * z[j]).sum(1).mean() for i, j in pairs(4)) / 12
    torch.testing.assert_close(agreement(z), wanted)


def test_no_videos_cost_nothing_and_have_a_gradient() -> None:
    z = torch.zeros(2, 0, 6, requires_grad=True)
    other = unit(2, 3, 6, seed=0).float()
    for loss in (
        moco.loss(z, z.detach(), other[0], tau=0.1),
        simclr.loss(z, torch.cat([z, other], dim=1), 0, tau=0.1),
        byol.loss(z, z.detach()),
        swav.loss(z, z.detach(), tau=0.1),
    ):
        assert loss == 0
        loss.backward()
