"""The video tower: a "slow" 3D ResNet that never strides or pools over time (paper, section 3.3).

Shapes: B batch, C=3 colours, T frames, H height, W width, F features, h and w the map's height and width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import nn

from cpd.errors import CpdError
from cpd.models.convolution import FoldedConv3d, PadShortcut
from cpd.video.transforms import MEAN, STD

if TYPE_CHECKING:
    from torch import Tensor

    from cpd.config import Backbone

# Kernel length in time of res2, res3, res4, res5: only the late stages look across frames.
TEMPORAL_KERNELS = (1, 1, 3, 3)
FRAME_KERNELS = (1, 1, 1, 1)
# Mean and standard deviation of the pixels in [0, 1] that published weights were trained with.
PIXELS = {
    "kinetics": (MEAN, STD),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "slowfast": ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225)),
}


class Style(NamedTuple):
    """What all blocks of a network share: how a convolution is computed, and the kind of projection shortcut."""

    folded: bool = False
    shortcut: Literal["A", "B"] = "B"


PLAIN = Style()


def conv(n_in: int, n_out: int, *, time: int = 1, space: int = 1, stride: int = 1, style: Style = PLAIN) -> nn.Conv3d:
    """Convolution with a (time, space, space) kernel that keeps T and divides H and W by `stride`."""
    kind = FoldedConv3d if style.folded else nn.Conv3d
    return kind(
        n_in,
        n_out,
        kernel_size=(time, space, space),
        stride=(1, stride, stride),
        padding=(time // 2, space // 2, space // 2),
        bias=False,
    )


def shortcut(n_in: int, n_out: int, *, stride: int, style: Style) -> nn.Module:
    """Identity where shapes agree; else B, a 1x1x1 convolution and BatchNorm, or A, which learns nothing."""
    if n_in == n_out and stride == 1:
        return nn.Identity()
    if style.shortcut == "A":
        return PadShortcut(n_in, n_out, stride=stride)
    return nn.Sequential(conv(n_in, n_out, stride=stride, style=style), nn.BatchNorm3d(n_out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the first one is 3x3x3 in the temporal stages."""

    expansion = 1

    def __init__(self, n_in: int, planes: int, *, time: int, stride: int, style: Style) -> None:
        super().__init__()
        self.conv1 = conv(n_in, planes, time=time, space=3, stride=stride, style=style)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv(planes, planes, space=3, style=style)
        self.bn2 = nn.BatchNorm3d(planes)
        self.shortcut = shortcut(n_in, planes, stride=stride, style=style)
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

    def __init__(self, n_in: int, planes: int, *, time: int, stride: int, style: Style) -> None:
        super().__init__()
        n_out = planes * self.expansion
        self.conv1 = conv(n_in, planes, time=time, style=style)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = conv(planes, planes, space=3, stride=stride, style=style)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = conv(planes, n_out, style=style)
        self.bn3 = nn.BatchNorm3d(n_out)
        self.shortcut = shortcut(n_in, n_out, stride=stride, style=style)
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

    Args:
        layout: which blocks, and how many.
        width: channels of the stem and of res2's blocks.
        kernels: kernel length in time of res2 to res5; all 1 is a 2-D ResNet applied frame by frame.
        style: of convolutions and shortcuts.
        pixels: key of `PIXELS`: what the weights expect; the input is turned from Kinetics' normalisation to it.

    Attributes:
        feature_dim: F, the channels of res5 (8 * width, times 4 for Bottleneck).
    """

    scale_1C111: Tensor
    shift_1C111: Tensor

    def __init__(
        self,
        layout: Layout,
        *,
        width: int = 64,
        kernels: tuple[int, ...] = TEMPORAL_KERNELS,
        style: Style = PLAIN,
        pixels: str = "kinetics",
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv(3, width, space=7, stride=2, style=style),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        n_in, stages = width, []
        for number, (blocks, time) in enumerate(zip(layout.counts, kernels, strict=True)):
            planes = width * 2**number
            stride = 1 if number == 0 else 2
            stages.append(_stage(layout.block, n_in, planes, blocks=blocks, time=time, stride=stride, style=style))
            n_in = planes * layout.block.expansion
        self.stages = nn.Sequential(*stages)
        self.feature_dim = n_in
        self.renormalises = pixels != "kinetics"
        self._register_pixels(pixels)
        self.apply(_initialise)

    def _register_pixels(self, pixels: str) -> None:
        """x * scale + shift is the pixel normalised by `pixels` where x is normalised by Kinetics' numbers."""
        (mean, std), (own_mean, own_std) = ((torch.tensor(part) for part in PIXELS[n]) for n in (pixels, "kinetics"))
        self.register_buffer("scale_1C111", (own_std / std).view(1, 3, 1, 1, 1), persistent=False)
        self.register_buffer("shift_1C111", ((own_mean - mean) / std).view(1, 3, 1, 1, 1), persistent=False)

    def feature_map(self, x_BCTHW: Tensor) -> Tensor:
        """Res5 before pooling: (B, 3, T, H, W) to (B, F, T, h, w) with h = ceil(H / 32), and every frame kept."""
        if self.renormalises:
            x_BCTHW = x_BCTHW * self.scale_1C111 + self.shift_1C111
        result: Tensor = self.stages(self.stem(x_BCTHW))
        return result

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """Normalised clips (B, 3, T, H, W), any T, to (B, F): the mean of res5 over time and space."""
        return self.feature_map(x_BCTHW).mean(dim=(2, 3, 4))

    def res5(self, x_BCTHW: Tensor) -> Tensor:
        """The frozen feature of the evaluation protocols: what `forward` gives, (B, 3, T, H, W) to (B, F)."""
        result: Tensor = self(x_BCTHW)
        return result


