"""The probe beside BatchNorm and Linear as torch has them, which autograd differentiates product by product."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cpd.config import Linear
from cpd.evaluate import linear
from cpd.evaluate.linear_probe import Probe, ScaledLinear

B, D, K = 12, 7, 5


def pair(dtype: torch.dtype = torch.float64) -> tuple[Probe, nn.Sequential]:
    """A probe with a scale and a shift that are not one and zero, and its twin with the same state."""
    torch.manual_seed(0)
    ours, plain = Probe(D, K), nn.Sequential(nn.BatchNorm1d(D), nn.Linear(D, K))
    with torch.no_grad():
        for parameter in ours[0].parameters():
            parameter.uniform_(-1.0, 2.0)
    plain.load_state_dict(ours.state_dict())
    return ours.to(dtype), plain.to(dtype)


def batch(n: int = B, *, seed: int = 1, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x_BD = 4 + torch.arange(1, D + 1) * torch.randn(n, D, generator=generator, dtype=dtype)
    return x_BD.to(dtype), torch.randint(K, (n,), generator=generator)


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    shapes = (B, D), (D,), (D,), (K, D), (K,)
    inputs = tuple(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    assert torch.autograd.gradcheck(ScaledLinear.apply, inputs)


def test_logits_gradients_and_running_statistics_are_those_of_the_twin() -> None:
    ours, plain = pair()
    for n in (B, 2, 5):
        x_BD, label_B = batch(n, seed=n)
        x_BD.requires_grad_()
        logits, wanted = ours(x_BD), plain(x_BD)
        torch.testing.assert_close(logits, wanted, atol=1e-12, rtol=1e-12)
        got_grads = torch.autograd.grad(cross_entropy(logits, label_B), [*ours.parameters(), x_BD])
        grads = torch.autograd.grad(cross_entropy(wanted, label_B), [*plain.parameters(), x_BD])
        torch.testing.assert_close(got_grads, grads, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(ours.state_dict(), plain.state_dict(), atol=1e-12, rtol=1e-12)
    assert ours[0].num_batches_tracked == 3


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_training_ends_at_the_weights_of_the_twin(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x_ND, label_N = batch(50)
    settings = Linear(epochs=3, lr=1e-2, batch=16, optimizer=optimizer, weight_decay=0.01)  # type: ignore[arg-type]
    ours = linear.train_probe(x_ND.float(), label_N, settings, n_classes=K, seed=2)
    monkeypatch.setattr(linear, "Probe", lambda d, k: nn.Sequential(nn.BatchNorm1d(d), nn.Linear(d, k)))
    plain = linear.train_probe(x_ND.float(), label_N, settings, n_classes=K, seed=2)
    assert not isinstance(plain, Probe)
    torch.testing.assert_close(ours.state_dict(), plain.state_dict(), atol=2e-5, rtol=2e-5)


def test_evaluation_is_bit_for_bit_that_of_the_twin_and_moves_nothing() -> None:
    ours, plain = pair(torch.float32)
    x_BD, _ = batch(dtype=torch.float32)
    ours(x_BD)
    plain(x_BD)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    assert torch.equal(ours.eval()(x_BD), plain.eval()(x_BD))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())
    assert [*ours.state_dict()] == [*plain.state_dict()]


def test_equal_seeds_start_at_equal_weights() -> None:
    torch.manual_seed(5)
    ours = Probe(D, K)
    torch.manual_seed(5)
    plain = nn.Sequential(nn.BatchNorm1d(D), nn.Linear(D, K))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), plain.parameters(), strict=True))


def test_under_autocast_it_is_the_twin() -> None:
    ours, plain = pair(torch.float32)
    x_BD, label_B = batch(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        logits, wanted = ours(x_BD), plain(x_BD)
    assert logits.dtype == torch.bfloat16
    assert torch.equal(logits, wanted)
    got_grads = torch.autograd.grad(cross_entropy(logits.float(), label_B), [*ours.parameters()])
    grads = torch.autograd.grad(cross_entropy(wanted.float(), label_B), [*plain.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(got_grads, grads, strict=True))


@pytest.mark.parametrize(("device", "node"), [("cpu", "ScaledLinearBackward"), ("meta", "AddmmBackward0")])
def test_off_the_cpu_torchs_own_modules_run(device: str, node: str) -> None:
    logits = Probe(D, K).to(device)(torch.zeros(B, D, device=device))
    assert logits.shape == (B, K)
    assert logits.grad_fn.name() == node


def test_a_batch_of_one_has_no_statistics() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        Probe(D, K)(torch.ones(1, D))
