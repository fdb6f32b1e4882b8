"""Two gloo ranks, of 3 and 2 videos, against one process that has all 5."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cpd.engine import distributed
from cpd.objectives.ranks import Ranks
from cpd.objectives.rho.byol import Byol
from cpd.objectives.rho.method import Method, Steps
from cpd.objectives.rho.moco import Moco
from cpd.objectives.rho.momentum import MomentumEncoder
from cpd.objectives.rho.queue import Queue
from cpd.objectives.rho.simclr import SimClr
from cpd.objectives.rho.swav import Swav
from cpd.pretrain.build import ranks_of
from tests.engine.fork_ranks import error, run_ranks

VIEWS, VIDEOS, F, D = 3, 5, 4, 6
SHARES = ([0, 1, 2], [3, 4])
NONE_FOR_RANK_0 = ([], [0, 1, 2, 3, 4])
STEPS = Steps(total=10, epoch=0)
NAMES = ("moco", "simclr", "byol", "swav")


def clips() -> torch.Tensor:
    shape = (VIDEOS, VIEWS, 1, 2, 2, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(7))


def to_input(clip_BTHWC: torch.Tensor) -> torch.Tensor:
    return clip_BTHWC.double().mean(dim=(1, 2, 3)) / 255


def build(name: str, ranks: Ranks | None, *, norm: bool = False) -> tuple[nn.Module, Method]:
    """A tower of pixels and a method upon it, in double precision, the same at each call."""
    torch.manual_seed(3)
    tower = nn.Sequential(nn.Linear(3, F), nn.BatchNorm1d(F) if norm else nn.Tanh()).double()
    head = nn.Linear(F, D).double()
    keys = MomentumEncoder(tower, head, to_input=to_input, shuffle=name == "moco", ranks=ranks, seed=5)
    if name == "simclr":
        return tower, SimClr(head, tau=0.1, ranks=ranks, steps=STEPS)
    if name == "byol":
        return tower, Byol(head, nn.Linear(D, D).double(), keys, momentum=0.9, steps=STEPS)
    if name == "swav":
        prototypes = nn.Linear(D, 7, bias=False).double()
        found = Swav(head, prototypes, tau=0.1, epsilon=0.05, iterations=3, freeze_epochs=1, ranks=ranks, steps=STEPS)
        return tower, found
    queue = Queue(9, D)
    queue.push(nn.functional.normalize(torch.randn(9, D, generator=torch.Generator().manual_seed(1)), dim=1))
    return tower, Moco(head, keys, queue, tau=0.1, momentum=0.9, steps=STEPS)


def features(tower: nn.Module, clip_BVTHWC: torch.Tensor) -> torch.Tensor:
    if not len(clip_BVTHWC):
        return torch.zeros(VIEWS, 0, F, dtype=torch.float64, requires_grad=True)
    return torch.stack([tower(to_input(clip_BTHWC)) for clip_BTHWC in clip_BVTHWC.unbind(1)])


def gradients(tower: nn.Module, method: Method) -> dict[str, torch.Tensor]:
    named = [*tower.named_parameters(prefix="tower"), *method.named_parameters(prefix="method")]
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in named if p.requires_grad}


def one_step(folder: Path, name: str, shares: tuple[list[int], list[int]]) -> None:
    """Loss, gradients summed over ranks, and what the method keeps, in `rank-R.pt`."""
    with distributed.joined(timeout_seconds=30) as world:
        tower, method = build(name, ranks_of(world))
        own = clips()[shares[world.rank]]
        found = method(features(tower, own), own)
        (found.parts["loss"] * (len(own) / VIDEOS)).backward()
        summed = {name: distributed.sum_tensor(g, world) for name, g in gradients(tower, method).items()}
        keys = None if found.keys_BVD is None else distributed.gather_rows(found.keys_BVD.contiguous(), world)
        method.update(keys)
        loss = distributed.sum_values([float(found.parts["loss"].detach()) * len(own) / VIDEOS], world)[0]
        state = {"loss": loss, "gradients": summed, "memory": method.memory(), "method": method.state_dict()}
        torch.save(state, folder / f"rank-{world.rank}.pt")


@pytest.mark.parametrize("shares", [SHARES, NONE_FOR_RANK_0], ids=["uneven", "none"])
@pytest.mark.parametrize("name", NAMES)
def test_two_ranks_are_one(tmp_path: Path, name: str, shares: tuple[list[int], list[int]]) -> None:
    """Loss, gradient and memory, also when a rank has no video at all: it goes along."""
    assert run_ranks(one_step, tmp_path, name, shares) == [0, 0], error(tmp_path, 0) + error(tmp_path, 1)
    tower, method = build(name, None)
    found = method(features(tower, clips()), clips())
    found.parts["loss"].backward()
    wanted = gradients(tower, method)
    method.update(found.keys_BVD)
    assert any(gradient.abs().max() > 1e-4 for gradient in wanted.values())
    for rank in (0, 1):
        got = torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True)
        assert got["loss"] == pytest.approx(float(found.parts["loss"].detach()), rel=1e-9)
        for key, gradient in wanted.items():
            torch.testing.assert_close(got["gradients"][key], gradient, msg=key)
        for key, value in method.state_dict().items():
            torch.testing.assert_close(got["method"][key], value, msg=key)
        if name == "moco":
            torch.testing.assert_close(got["memory"]["queue"]["rows"], method.queue.rows_QD)


def shuffled_keys(folder: Path) -> None:
    with distributed.joined(timeout_seconds=30) as world:
        _, method = build("moco", ranks_of(world), norm=True)
        own = clips()[SHARES[world.rank]]
        passes = [method.keys(own) for _ in range(2)]
        norm = method.keys.tower[1]
        torch.save({"keys": passes, "mean": norm.running_mean.clone()}, folder / f"rank-{world.rank}.pt")


def test_keys_share_their_batch_norm_with_videos_of_other_ranks(tmp_path: Path) -> None:
    """Shuffle BN, written out: all clips in a random order, cut into the ranks' parts, each normalised by itself."""
    assert run_ranks(shuffled_keys, tmp_path) == [0, 0], error(tmp_path, 0)
    got = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)]
    _, method = build("moco", None, norm=True)
    orders = [method.keys._permutation(VIDEOS) for _ in range(2)]
    assert not torch.equal(orders[0], orders[1])
    statistics = [[], []]
    for number, order in enumerate(orders):
        wanted = torch.empty(VIEWS, VIDEOS, D, dtype=torch.float64)
        for rank, part in enumerate((order[: VIDEOS // 2], order[VIDEOS // 2 :])):
            for v in range(VIEWS):
                x = method.keys.tower[0](to_input(clips()[part, v]))
                statistics[rank].append(x.mean(0))
                x = (x - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt()
                wanted[v, part] = nn.functional.normalize(method.keys.head(x), dim=1)
        for rank in (0, 1):
            torch.testing.assert_close(got[rank]["keys"][number], wanted[:, SHARES[rank]].detach())
    for rank in (0, 1):
        mean = torch.zeros(F, dtype=torch.float64)
        for batch in statistics[rank]:
            mean = 0.9 * mean + 0.1 * batch
        torch.testing.assert_close(got[rank]["mean"], mean.detach())
