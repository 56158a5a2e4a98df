"""The one point where soft-DTW meets autograd: a function of the cost matrix."""

from types import ModuleType

import torch
from torch.autograd.function import once_differentiable

from espnet_plugins.soft_dtw.pairs import Pairs


class SoftDTWFunction(torch.autograd.Function):
    """Costs to values, through a backend.

    `cost` are the leading `kept` pairs of `batch` (often all), those that a gradient goes through; the others ride
    along in the same pass and leave nothing behind.
    """

    @staticmethod
    def forward(
        ctx,
        cost: torch.Tensor,
        batch: torch.Tensor,
        pairs: Pairs,
        gamma: float,
        backend: ModuleType,
        kept: int,
    ) -> torch.Tensor:
        value, saved = backend.forward(batch, pairs, gamma, kept)
        ctx.save_for_backward(*saved)
        ctx.call = (cost.shape, pairs, gamma)
        ctx.kept = kept
        ctx.backend = backend
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: torch.Tensor):
        shape, pairs, gamma = ctx.call
        slope = ctx.backend.backward(ctx.saved_tensors, shape, pairs, gamma, grad[: ctx.kept].contiguous())
        return slope, None, None, None, None, None
