"""The one point where soft-DTW meets autograd: a function of the cost matrix."""

from types import ModuleType

import torch
from torch.autograd.function import once_differentiable

from espnet_plugins.soft_dtw.pairs import Pairs


class SoftDTWFunction(torch.autograd.Function):
    """Costs to values, through a backend.

    `cost` are the leading `num_with_grad` pairs of `batch` (often all), those that a gradient goes through; the others
    take part in the same forward pass and save nothing for the backward pass.
    """

    @staticmethod
    def forward(
        ctx,
        cost: torch.Tensor,
        batch: torch.Tensor,
        pairs: Pairs,
        gamma: float,
        backend: ModuleType,
        num_with_grad: int,
    ) -> torch.Tensor:
        value, saved = backend.forward(batch, pairs, gamma, num_with_grad)
        ctx.save_for_backward(*saved)
        ctx.call = (cost.shape, pairs, gamma)
        ctx.num_with_grad = num_with_grad
        ctx.backend = backend
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor):
        shape, pairs, gamma = ctx.call
        grad_cost = ctx.backend.backward(ctx.saved_tensors, shape, pairs, gamma, grad[: ctx.num_with_grad].contiguous())
        return grad_cost, None, None, None, None, None