def slow_resnet(
    depth: Literal[10, 18, 34, 50] | int,
    *,
    width: int = 64,
    channels_last: bool = False,
    temporal: bool = True,
    shortcut: Literal["A", "B"] = "B",
    folded: bool = False,
    pixels: str = "kinetics",
) -> SlowResNet:
    """Build a slow 3D ResNet: stem (1,7,7), res2 and res3 spatial, res4 and res5 with temporal kernels of 3.

    Args:
        depth: 10 and 18 and 34 (BasicBlock) or 50 (Bottleneck); 10 is for the demo and tests, not the paper's.
        width: channels of the stem and of res2's blocks; the paper's is 64.
        channels_last: memory format of the weights, which every map then takes.
        temporal: False leaves every kernel within its frame: a 2-D ResNet applied frame by frame (Table 4's ImageNet
            ResNet-50), whose feature is the mean over frames.
        shortcut: B learns a projection where shapes change; A (the authors' released weights) subsamples and pads.
        folded: compute kernels with an extent of 1 as 2-D convolutions; same network up to rounding.
        pixels: key of `PIXELS`, the normalisation that the weights expect.

    Returns:
        Module from (B, 3, T, H, W) to (B, F) with `.feature_dim` F. Initialised by He et al.'s fan-out rule.

    Raises:
        CpdError: the depth is not one of ours.
    """
    if depth not in LAYOUTS:
        raise CpdError(f"no slow ResNet of depth {depth}", hint=f"backbone.depth is one of {sorted(LAYOUTS)}")
    kernels, style = TEMPORAL_KERNELS if temporal else FRAME_KERNELS, Style(folded, shortcut)
    network = SlowResNet(LAYOUTS[depth], width=width, kernels=kernels, style=style, pixels=pixels)
    if channels_last:
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
    return network


def build(backbone: Backbone) -> SlowResNet:
    """The network that a config's `backbone` describes, as initialised."""
    return slow_resnet(
        backbone.depth,
        width=backbone.width,
        channels_last=backbone.channels_last,
        temporal=backbone.temporal,
        shortcut=backbone.shortcut,
        folded=backbone.folded,
        pixels=backbone.pixels,
    )


def _stage(block: Block, n_in: int, planes: int, *, blocks: int, time: int, stride: int, style: Style) -> nn.Sequential:
    """A residual stage; the stride is its first block's."""
    n_out = planes * block.expansion
    head = block(n_in, planes, time=time, stride=stride, style=style)
    rest = [block(n_out, planes, time=time, stride=1, style=style) for _ in range(blocks - 1)]
    return nn.Sequential(head, *rest)


def _initialise(module: nn.Module) -> None:
    """Kaiming fan-out for convolutions; BatchNorm keeps torch's ones and zeros."""
    if isinstance(module, nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
