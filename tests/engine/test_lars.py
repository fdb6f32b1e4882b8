"""LARS against its equation, written out, and against lightly's."""

from __future__ import annotations

import pytest
import torch

from cpd.engine import optim
from cpd.engine.lars import Lars
from tests.objectives.rho.lightly_modules import lightly

DECAY = 1e-2


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(*shape, generator=generator)) for shape in ((4, 3), (2, 3, 1, 1, 2), (5,))]


def gradient(step: int, parameter: torch.Tensor) -> torch.Tensor:
    return torch.randn(parameter.shape, generator=torch.Generator().manual_seed(50 + step + parameter.numel()))


def run(optimizer: torch.optim.Optimizer, held: list[torch.nn.Parameter], *, steps: int = 5) -> None:
    for step in range(steps):
        for parameter in held:
            parameter.grad = gradient(step, parameter)
        optimizer.step()


def written_out(lr: float, momentum: float) -> list[torch.Tensor]:
    found = []
    for parameter in parameters():
        w, buffer = parameter.detach().double(), torch.zeros_like(parameter, dtype=torch.float64)
        for step in range(5):
            g = gradient(step, parameter).double()
            if w.ndim > 1:
                size, slope = float(w.square().sum().sqrt()), float(g.square().sum().sqrt())
                g = 0.001 * size / (slope + DECAY * size) * (g + DECAY * w)
            buffer = momentum * buffer + g
            w = w - lr * buffer
        found.append(w)
    return found


def test_it_is_the_equation() -> None:
    held = parameters()
    run(Lars(held, lr=2.0, momentum=0.9, weight_decay=DECAY), held)
    for parameter, wanted in zip(held, written_out(2.0, 0.9), strict=True):
        torch.testing.assert_close(parameter.double(), wanted, rtol=1e-5, atol=1e-6)


def test_lightly_agrees() -> None:
    """Its rule for what is not scaled is a weight decay of 0."""
    held, other = parameters(), parameters()
    run(Lars(held, lr=2.0, momentum=0.9, weight_decay=DECAY), held)
    groups = [{"params": other[:2], "weight_decay": DECAY}, {"params": other[2:], "weight_decay": 0.0}]
    run(lightly("lightly.utils.lars").LARS(groups, lr=2.0, momentum=0.9), other)
    for ours, theirs in zip(held, other, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_zeros_are_stepped_plainly_and_what_has_no_gradient_is_left_alone() -> None:
    zero, still, idle = (torch.nn.Parameter(torch.full((2, 2), value)) for value in (0.0, 1.0, 1.0))
    optimizer = Lars([zero, still, idle], lr=0.5, momentum=0.0, weight_decay=DECAY)
    zero.grad, still.grad = torch.ones(2, 2), torch.zeros(2, 2)
    optimizer.step()
    assert torch.equal(zero, torch.full((2, 2), -0.5))
    assert torch.equal(still, torch.ones(2, 2))
    assert torch.equal(idle, torch.ones(2, 2))


def test_state_goes_through_a_checkpoint() -> None:
    whole, parts = parameters(), parameters()
    run(Lars(whole, lr=1.0), whole, steps=5)
    first = Lars(parts, lr=1.0)
    run(first, parts, steps=2)
    second = Lars(parts, lr=1.0)
    second.load_state_dict(first.state_dict())
    for step in (2, 3, 4):
        for parameter in parts:
            parameter.grad = gradient(step, parameter)
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("lars", Lars), ("adam", torch.optim.Adam)])
def test_built_by_name_with_a_learning_rate_of_zero(name: str, kind: type) -> None:
    built = optim.build(name, {"rest": parameters()}, weight_decay=0.1)
    assert type(built) is kind
    assert [(group["name"], group["lr"]) for group in built.param_groups] == [("rest", 0.0)]
