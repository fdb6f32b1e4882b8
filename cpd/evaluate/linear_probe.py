"""BatchNorm and a fully connected layer on features that need no gradient: two products a step instead of three.

Shapes: B batch, D features, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm, linear

if TYPE_CHECKING:
    from torch import Tensor


class Probe(nn.Sequential):
    """`nn.Sequential(nn.BatchNorm1d(D), nn.Linear(D, K))`, its parameters, buffers and values; trained faster on a CPU.

    Features (B, D), B of 2 or more in training. Logits (B, K). On a GPU a step of this size waits for kernels to start,
    of which this form has more, and under autocast types are autograd's affair: there torch's own modules run.

    Raises:
        ValueError: a batch of one in training.
    """

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__(nn.BatchNorm1d(dim), nn.Linear(dim, n_classes))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Logits (B, K); in training mode also moves the running statistics, as BatchNorm does."""
        norm, full = self
        if not self.training or x_BD.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return full(norm(x_BD))  # type: ignore[no-any-return]
        parameters = norm.weight, norm.bias, full.weight, full.bias
        return ScaledLinear.apply(_normalised(norm, x_BD), *parameters)  # type: ignore[no-any-return, no-untyped-call]


def _normalised(norm: Any, x_BD: Tensor) -> Tensor:
    """What `nn.BatchNorm1d` does in training, but for its scale and shift."""
    norm.num_batches_tracked += 1
    mean_D, var_D = norm.running_mean, norm.running_var
    return batch_norm(x_BD, mean_D, var_D, training=True, momentum=norm.momentum, eps=norm.eps)


class ScaledLinear(torch.autograd.Function):
    """Y = (x * scale + shift) W^T + bias, of normalised x (B, D): the gradients of BatchNorm's scale and shift without
    the product (B, K) x (K, D) that leads back to x.

    With dY (B, K), s = sum_B dY (K,) and G = dY^T x (K, D), the one product of the backward pass:

        dW     = dY^T (x * scale + shift)  = G * scale + s shift^T
        dscale = sum_B (dY W) * x          = sum_K G * W
        dshift = sum_B dY W                = s W
        dbias  = s
        dx     = (dY W) * scale            only if x asks for it; features do not
    """

    @staticmethod
    def forward(ctx: Any, x_BD: Tensor, scale_D: Tensor, shift_D: Tensor, weight_KD: Tensor, bias_K: Tensor) -> Tensor:
        """Logits (B, K)."""
        ctx.save_for_backward(x_BD, scale_D, shift_D, weight_KD)
        return linear(torch.addcmul(shift_D, x_BD, scale_D), weight_KD, bias_K)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BK: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor]:
        """Gradients in the order of the arguments."""
        x_BD, scale_D, shift_D, weight_KD = ctx.saved_tensors
        x_grad_BD = grad_BK @ weight_KD * scale_D if ctx.needs_input_grad[0] else None
        bias_grad_K = grad_BK.sum(0)
        grad_KD = grad_BK.T @ x_BD
        scale_grad_D = (grad_KD * weight_KD).sum(0)
        weight_grad_KD = grad_KD.mul_(scale_D).addr_(bias_grad_K, shift_D)
        return x_grad_BD, scale_grad_D, bias_grad_K @ weight_KD, weight_grad_KD, bias_grad_K
