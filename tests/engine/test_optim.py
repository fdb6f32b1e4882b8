from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cpd.engine import optim


def factors(schedule: optim.Schedule, *, epochs: int, steps: int = 4, warmup: int = 0) -> list[float]:
    stage = optim.Stage(epochs=epochs, lrs={}, warmup_epochs=warmup)
    return [schedule.factor(step, stage, steps_per_epoch=steps) for step in range(epochs * steps)]


def test_constant_and_step() -> None:
    assert set(factors(optim.Schedule(), epochs=3)) == {1.0}
    stepped = factors(optim.Schedule(kind="step", milestones=(1, 2)), epochs=3)
    assert stepped == pytest.approx([1.0] * 4 + [0.1] * 4 + [0.01] * 4)


@given(warmup=st.integers(0, 3), epochs=st.integers(4, 9), steps=st.integers(1, 5))
def test_cosine_rises_then_falls_to_nearly_nothing(warmup: int, epochs: int, steps: int) -> None:
    values = factors(optim.Schedule(kind="cosine"), epochs=epochs, steps=steps, warmup=warmup)
    warm = warmup * steps
    assert values[:warm] == pytest.approx([(k + 1) / warm for k in range(warm)])
    assert values[warm] == 1.0
    assert all(a >= b for a, b in zip(values[warm:], values[warm + 1 :], strict=False))
    last = len(values) - warm
    assert values[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * (last - 1) / last)))


def test_frozen_parameters_keep_even_their_decay() -> None:
    free, frozen = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(False)
    before = [p.clone() for p in frozen.parameters()]
    groups = {"rest": free.parameters(), "text": frozen.parameters()}
    optimizer = optim.build("sgd", groups, weight_decay=0.5)
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    free(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, frozen.parameters(), strict=True))
    assert len(optim.parameters(optimizer)) == 2
    assert [group["name"] for group in optimizer.param_groups] == ["rest", "text"]


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_precision_of_the_forward_pass(name: optim.PrecisionName, dtype: torch.dtype) -> None:
    precision = optim.Precision(name, torch.device("cpu"))
    with precision.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype
    assert precision.scaler.is_enabled() == (name == "fp16")
