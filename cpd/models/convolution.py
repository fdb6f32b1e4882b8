"""Convolution in time and space by way of two dimensions, and the shortcut that learns nothing.

Shapes: B batch, C channels, T frames, H height, W width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class FoldedConv3d(nn.Conv3d):
    """`nn.Conv3d`, computed by conv2d where the kernel has an extent of 1: same parameters, same result.

    A (1, k, k) kernel takes frames as a batch; a (k, 1, 1) kernel takes time as height and the frame's pixels as
    width. Both are views, not copies, of a map in channels-last format. Other kernels stay three-dimensional.
    """

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, C, T, H, W) to (B, C', T', H', W'), as `nn.Conv3d`."""
        if self.kernel_size[0] == self.stride[0] == 1 and self.padding[0] == 0:
            return self._over_space(x_BCTHW)
        if self.kernel_size[1:] == self.stride[1:] == (1, 1) and self.padding[1:] == (0, 0):
            return self._over_time(x_BCTHW)
        return super().forward(x_BCTHW)

    def _over_space(self, x_BCTHW: Tensor) -> Tensor:
        batch, frames = x_BCTHW.shape[0], x_BCTHW.shape[2]
        x_FCHW = x_BCTHW.transpose(1, 2).flatten(0, 1)
        weight = self.weight.squeeze(2)
        y_FCHW = functional.conv2d(x_FCHW, weight, self.bias, stride=self.stride[1:], padding=self.padding[1:])
        return y_FCHW.reshape(batch, frames, *y_FCHW.shape[1:]).transpose(1, 2)

    def _over_time(self, x_BCTHW: Tensor) -> Tensor:
        size = x_BCTHW.shape[3:]
        weight, stride, padding = self.weight.squeeze(4), (self.stride[0], 1), (int(self.padding[0]), 0)
        y_BCTP = functional.conv2d(x_BCTHW.flatten(3), weight, self.bias, stride=stride, padding=padding)
        return y_BCTP.reshape(*y_BCTP.shape[:3], *size)


class PadShortcut(nn.Module):
    """Shortcut A (He et al. 2016, option A): every `stride`-th pixel, new channels zero. The gradient passes through.

    The authors' released weights were trained with it; their code cut the gradient here (PAPER section 4 a), which
    changes nothing in a forward pass.
    """

    def __init__(self, n_in: int, n_out: int, *, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = n_out - n_in, stride

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        """(B, n_in, T, H, W) to (B, n_out, T, ceil(H / stride), ceil(W / stride))."""
        kept = x_BCTHW[..., :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, 0, 0, self.extra))
