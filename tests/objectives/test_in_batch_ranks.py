"""In-batch losses on gloo ranks, of 3 and 2 pairs or of none and all, against one process that has all 5."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from cpd.config import Objective
from cpd.engine import distributed
from cpd.objectives import pair
from cpd.objectives.ranks import Ranks
from cpd.pretrain.build import ranks_of
from tests.engine.fork_ranks import error, run_ranks

PAIRS, D = 5, 4
GROUPS = torch.tensor([0, 1, 0, 2, 1])
SHARES = {"even": ([0, 1, 2], [3, 4]), "none": ([], [0, 1, 2, 3, 4])}
OBJECTIVES = {
    "ranking": Objective(name="ranking", both_directions=True),
    "ranking-masked": Objective(name="ranking", mask_equal_titles=True),
    "info_nce": Objective(name="info_nce", tau=0.2),
    "info_nce-masked": Objective(name="info_nce", tau=0.2, mask_equal_titles=True),
}


def measure(objective: Objective, rows: list[int], ranks: Ranks | None) -> tuple[float, Tensor, Tensor]:
    """This rank's share of the loss, and the gradient of all ranks' loss to its rows, as the loop makes them."""
    built = pair.build(objective, n=PAIRS, dim=D, seed=0, device="cpu", group_N=GROUPS, ranks=ranks)
    v_PD, t_PD = torch.randn(2, PAIRS, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    v_BD, t_BD = (torch.nn.functional.normalize(x[rows], dim=1).requires_grad_() for x in (v_PD, t_PD))
    loss = built(v_BD, t_BD, torch.tensor(rows, dtype=torch.int64))["loss"] * (len(rows) / PAIRS)
    loss.backward()
    assert v_BD.grad is not None
    assert t_BD.grad is not None
    return loss.item(), v_BD.grad, t_BD.grad


def work(folder: Path, share: str) -> None:
    with distributed.joined(timeout_seconds=30) as world:
        found = {name: measure(o, SHARES[share][world.rank], ranks_of(world)) for name, o in OBJECTIVES.items()}
    torch.save(found, folder / f"{world.rank}.pt")


@pytest.mark.parametrize("share", SHARES)
def test_two_ranks_give_the_loss_and_gradient_of_one(tmp_path: Path, share: str) -> None:
    assert run_ranks(work, tmp_path, share) == [0, 0], error(tmp_path, 0) + error(tmp_path, 1)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, objective in OBJECTIVES.items():
        loss, *grads = measure(objective, list(range(PAIRS)), None)
        assert found[0][name][0] + found[1][name][0] == pytest.approx(loss)
        for k, wanted in enumerate(grads, start=1):
            torch.testing.assert_close(torch.cat([found[0][name][k], found[1][name][k]]), wanted)
