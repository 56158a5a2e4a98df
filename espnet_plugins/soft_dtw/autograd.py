"""The one point where soft-DTW meets autograd: a function of the cost matrix."""

from types import ModuleType

import torch
from torch.autograd.function import once_differentiable

from espnet_plugins.soft_dtw.pairs import Pairs


class SoftDTWFunction(torch.autograd.Function):
    """(B, N, M) costs -> (B,) values, through a backend."""

    @staticmethod
    def forward(ctx, cost: torch.Tensor, pairs: Pairs, gamma: float, backend: ModuleType) -> torch.Tensor:
        value, saved = backend.forward(cost, pairs, gamma)
        ctx.save_for_backward(*saved)
        ctx.call = (cost.shape, pairs, gamma)
        ctx.backend = backend
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor):
        alignment = ctx.backend.backward(ctx.saved_tensors, *ctx.call)
        return alignment.mul_(grad[:, None, None]), None, None, None
