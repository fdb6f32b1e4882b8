import math

import pytest
import torch

from cpd.config import Objective
from cpd.objectives import in_batch, pair, ranking


def features(size=5, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(2, size, dim, generator=generator, dtype=torch.float64), dim=2)


def slow(a, b, tau, groups):
    total = 0.0
    for i in range(len(a)):
        negatives = [j for j in range(len(b)) if j != i and groups[j] != groups[i]]
        top = math.exp(float(a[i] @ b[i]) / tau)
        total -= math.log(top / (top + sum(math.exp(float(a[i] @ b[j]) / tau) for j in negatives)))
    return total / len(a)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4], [0, 1, 0, 1, 2], [7] * 5])
def test_info_nce_is_the_slow_one_in_both_directions(groups):
    v, t = features()
    v2t, t2v = in_batch.loss(v, t, tau=0.1, group_B=torch.tensor(groups))
    assert v2t.item() == pytest.approx(slow(v, t, 0.1, groups))
    assert t2v.item() == pytest.approx(slow(t, v, 0.1, groups))


def test_without_groups_every_other_pair_is_a_negative():
    v, t = features()
    masked = in_batch.loss(v, t, tau=0.1, group_B=torch.arange(5))
    torch.testing.assert_close(in_batch.loss(v, t, tau=0.1), masked)


def test_gradcheck():
    v, t = features()
    group = torch.tensor([0, 1, 0, 2, 3])
    assert torch.autograd.gradcheck(
        lambda a, b: sum(in_batch.loss(a, b, tau=0.1, group_B=group)), (v.requires_grad_(), t.requires_grad_())
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(dtype):
    """exp(cosine / 0.07) of cosine 1 is 1.6e6, beyond fp16."""
    v, t = features()
    v, t = v.to(dtype).requires_grad_(), v.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        v2t, t2v = in_batch.loss(v, t, tau=0.01)
    assert v2t.dtype == torch.float32
    (v2t + t2v).backward()
    assert torch.isfinite(v.grad).all()


def test_one_pair_has_no_negative():
    with pytest.raises(ValueError, match="at least 2 pairs"):
        in_batch.loss(torch.ones(1, 2), torch.ones(1, 2), tau=0.1)


def test_ranking_of_both_directions_is_the_sum():
    v, t = features()
    built = pair.build(Objective(name="ranking", both_directions=True), n=5, dim=4, seed=0, device="cpu")
    parts = built(v, t, torch.arange(5))
    assert parts["v2t"] == ranking.loss(v, t, delta=0.2)
    assert parts["t2v"] == ranking.loss(t, v, delta=0.2)
    assert parts["loss"] == parts["v2t"] + parts["t2v"]


def test_ranking_leaves_equal_titles_out():
    v, t = features()
    groups = [0, 1, 0, 1, 2]
    wanted = [
        max(0.0, 0.2 + float(v[i] @ t[j]) - float(v[i] @ t[i]))
        for i in range(5)
        for j in range(5)
        if groups[i] != groups[j]
    ]
    loss = ranking.loss(v, t, delta=0.2, group_B=torch.tensor(groups))
    assert loss.item() == pytest.approx(sum(wanted) / len(wanted))
    assert ranking.loss(v, t, delta=0.2, group_B=torch.zeros(5)).item() == 0.0


def test_groups_count_only_where_the_config_asks():
    v, t = features()
    group_N = torch.zeros(5, dtype=torch.int64)
    for name in ("info_nce", "ranking", "cross_pair"):
        plain = pair.build(Objective(name=name), n=5, dim=4, seed=0, device="cpu", group_N=group_N)
        none = pair.build(Objective(name=name), n=5, dim=4, seed=0, device="cpu")
        assert torch.equal(plain(v, t, torch.arange(5))["loss"], none(v, t, torch.arange(5))["loss"])
