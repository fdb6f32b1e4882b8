"""Against twins that are written out, materialise everything, and leave the gradient to autograd."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cpd.objectives import cross_pair, nce, softmax


def unit(*shape, dtype=torch.float32, seed=0):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (rows / rows.norm(dim=-1, keepdim=True)).to(dtype)


def slow_exact(f, bank, index, tau):
    total = 0.0
    for b in range(len(f)):
        scores = torch.stack([f[b] @ row / tau for row in bank])
        total = total - torch.log(torch.exp(scores[index[b]]) / torch.exp(scores).sum())
    return total / len(f)


def slow_nce(f, bank, index, noise, tau, log_z):
    """P(data | row) = p / (p + m / N) with p = exp(s / tau) / Z, in probabilities and not in logits."""
    n, m = len(bank), noise.shape[1]
    z = math.exp(log_z) * n
    total = 0.0
    for b in range(len(f)):
        for position, row in enumerate([int(index[b]), *noise[b].tolist()]):
            p = torch.exp(f[b] @ bank[row] / tau) / z
            data = p / (p + m / n)
            total = total - torch.log(data if position == 0 else 1 - data)
    return total / len(f)


def value_and_gradient(loss, f):
    live = f.clone().requires_grad_()
    value = loss(live)
    (gradient,) = torch.autograd.grad(value, live)
    return value.detach(), gradient


@given(b=st.integers(1, 6), n=st.integers(1, 40), chunk=st.integers(1, 50), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_exact_loss_is_the_slow_one_for_any_chunk(b, n, chunk, seed):
    f, bank = unit(b, 8, dtype=torch.float64, seed=seed), unit(n, 8, dtype=torch.float64, seed=seed + 1)
    index = torch.randint(n, (b,), generator=torch.Generator().manual_seed(seed))
    want = value_and_gradient(lambda live: slow_exact(live, bank, index, 0.07), f)
    got = value_and_gradient(lambda live: softmax._BankSoftmax.apply(live, (bank,), index, 0.07, chunk), f)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_exact_loss_in_single_precision_over_several_chunks():
    f, bank = unit(4, 16), unit(2 * softmax.CHUNK["cpu"] + 17, 16, seed=1)
    index = torch.tensor([0, softmax.CHUNK["cpu"] - 1, softmax.CHUNK["cpu"], len(bank) - 1])

    def materialised(live):
        return torch.nn.functional.cross_entropy(live @ bank.T / 0.07, index)

    want = value_and_gradient(materialised, f)
    got = value_and_gradient(lambda live: cross_pair.exact_loss(live, bank, index, tau=0.07), f)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_gradcheck_of_exact_loss():
    f, bank = unit(3, 5, dtype=torch.float64).requires_grad_(), unit(11, 5, dtype=torch.float64, seed=1)
    index = torch.tensor([10, 0, 10])
    assert torch.autograd.gradcheck(lambda x: cross_pair.exact_loss(x, bank, index, tau=0.07), (f,))


def test_gradcheck_of_nce_loss():
    f, bank = unit(3, 5, dtype=torch.float64).requires_grad_(), unit(11, 5, dtype=torch.float64, seed=1)
    index, noise = torch.tensor([10, 0, 10]), torch.randint(11, (3, 6))
    assert torch.autograd.gradcheck(lambda x: cross_pair.nce_loss(x, bank, index, noise, tau=0.3, log_z=0.4), (f,))


@given(b=st.integers(1, 5), m=st.integers(1, 20), log_z=st.floats(-3, 8), seed=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_nce_loss_is_the_slow_one(b, m, log_z, seed):
    f, bank = unit(b, 8, dtype=torch.float64, seed=seed), unit(30, 8, dtype=torch.float64, seed=seed + 1)
    generator = torch.Generator().manual_seed(seed)
    index = torch.randint(30, (b,), generator=generator)
    noise = torch.randint(30, (b, m), generator=generator)
    want = value_and_gradient(lambda live: slow_nce(live, bank, index, noise, 0.2, log_z), f)
    got = value_and_gradient(lambda live: cross_pair.nce_loss(live, bank, index, noise, tau=0.2, log_z=log_z), f)
    torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("block", [1, 4 * 8, 2 * 6 * 8, 10**9])  # a row, some draws of an anchor, two anchors, all
def test_nce_does_not_depend_on_the_block(monkeypatch, block, masked):
    f, bank = unit(5, 8, dtype=torch.float64), unit(30, 8, dtype=torch.float64, seed=1)
    index, noise = torch.arange(5), torch.randint(30, (5, 6), generator=torch.Generator().manual_seed(2))
    group = torch.arange(30) // 3 if masked else None
    losses = {"tau": 0.2, "log_z": 1.0, "group_N": group}
    monkeypatch.setitem(nce.BLOCK, "cpu", 10**9)
    want = value_and_gradient(lambda live: cross_pair.nce_loss(live, bank, index, noise, **losses), f)
    if not masked:
        slow = value_and_gradient(lambda live: slow_nce(live, bank, index, noise, 0.2, 1.0), f)
        torch.testing.assert_close(want, slow, rtol=1e-9, atol=1e-9)
    monkeypatch.setitem(nce.BLOCK, "cpu", block)
    got = value_and_gradient(lambda live: cross_pair.nce_loss(live, bank, index, noise, **losses), f)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sign", [1, -1])
def test_half_precision_at_the_extremes_is_finite_and_right(dtype, sign):
    """A cosine of 1 at tau 0.07 is exp(14.3), beyond fp16."""
    f = unit(4, 32).to(dtype)
    bank = torch.cat([sign * f.float(), unit(50, 32, seed=1)])
    index, noise = torch.arange(4), torch.randint(54, (4, 40), generator=torch.Generator().manual_seed(0))
    losses = {
        "exact": lambda live: cross_pair.exact_loss(live, bank, index, tau=0.07),
        "nce": lambda live: cross_pair.nce_loss(live, bank, index, noise, tau=0.07, log_z=0.5),
    }
    twins = {
        "exact": slow_exact(f.double(), bank.double(), index, 0.07),
        "nce": slow_nce(f.double(), bank.double(), index, noise, 0.07, 0.5),
    }
    for name, loss in losses.items():
        value, gradient = value_and_gradient(loss, f)
        assert value.dtype == torch.float32
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()
        assert value.item() == pytest.approx(twins[name].item(), rel=1e-5, abs=5e-6)


def test_autocast_does_not_lower_the_precision():
    f, bank, index = unit(4, 32), unit(100, 32, seed=1), torch.arange(4)
    noise = torch.randint(100, (4, 20), generator=torch.Generator().manual_seed(0))
    plain = (
        cross_pair.exact_loss(f, bank, index, tau=0.07),
        cross_pair.nce_loss(f, bank, index, noise, tau=0.07, log_z=0.0),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = (
            cross_pair.exact_loss(f, bank, index, tau=0.07),
            cross_pair.nce_loss(f, bank, index, noise, tau=0.07, log_z=0.0),
        )
    assert plain == cast


def test_gradient_reaches_the_features_alone_and_survives_a_bank_update():
    f, bank, index = unit(3, 8).requires_grad_(), unit(20, 8, seed=1).requires_grad_(), torch.arange(3)
    (expected,) = torch.autograd.grad(cross_pair.exact_loss(f, bank.detach(), index, tau=0.1), f)
    loss = cross_pair.exact_loss(f, bank, index, tau=0.1)
    with torch.no_grad():
        bank.zero_()
    loss.backward()
    assert bank.grad is None
    torch.testing.assert_close(f.grad, expected)


def test_nothing_of_the_size_of_b_times_n_is_kept_for_backward():
    f, bank = unit(4, 8).requires_grad_(), unit(5000, 8, seed=1)
    noise = torch.randint(5000, (4, 300))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        cross_pair.exact_loss(f, bank, torch.arange(4), tau=0.1)
        cross_pair.nce_loss(f, bank, torch.arange(4), noise, tau=0.1, log_z=0.0)
    assert kept == [4 * 8, 4 * 8]


def test_a_constant_bank_costs_log_n():
    f, bank = unit(3, 8), unit(1, 8, seed=1).expand(50, 8)
    assert cross_pair.exact_loss(f, bank, torch.tensor([0, 7, 49]), tau=0.07).item() == pytest.approx(math.log(50))


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_outside_the_bank_is_refused(index):
    f, bank, wrong = unit(1, 8), unit(20, 8, seed=1), torch.tensor([index])
    with pytest.raises((IndexError, RuntimeError)):
        cross_pair.exact_loss(f, bank, wrong, tau=0.1)
    with pytest.raises((IndexError, RuntimeError)):
        cross_pair.nce_loss(f, bank, wrong, torch.zeros(1, 2, dtype=torch.long), tau=0.1, log_z=0.0)


def test_log_z_is_the_log_of_the_mean_of_exp():
    f, bank, noise = unit(4, 8), unit(30, 8, seed=1), torch.tensor([3, 3, 9, 29])
    want = torch.exp(f.double() @ bank[noise].double().T / 0.07).mean().log().item()
    assert cross_pair.estimate_log_z(f, bank, noise, tau=0.07) == pytest.approx(want, abs=1e-5)


def test_log_z_over_every_row_is_z_over_n():
    f, bank = unit(1, 8), unit(30, 8, seed=1)
    z = torch.exp(f @ bank.T / 0.1).sum()
    assert cross_pair.estimate_log_z(f, bank, torch.arange(30), tau=0.1) == pytest.approx(math.log(z / 30), abs=1e-5)


def test_with_the_right_z_the_minimum_of_nce_is_where_softmax_has_it():
    """Both gradients pull towards the positive: descent on NCE lowers the exact loss."""
    bank, index = unit(40, 16, seed=1), torch.tensor([5])
    f = unit(1, 16).requires_grad_()
    noise = torch.arange(40)[None]
    start = cross_pair.exact_loss(f, bank, index, tau=0.2).item()
    for _ in range(50):
        log_z = cross_pair.estimate_log_z(f.detach(), bank, noise[0], tau=0.2)
        (gradient,) = torch.autograd.grad(cross_pair.nce_loss(f, bank, index, noise, tau=0.2, log_z=log_z), f)
        f = torch.nn.functional.normalize(f.detach() - 0.1 * gradient, dim=1).requires_grad_()
    assert cross_pair.exact_loss(f, bank, index, tau=0.2).item() < start - 1
