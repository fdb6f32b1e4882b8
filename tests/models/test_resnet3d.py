import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cpd.config import Backbone
from cpd.errors import CpdError
from cpd.models.resnet3d import PIXELS, build, slow_resnet
from cpd.video.transforms import to_model


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def giga_macs(depth: int, *, size: int) -> float:
    with torch.device("meta"):
        model, clip = slow_resnet(depth), torch.empty(1, 3, 8, size, size)
    with FlopCounterMode(display=False) as counter:
        model(clip)
    return counter.get_total_flops() / 2 / 1e9


def test_parameters_are_the_paper_s():
    with torch.device("meta"):
        r34, r50 = slow_resnet(34), slow_resnet(50)
        with_classes = nn.Sequential(r50, nn.Linear(r50.feature_dim, 400))
    assert count_parameters(r34) / 1e6 == pytest.approx(39.6, abs=0.05)
    assert count_parameters(r50) / 1e6 == pytest.approx(31.6, abs=0.05)
    assert count_parameters(with_classes) == 32_454_096


@pytest.mark.parametrize(
    ("depth", "size", "expected", "tolerance"),
    [(34, 112, 11.77, 0.005), (50, 224, 41.7, 0.05), (50, 256, 54.5, 0.05)],
)
def test_multiply_adds_are_the_paper_s(depth, size, expected, tolerance):
    assert giga_macs(depth, size=size) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("depth", "features"), [(10, 512), (18, 512), (34, 512), (50, 2048)])
def test_every_frame_reaches_the_pooling(depth, features):
    with torch.device("meta"):
        model, clip = slow_resnet(depth), torch.empty(2, 3, 8, 112, 112)
    assert model.feature_dim == features
    assert model.feature_map(clip).shape == (2, features, 8, 4, 4)
    assert model(clip).shape == (2, features)


@pytest.mark.parametrize("frames", [1, 2, 5, 16])
def test_any_number_of_frames(frames):
    model = slow_resnet(10, width=4).eval()
    clip = torch.randn(2, 3, frames, 32, 32)
    assert model(clip).shape == (2, 32)
    torch.testing.assert_close(model.res5(clip), model.feature_map(clip).mean((2, 3, 4)))


def convolutions(depth: int) -> dict[str, nn.Conv3d]:
    with torch.device("meta"):
        return {n: m for n, m in slow_resnet(depth).named_modules() if isinstance(m, nn.Conv3d)}


def test_basic_block_kernels():
    found = convolutions(34)
    assert found["stem.0"].kernel_size == (1, 7, 7)
    assert found["stem.0"].stride == (1, 2, 2)
    for stage, time in enumerate((1, 1, 3, 3)):
        assert found[f"stages.{stage}.1.conv1"].kernel_size == (time, 3, 3)
        assert found[f"stages.{stage}.1.conv2"].kernel_size == (1, 3, 3)
    assert all(module.stride[0] == 1 for module in found.values())


def test_bottleneck_kernels_and_where_the_stride_is():
    found = convolutions(50)
    for stage, time in enumerate((1, 1, 3, 3)):
        stride = 1 if stage == 0 else 2
        assert found[f"stages.{stage}.0.conv1"].kernel_size == (time, 1, 1)
        assert found[f"stages.{stage}.0.conv1"].stride == (1, 1, 1)
        assert found[f"stages.{stage}.0.conv2"].kernel_size == (1, 3, 3)
        assert found[f"stages.{stage}.0.conv2"].stride == (1, stride, stride)
        assert found[f"stages.{stage}.0.conv3"].kernel_size == (1, 1, 1)
    assert all(module.stride[0] == 1 for module in found.values())


@pytest.mark.parametrize("depth", [10, 50])
def test_shortcuts_learn_and_are_normalised(depth):
    torch.manual_seed(0)
    model = slow_resnet(depth, width=4)
    model(torch.randn(2, 3, 2, 64, 64)).square().sum().backward()
    shortcuts = [module for name, module in model.named_modules() if name.endswith(".shortcut")]
    projections = [module for module in shortcuts if isinstance(module, nn.Sequential)]
    assert len(projections) == (3 if depth == 10 else 4)
    for projection, norm in projections:
        assert isinstance(norm, nn.BatchNorm3d)
        assert projection.weight.grad.abs().max() > 0
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_frames_mix_only_through_res4_and_res5():
    torch.manual_seed(0)
    model = slow_resnet(18, width=4).eval()
    clip = torch.randn(1, 3, 8, 64, 64)
    other = clip.clone()
    other[:, :, 7] += 1.0
    early = model.stages[:2]
    before, after = early(model.stem(clip)), early(model.stem(other))
    torch.testing.assert_close(before[:, :, :7], after[:, :, :7])
    changed = (model.feature_map(clip) - model.feature_map(other)).abs().amax((0, 1, 3, 4))
    assert (changed[3:] > 0).all()  # four convolutions with a temporal kernel of 3 reach four frames back
    assert changed[:3].max() == 0


