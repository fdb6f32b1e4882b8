"""The video tower: a "slow" 3D ResNet that never strides or pools over time (paper, section 3.3).

Shapes: B batch, C=3 colours, T frames, H height, W width, F features, h and w the map's height and width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn

from cpd.errors import CpdError

if TYPE_CHECKING:
    from torch import Tensor

# Kernel length in time of res2, res3, res4, res5: only the late stages look across frames.
TEMPORAL_KERNELS = (1, 1, 3, 3)


def conv(n_in: int, n_out: int, *, time: int = 1, space: int = 1, stride: int = 1) -> nn.Conv3d:
    """Convolution with a (time, space, space) kernel that keeps T and divides H and W by `stride`."""
    return nn.Conv3d(
        n_in,
        n_out,
        kernel_size=(time, space, space),
        stride=(1, stride, stride),
        padding=(time // 2, space // 2, space // 2),
        bias=False,
    )


def shortcut(n_in: int, n_out: int, *, stride: int) -> nn.Module:
    """Identity where shapes agree, otherwise a learnt projection (shortcut B: 1x1x1 convolution and BatchNorm)."""
    if n_in == n_out and stride == 1:
        return nn.Identity()
    return nn.Sequential(conv(n_in, n_out, stride=stride), nn.BatchNorm3d(n_out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the first one is 3x3x3 in the temporal stages."""

    expansion = 1

    def __init__(self, n_in: int, planes: int, *, time: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv(n_in, planes, time=time, space=3, stride=stride)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv(planes, planes, space=3)
        self.bn2 = nn.BatchNorm3d(planes)
        self.shortcut = shortcut(n_in, planes, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, n_in, T, H, W) to (B, planes, T, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn1(self.conv1(x_BCTHW)))
        out = self.bn2(self.conv2(out))
        result: Tensor = self.relu(out + self.shortcut(x_BCTHW))
        return result


class Bottleneck(nn.Module):
    """1x1 (3x1x1 in the temporal stages), 3x3 with the stride, 1x1 to four times the planes."""

    expansion = 4

    def __init__(self, n_in: int, planes: int, *, time: int, stride: int) -> None:
        super().__init__()
        n_out = planes * self.expansion
        self.conv1 = conv(n_in, planes, time=time)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv(planes, planes, space=3, stride=stride)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = conv(planes, n_out)
        self.bn3 = nn.BatchNorm3d(n_out)
        self.shortcut = shortcut(n_in, n_out, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, n_in, T, H, W) to (B, 4 * planes, T, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn1(self.conv1(x_BCTHW)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        result: Tensor = self.relu(out + self.shortcut(x_BCTHW))
        return result


Block = type[BasicBlock] | type[Bottleneck]


class Layout(NamedTuple):
    """Which block a depth uses, and how many of them in res2 to res5."""

    block: Block
    counts: tuple[int, int, int, int]


LAYOUTS = {
    10: Layout(BasicBlock, (1, 1, 1, 1)),
    18: Layout(BasicBlock, (2, 2, 2, 2)),
    34: Layout(BasicBlock, (3, 4, 6, 3)),
    50: Layout(Bottleneck, (3, 4, 6, 3)),
}


class SlowResNet(nn.Module):
    """Slow 3D ResNet without a classifier.

    Attributes:
        feature_dim: F, the channels of res5 (8 * width, times 4 for Bottleneck).
    """

    def __init__(self, layout: Layout, *, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, width, space=7, stride=2),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        n_in, stages = width, []
        for number, (blocks, time) in enumerate(zip(layout.counts, TEMPORAL_KERNELS, strict=True)):
            stages.append(_stage(layout.block, n_in, width * 2**number, blocks=blocks, time=time, first=number == 0))
            n_in = width * 2**number * layout.block.expansion
        self.stages = nn.Sequential(*stages)
        self.feature_dim = n_in
        self.apply(_initialise)

    def feature_map(self, x_BCTHW: Tensor) -> Tensor:
        """Res5 before pooling: (B, 3, T, H, W) to (B, F, T, h, w) with h = ceil(H / 32), and every frame kept."""
        result: Tensor = self.stages(self.stem(x_BCTHW))
        return result

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Normalised clips (B, 3, T, H, W), any T, to (B, F): the mean of res5 over time and space."""
        return self.feature_map(x_BCTHW).mean(dim=(2, 3, 4))

    def res5(self, x_BCTHW: Tensor) -> Tensor:
        """The frozen feature of the evaluation protocols: what `forward` gives, (B, 3, T, H, W) to (B, F)."""
        result: Tensor = self(x_BCTHW)
        return result


def slow_resnet(depth: Literal[10, 18, 34, 50] | int, *, width: int = 64, channels_last: bool = False) -> SlowResNet:
    """Build a slow 3D ResNet: stem (1,7,7), res2 and res3 spatial, res4 and res5 with temporal kernels of 3.

    Args:
        depth: 10 and 18 and 34 (BasicBlock) or 50 (Bottleneck); 10 is for the demo and tests, not the paper's.
        width: channels of the stem and of res2's blocks; the paper's is 64.
        channels_last: memory format of the weights, which every map then takes.

    Returns:
        Module from (B, 3, T, H, W) to (B, F) with `.feature_dim` F. Initialised by He et al.'s fan-out rule.

    Raises:
        CpdError: the depth is not one of ours.
    """
    if depth not in LAYOUTS:
        raise CpdError(f"no slow ResNet of depth {depth}", hint=f"backbone.depth is one of {sorted(LAYOUTS)}")
    network = SlowResNet(LAYOUTS[depth], width=width)
    if channels_last:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
    return network


def _stage(block: Block, n_in: int, planes: int, *, blocks: int, time: int, first: bool) -> nn.Sequential:
    """A residual stage; each but the first halves H and W in its first block."""
    n_out = planes * block.expansion
    head = block(n_in, planes, time=time, stride=1 if first else 2)
    rest = [block(n_out, planes, time=time, stride=1) for _ in range(blocks - 1)]
    return nn.Sequential(head, *rest)


def _initialise(module: nn.Module) -> None:
    """Kaiming fan-out for convolutions; BatchNorm keeps torch's ones and zeros."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
