"""Checkpoints as others lay them out, and their networks written out plainly over the very tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

COUNTS, WIDTH = (3, 4, 6, 3), 4  # a ResNet-50 of little width
BN = ("weight", "bias", "running_mean", "running_var")


class Names(NamedTuple):
    """What a layout calls the parts of a ResNet-50: stage 0 is res2, part 0 the first convolution."""

    stem: tuple[str, str]
    conv: Callable[[int, int, int], str]
    norm: Callable[[int, int, int], str]
    shortcut: Callable[[int, int], tuple[str, str]] | None
    classifier: str


def _torchvision(prefix: str, *, shortcut: bool) -> Names:
    return Names(
        stem=(f"{prefix}conv1", f"{prefix}bn1"),
        conv=lambda s, b, p: f"{prefix}layer{s + 1}.{b}.conv{p + 1}",
        norm=lambda s, b, p: f"{prefix}layer{s + 1}.{b}.bn{p + 1}",
        shortcut=(lambda s, b: (f"layer{s + 1}.{b}.downsample.0", f"layer{s + 1}.{b}.downsample.1"))
        if shortcut
        else None,
        classifier="fc",
    )


NAMES = {
    "torchvision": _torchvision("", shortcut=True),
    "authors": _torchvision("visual_encoder.", shortcut=False),
    "slowfast": Names(
        stem=("s1.pathway0_stem.conv", "s1.pathway0_stem.bn"),
        conv=lambda s, b, p: f"s{s + 2}.pathway0_res{b}.branch2.{'abc'[p]}",
        norm=lambda s, b, p: f"s{s + 2}.pathway0_res{b}.branch2.{'abc'[p]}_bn",
        shortcut=lambda s, b: (f"s{s + 2}.pathway0_res{b}.branch1", f"s{s + 2}.pathway0_res{b}.branch1_bn"),
        classifier="head.projection",
    ),
    "pytorchvideo": Names(
        stem=("blocks.0.conv", "blocks.0.norm"),
        conv=lambda s, b, p: f"blocks.{s + 1}.res_blocks.{b}.branch2.conv_{'abc'[p]}",
        norm=lambda s, b, p: f"blocks.{s + 1}.res_blocks.{b}.branch2.norm_{'abc'[p]}",
        shortcut=lambda s, b: (
            f"blocks.{s + 1}.res_blocks.{b}.branch1_conv",
            f"blocks.{s + 1}.res_blocks.{b}.branch1_norm",
        ),
        classifier="blocks.5.proj",
    ),
}


def video_state(layout: str, *, counters: bool = True) -> dict[str, Tensor]:
    """Random weights of a ResNet-50 in a layout; torchvision's kernels are 2-D."""
    names, state = NAMES[layout], {}
    generator = torch.Generator().manual_seed(0)

    def conv(name: str, n_in: int, n_out: int, *, time: int = 1, space: int = 1) -> None:
        size = (space, space) if layout == "torchvision" else (time, space, space)
        fan = n_in * time * space**2
        state[f"{name}.weight"] = torch.randn(n_out, n_in, *size, generator=generator) * (2 / fan) ** 0.5

    def norm(name: str, n: int) -> None:
        for leaf in BN:
            state[f"{name}.{leaf}"] = torch.rand(n, generator=generator) + (0.5 if leaf != "bias" else 0)
        if counters:
            state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv(names.stem[0], 3, WIDTH, space=7)
    norm(names.stem[1], WIDTH)
    n_in = WIDTH
    for stage, count in enumerate(COUNTS):
        planes, time = WIDTH * 2**stage, 1 if stage < 2 or layout == "torchvision" else 3
        for block in range(count):
            sizes = [(n_in, planes, time, 1), (planes, planes, 1, 3), (planes, 4 * planes, 1, 1)]
            for part, (a, b, t, k) in enumerate(sizes):
                conv(names.conv(stage, block, part), a, b, time=t, space=k)
                norm(names.norm(stage, block, part), b)
            if block == 0 and names.shortcut:
                conv(names.shortcut(stage, 0)[0], n_in, 4 * planes)
                norm(names.shortcut(stage, 0)[1], 4 * planes)
            n_in = 4 * planes
    return state


def classifier(layout: str) -> dict[str, Tensor]:
    return {f"{NAMES[layout].classifier}.{leaf}": torch.zeros(3) for leaf in ("weight", "bias")}


def features(layout: str, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network of the layout, layer by layer: (B, 3, T, H, W) to (B, F)."""
    names = NAMES[layout]

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        weight = weight[:, :, None] if weight.dim() == 4 else weight
        padding = tuple(size // 2 for size in weight.shape[2:])
        return functional.conv3d(x, weight, stride=(1, stride, stride), padding=padding)

    def norm(x: Tensor, name: str) -> Tensor:
        weight, bias, mean, var = (state[f"{name}.{leaf}"] for leaf in BN)
        return functional.batch_norm(x, mean, var, weight, bias)

    x = norm(conv(x, names.stem[0], 2), names.stem[1]).relu()
    x = functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for stage, count in enumerate(COUNTS):
        for block in range(count):
            stride, old = (2 if stage and not block else 1), x
            for part in range(3):
                y = conv(x, names.conv(stage, block, part), stride if part == 1 else 1)
                x = norm(y, names.norm(stage, block, part))
                x = x.relu() if part < 2 else x
            if block == 0 and names.shortcut:
                old = norm(conv(old, names.shortcut(stage, 0)[0], stride), names.shortcut(stage, 0)[1])
            elif block == 0:
                old = functional.avg_pool3d(old, 1, (1, stride, stride))
                old = torch.cat([old, torch.zeros(len(old), x.shape[1] - old.shape[1], *old.shape[2:])], dim=1)
            x = (x + old).relu()
    return x.mean((2, 3, 4))
