"""The fused softmax over a half-precision bank is the streamed one; on a CPU by torch's fused kernel for it."""

from typing import Any

import msgspec
import pytest
import torch
from torch.nn.functional import normalize

from cpd.config import Objective
from cpd.objectives import attention, cross_pair, pair
from cpd.objectives.bank import Bank, bank_bytes


def unit(n, dim, *, seed=0):
    return normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def slow(query_BD, bank_ND):
    """In double precision, by the definition."""
    score_BN = query_BD.to(bank_ND.dtype).double() @ bank_ND.double().T
    return score_BN.logsumexp(dim=1), score_BN.softmax(dim=1) @ bank_ND.double()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("n", "parts"), [(64, 8), (67, 8), (5, 256), (1, 1), (1000, 256)])
def test_parts_are_the_whole_softmax(n, parts, dtype):
    query, bank = unit(6, 16) / 0.07, unit(n, 16, seed=1).to(dtype)
    lse, mean = attention.attend(query, bank, parts=parts)
    want_lse, want_mean = slow(query, bank)
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(lse.double(), want_lse, rtol=0, atol=tolerance)
    torch.testing.assert_close(mean.double(), want_mean, rtol=0, atol=tolerance)
    assert lse.dtype == mean.dtype == torch.float32


def test_merging_does_not_overflow():
    lse_SB = torch.tensor([[1000.0, -1000.0], [999.0, -1001.0]])
    mean_SBD = torch.tensor([[[1.0], [1.0]], [[0.0], [0.0]]])
    lse, mean = attention.merge(lse_SB, mean_SBD)
    share = 1 / (1 + torch.exp(torch.tensor(-1.0)))
    torch.testing.assert_close(mean, torch.stack([share, share])[:, None], rtol=0, atol=1e-3)
    assert lse.isfinite().all()


@pytest.mark.parametrize("positive_scale", [1, -1])
def test_loss_and_gradient_are_those_of_the_streamed_one(monkeypatch, positive_scale):
    bank = unit(300, 32, seed=1).bfloat16()
    index = torch.arange(4)
    f = normalize(positive_scale * bank[:4].float() + 0.3 * unit(4, 32), dim=1)

    def both(live):
        live = live.clone().requires_grad_()
        loss = cross_pair.exact_loss(live, bank, index, tau=0.07)
        loss.backward()
        return loss.detach(), live.grad

    streamed = both(f)
    calls = []
    plain = attention.attend
    monkeypatch.setattr(attention, "DEVICES", {"cpu"})
    monkeypatch.setattr(attention, "attend", lambda *args: calls.append(1) or plain(*args, parts=7))
    fused = both(f)
    assert calls == [1]
    torch.testing.assert_close(fused[0], streamed[0], rtol=0, atol=3e-2)
    rounding = 2**-8 * bank.float().abs().max().item() / (0.07 * len(f))  # of the mean row, which comes in bf16
    torch.testing.assert_close(fused[1], streamed[1], rtol=0, atol=2 * rounding)
    assert fused[0] >= 0


def test_where_it_cannot_be_the_rows_are_streamed(monkeypatch):
    monkeypatch.setattr(attention, "DEVICES", {"cpu"})
    query, half = unit(2, 16), unit(9, 16).bfloat16()
    assert attention.fits(query, [half])
    assert not attention.fits(query, [half.float()])
    assert not attention.fits(query, [half, half])
    assert not attention.fits(unit(2, 512), [unit(9, 512).bfloat16()])
    monkeypatch.setattr(attention, "DEVICES", {"cuda"})
    assert not attention.fits(query, [half])


def test_a_half_precision_bank_moves_as_a_whole_one_does():
    whole, half = (Bank(50, 16, seed=0, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert half.rows_ND.dtype == torch.bfloat16
    for step in range(30):
        index, f = torch.tensor([3, 7, 3]), unit(3, 16, seed=step)
        for bank in (whole, half):
            bank.update(index, f, momentum=0.5)
    torch.testing.assert_close(half.rows_ND.float(), whole.rows_ND, rtol=0, atol=2e-2)
    assert half.rows_ND[3].float().norm().item() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("estimator", ["exact", "nce"])
@pytest.mark.parametrize("masked", [False, True])
def test_an_objective_with_half_precision_banks(estimator, masked):
    settings = Objective(estimator=estimator, noise=8, mask_equal_titles=masked, banks="bf16")
    options = {"n": 40, "dim": 16, "seed": 0, "device": "cpu", "group_N": torch.arange(40) // 2}
    whole = msgspec.structs.replace(settings, banks="fp32")
    made: Any = pair.build(settings, **options)
    twin = pair.build(whole, **options)
    v, t, index = unit(6, 16), unit(6, 16, seed=1), torch.arange(6)
    for objective in (made, twin):
        objective.update(v, t, index)
    assert made(v, t, index)["loss"].item() == pytest.approx(twin(v, t, index)["loss"].item(), rel=2e-2)
    again: Any = pair.build(settings, **options)
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.banks.text.rows_ND, made.banks.text.rows_ND)


def test_half_precision_takes_half_the_memory():
    assert 2 * bank_bytes(1000, 256, dtype=torch.bfloat16) == bank_bytes(1000, 256)
