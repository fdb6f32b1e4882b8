import pytest
import torch

from cpd.models.heads import TextHead, VideoHead, unit_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rows_are_unit_in_fp32_whatever_comes_in(dtype):
    rows = unit_rows(torch.randn(5, 7).to(dtype))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))


def test_video_head_is_linear_then_unit():
    head, x = VideoHead(6, 4), torch.randn(3, 6)
    raw = x @ head.weight.T + head.bias
    torch.testing.assert_close(head(x), raw / raw.norm(dim=1, keepdim=True))
    assert sum(p.numel() for p in head.parameters()) == 6 * 4 + 4


def test_text_head_layers_are_the_paper_s():
    head, t = TextHead(6, 5, 4), torch.randn(8, 6)
    first, norm, _, last = head.layers
    hidden = first(t)
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + norm.eps).sqrt()
    raw = last(hidden.clamp(min=0))
    torch.testing.assert_close(head(t), raw / raw.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)


def test_autocast_keeps_norms_exact():
    head = VideoHead(64, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = head(torch.randn(4, 64))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(4))
