"""Queue, momentum encoder, prototypes: what a method keeps from step to step."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cpd.errors import CpdError
from cpd.objectives.rho.byol import Byol
from cpd.objectives.rho.method import Steps
from cpd.objectives.rho.moco import Moco
from cpd.objectives.rho.momentum import MomentumEncoder, momentum_at
from cpd.objectives.rho.projection import project
from cpd.objectives.rho.queue import Queue
from cpd.objectives.rho.swav import Swav

STEPS = Steps(total=10, epoch=4)


@given(size=st.integers(1, 9), pushes=st.lists(st.integers(0, 12), max_size=6))
def test_the_queue_holds_the_last_keys(size: int, pushes: list[int]) -> None:
    queue, keys = Queue(size, 1), iter(range(1, 100))
    seen: list[float] = []
    for n in pushes:
        new = [float(next(keys)) for _ in range(n)]
        seen += new
        queue.push(torch.tensor(new).reshape(n, 1))
        assert sorted(queue.rows_QD.flatten().tolist()) == sorted([0.0] * (size - len(seen)) + seen[-size:])
        assert queue.full == (len(seen) >= size)


def test_a_queue_of_another_size_is_refused() -> None:
    state = Queue(4, 2).state_dict()
    with pytest.raises(CpdError, match=r"queue is \(4, 2\), this run's \(5, 2\)"):
        Queue(5, 2).load_state_dict(state)


def test_momentum_rises_along_a_cosine() -> None:
    """PAPER section 5: 1 - (1 - .994) (cos(pi k / K) + 1) / 2."""
    assert momentum_at(0, 100, start=0.994) == pytest.approx(0.994)
    assert momentum_at(100, 100, start=0.994) == 1.0
    assert momentum_at(25, 100, start=0.996) == pytest.approx(1 - 0.004 * (math.cos(math.pi / 4) + 1) / 2)
    rising = [momentum_at(k, 100, start=0.9) for k in range(101)]
    assert rising == sorted(rising)
    assert momentum_at(130, 100, start=0.9) == 1.0  # a stage that was longer than planned


class Tower(nn.Module):
    """Pixels to features, with a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, x_BC: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x_BC))


def encoder(tower: nn.Module, head: nn.Module) -> MomentumEncoder:
    def to_input(clip: torch.Tensor) -> torch.Tensor:
        return clip.float().mean(dim=(1, 2, 3)) / 255

    return MomentumEncoder(tower, head, to_input=to_input, shuffle=True, ranks=None, seed=0)


def clips(videos: int, views: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (videos, views, 2, 4, 4, 3), dtype=torch.uint8, generator=generator)


def test_the_momentum_encoder_begins_as_the_network_statistics_included() -> None:
    tower, head = Tower(), nn.Linear(4, 5)
    tower.norm.running_mean += 3
    copy = encoder(tower, head)
    assert all(torch.equal(value, copy.tower.state_dict()[name]) for name, value in tower.state_dict().items())
    assert not any(p.requires_grad for p in copy.parameters())
    assert {id(p) for p in copy.parameters()}.isdisjoint({id(p) for p in [*tower.parameters(), *head.parameters()]})
    assert set(copy.state_dict()) == {f"tower.{n}" for n in tower.state_dict()} | {
        f"head.{n}" for n in head.state_dict()
    }


def test_it_follows_the_parameters_and_its_statistics_are_its_own() -> None:
    tower, head = Tower(), nn.Linear(4, 5)
    copy = encoder(tower, head)
    before = {name: value.clone() for name, value in copy.named_parameters()}
    with torch.no_grad():
        for parameter in [*tower.parameters(), *head.parameters()]:
            parameter.add_(1.0)
    copy.follow(0.75)
    for name, value in copy.named_parameters():
        torch.testing.assert_close(value, before[name] + 0.25)
    key_VBD = copy(clips(6))
    assert key_VBD.shape == (2, 6, 5)
    torch.testing.assert_close(key_VBD.norm(dim=-1), torch.ones(2, 6))
    assert copy.tower.norm.num_batches_tracked == 2  # each clip of the videos is a batch of its own
    assert tower.norm.num_batches_tracked == 0


def test_a_rank_without_videos_leaves_statistics_alone() -> None:
    copy = encoder(Tower(), nn.Linear(4, 5))
    assert copy(clips(0)).shape == (2, 0, 5)
    assert copy.tower.norm.num_batches_tracked == 0
    head = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 5))
    feature_VBF = torch.zeros(2, 0, 4, requires_grad=True)
    z_VBD = project(head, feature_VBF)
    assert z_VBD.shape == (2, 0, 5)
    z_VBD.sum().backward()
    assert head[1].num_batches_tracked == 0


def swav(freeze_epochs: int = 1) -> Swav:
    torch.manual_seed(0)
    return Swav(
        nn.Linear(4, 5),
        nn.Linear(5, 6, bias=False),
        tau=0.1,
        epsilon=0.05,
        iterations=3,
        freeze_epochs=freeze_epochs,
        ranks=None,
        steps=STEPS,
    )


def test_prototypes_are_frozen_in_the_first_epoch_and_stay_unit() -> None:
    method = swav()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.5, weight_decay=0.1)
    start = method.prototypes.weight.clone()
    moved = []
    for step in range(6):
        optimizer.zero_grad()
        feature_VBF = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(step))
        method(feature_VBF, torch.empty(0)).parts["loss"].backward()
        assert (method.prototypes.weight.grad is None) == (step < STEPS.epoch)
        optimizer.step()
        method.update(None)
        moved.append(not torch.allclose(method.prototypes.weight, start))
        torch.testing.assert_close(method.prototypes.weight.norm(dim=1), torch.ones(6))
    assert moved == [False] * 4 + [True] * 2
    assert not swav(freeze_epochs=0).frozen


def test_a_checkpoint_of_another_method_is_refused() -> None:
    with pytest.raises(CpdError, match="'persistency moco', this run's is 'persistency swav'"):
        swav().load_memory({"kind": "persistency moco", "done": 1})


@pytest.mark.parametrize("kind", ["moco", "byol"])
def test_the_momentum_encoder_follows_after_each_step_at_the_momentum_of_that_step(kind: str) -> None:
    torch.manual_seed(1)
    tower, head = Tower(), nn.Linear(4, 5)
    keys = encoder(tower, head)
    if kind == "moco":
        method: Moco | Byol = Moco(head, keys, Queue(8, 5), tau=0.1, momentum=0.6, steps=STEPS)
    else:
        method = Byol(head, nn.Linear(5, 5), keys, momentum=0.6, steps=STEPS)
    live = [p.detach().clone() for p in [*tower.parameters(), *head.parameters()]]
    wanted = [p.clone() for p in live]
    with torch.no_grad():
        for parameter in [*tower.parameters(), *head.parameters()]:
            parameter.add_(1.0)
    for step in range(3):
        method.update(torch.ones(4, 2, 5) if kind == "moco" else None)
        m = 1 - 0.4 * (math.cos(math.pi * step / 10) + 1) / 2
        wanted = [m * old + (1 - m) * (p + 1) for old, p in zip(wanted, live, strict=True)]
        for parameter, value in zip(keys.parameters(), wanted, strict=True):
            torch.testing.assert_close(parameter, value)
    assert method.done == 3
