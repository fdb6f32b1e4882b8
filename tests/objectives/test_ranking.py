import pytest
import torch

from cpd.objectives import ranking


def features(n=5):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, n, 6, generator=generator, dtype=torch.float64)
    v, t = rows / rows.norm(dim=-1, keepdim=True)
    return v.requires_grad_(), t.requires_grad_()


def slow(v, t, delta):
    terms = [torch.relu(delta + v[i] @ t[j] - v[i] @ t[i]) for i in range(len(v)) for j in range(len(v)) if j != i]
    return torch.stack(terms).mean()


@pytest.mark.parametrize("delta", [0.0, 0.2, 3.0])
def test_is_the_slow_one(delta):
    v, t = features()
    got, want = ranking.loss(v, t, delta=delta), slow(v, t, delta)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, (v, t)), torch.autograd.grad(want, (v, t)))


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda v, t: ranking.loss(v, t, delta=0.2), features())


def test_negatives_are_texts_and_not_videos():
    v = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    t = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # video 1 finds text 0 no better than its own
    assert ranking.loss(v, t, delta=0.5).item() == pytest.approx((0.5 + 0.5) / 2)
    t = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
    assert ranking.loss(v, t, delta=0.5).item() == pytest.approx((0.0 + 0.3) / 2)


def test_one_pair_has_no_negative():
    with pytest.raises(ValueError, match="at least 2 pairs"):
        ranking.loss(torch.ones(1, 3), torch.ones(1, 3), delta=0.2)