def test_channels_last_is_the_same_network_up_to_rounding():
    plain, last = slow_resnet(18, width=4), slow_resnet(18, width=4, channels_last=True)
    last.load_state_dict(plain.state_dict())
    assert last.stem[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    x_BCTHW = torch.rand(2, 3, 4, 32, 32)
    for network in (plain, last):
        network(x_BCTHW).square().sum().backward()
    for (name, one), two in zip(plain.named_parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-3, atol=1e-4 * float(one.grad.abs().max()), msg=name)


def test_initialisation_is_kaiming_fan_out():
    torch.manual_seed(0)
    weight = slow_resnet(10).stages[3][0].conv1.weight
    assert weight.std().item() == pytest.approx((2 / (512 * 27)) ** 0.5, rel=0.02)


def test_unknown_depth_is_named():
    with pytest.raises(CpdError, match="depth 26"):
        slow_resnet(26)


def test_a_network_without_time_is_the_2d_one_on_every_frame():
    torch.manual_seed(0)
    model = slow_resnet(50, width=4, temporal=False).eval()
    clip = torch.randn(2, 3, 3, 64, 64)
    frames = torch.stack([model(clip[:, :, t : t + 1]) for t in range(3)])
    torch.testing.assert_close(model(clip), frames.mean(0), rtol=1e-4, atol=1e-5)


def test_the_imagenet_resnet50_has_torchvision_s_size():
    """25,557,032 parameters with its 1000-way classifier; 4.09 GMAC a frame at 224 (torchvision's model page)."""
    with torch.device("meta"):
        model, clip = slow_resnet(50, temporal=False), torch.empty(1, 3, 8, 224, 224)
        head = nn.Linear(model.feature_dim, 1000)
    assert count_parameters(model) + count_parameters(head) == 25_557_032
    with FlopCounterMode(display=False) as counter:
        model(clip)
    assert counter.get_total_flops() / 2 / 8 / 1e9 == pytest.approx(4.09, abs=0.01)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("channels_last", [False, True])
def test_folded_convolutions_give_the_same_outputs_and_gradients(depth, channels_last):
    torch.manual_seed(0)
    plain = slow_resnet(depth, width=4).double()
    folded = slow_resnet(depth, width=4, channels_last=channels_last, folded=True).double()
    folded.load_state_dict(plain.state_dict())
    clip = torch.randn(2, 3, 4, 40, 33, dtype=torch.float64)
    inputs = [clip.clone().requires_grad_() for _ in range(2)]
    outputs = [network(x) for network, x in zip((plain, folded), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    for out in outputs:
        out.square().sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for (name, one), two in zip(plain.named_parameters(), folded.parameters(), strict=True):
        torch.testing.assert_close(two.grad, one.grad, msg=name)


def test_folding_copies_no_map_in_channels_last():
    layer = slow_resnet(50, width=4, channels_last=True, folded=True).stages[2][1].conv1
    x = torch.randn(2, 64, 4, 5, 5).to(memory_format=torch.channels_last_3d)
    assert x.flatten(3).data_ptr() == x.data_ptr()
    assert x.transpose(1, 2).flatten(0, 1).data_ptr() == x.data_ptr()
    assert layer(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_shortcut_a_subsamples_and_pads_and_lets_the_gradient_through():
    """Defect (a) of the authors' code: their shortcut A was cut from `.data`, so that no gradient passed."""
    torch.manual_seed(0)
    model = slow_resnet(50, width=4, shortcut="A")
    shortcut = model.stages[1][0].shortcut
    x = torch.randn(1, 16, 2, 5, 5, requires_grad=True)
    out = shortcut(x)
    expected = torch.cat([nn.functional.avg_pool3d(x, 1, (1, 2, 2)), torch.zeros(1, 16, 2, 3, 3)], dim=1)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    out.sum().backward()
    assert x.grad.sum() == 16 * 2 * 3 * 3
    assert not list(shortcut.parameters())
    model(torch.randn(2, 3, 2, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("pixels", ["imagenet", "slowfast"])
def test_weights_get_the_pixels_they_were_trained_with(pixels):
    ours, theirs = slow_resnet(10, width=4, pixels=pixels).eval(), slow_resnet(10, width=4).eval()
    theirs.load_state_dict(ours.state_dict())
    clip = torch.randint(256, (2, 2, 32, 32, 3), dtype=torch.uint8)
    mean, std = map(torch.tensor, PIXELS[pixels])
    normalised = ((clip / 255 - mean) / std).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(ours(to_model(clip)), theirs(normalised), rtol=1e-4, atol=1e-5)


def test_a_config_s_backbone_is_built_as_it_says():
    backbone = Backbone(depth=10, width=4, temporal=False, shortcut="A", folded=True, pixels="imagenet")
    network = build(backbone)
    kinds = {type(module).__name__ for module in network.modules()}
    assert {"FoldedConv3d", "PadShortcut"} <= kinds
    assert network.renormalises
    assert all(m.kernel_size[0] == 1 for m in network.modules() if isinstance(m, nn.Conv3d))
