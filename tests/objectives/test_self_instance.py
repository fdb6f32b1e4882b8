import torch

from cpd.objectives import self_instance


def unit(*shape, seed):
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=-1, keepdim=True)


def slow(v, t, videos, texts, index, tau):
    total = 0.0
    for b in range(len(v)):
        weights = [torch.exp((videos[i] @ v[b] + texts[i] @ t[b]) / tau) for i in range(len(videos))]
        total = total - torch.log(weights[index[b]] / sum(weights))
    return total / len(v)


def example():
    v, t = unit(3, 6, seed=0).requires_grad_(), unit(3, 6, seed=1).requires_grad_()
    return v, t, unit(12, 6, seed=2), unit(12, 6, seed=3), torch.tensor([11, 0, 4])


def test_is_the_slow_one():
    v, t, videos, texts, index = example()
    got = self_instance.loss(v, t, videos, texts, index, tau=0.07)
    want = slow(v, t, videos, texts, index, 0.07)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, (v, t)), torch.autograd.grad(want, (v, t)))


def test_gradcheck():
    v, t, videos, texts, index = example()
    assert torch.autograd.gradcheck(lambda a, b: self_instance.loss(a, b, videos, texts, index, tau=0.2), (v, t))


def test_nothing_aligns_the_modalities():
    """Rotating one modality's features and bank together changes nothing."""
    v, t, videos, texts, index = example()
    rotation, _ = torch.linalg.qr(unit(6, 6, seed=9))
    turned = self_instance.loss(v, t @ rotation, videos, texts @ rotation, index, tau=0.1)
    torch.testing.assert_close(turned, self_instance.loss(v, t, videos, texts, index, tau=0.1))
