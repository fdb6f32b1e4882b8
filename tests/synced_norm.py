"""Batch norm over all ranks without a GPU, which torch's own asks for."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn


class _Sum(torch.autograd.Function):
    """The sum over ranks; so is the gradient, since every rank's loss hangs on it."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
        return _Sum.forward(ctx, grad.contiguous())


_summed = _Sum.apply


class OverRanks(nn.SyncBatchNorm):
    """torch's is for GPUs alone. This waits for every rank as it does, forward and backward, on a CPU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            stats = (self.running_mean, self.running_var, self.weight, self.bias)
            return nn.functional.batch_norm(x, *stats, eps=self.eps)
        self.num_batches_tracked.add_(1)
        over, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
        n = _summed(torch.tensor(float(x.numel() // x.shape[1])))
        mean = _summed(x.sum(over)) / n
        centred = x - mean.view(shape)
        var = _summed(centred.square().sum(over)) / n
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * n / (n - 1), self.momentum)
        scale = self.weight / (var + self.eps).sqrt()
        return centred * scale.view(shape) + self.bias.view(shape)


def over_ranks(module: nn.Module, *_: object) -> nn.Module:
    """What `build.sync_batch_norm` does, without a GPU."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm3d):
            made = OverRanks(child.num_features, eps=child.eps, momentum=child.momentum)
            made.load_state_dict(child.state_dict())
            setattr(module, name, made)
        over_ranks(child)
    return module
